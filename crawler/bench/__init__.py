"""The project's own yardsticks: how fast is a crawl against a client that does nothing but fetch, and against peers?"""
