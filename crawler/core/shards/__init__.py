"""A crawl divided among several processes."""
