"""All that is durable: the directory of a crawl, its frontier, its pages, and what checks and repairs them."""
