"""What changed between two generations of a crawl: the state of a URL, the facts of a page, how both compare."""
