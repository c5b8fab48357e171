"""The frontier in PostgreSQL: the rows of many crawls, by crawl and shard. Needs psycopg 3."""
