"""The project's own benchmark: the speed of a crawl relative to a client that only fetches, and to other crawlers."""
