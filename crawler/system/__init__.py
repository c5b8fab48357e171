"""What is asked of the operating system. Nothing here knows what a crawl is."""
