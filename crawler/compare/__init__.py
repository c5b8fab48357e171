"""The comparison: the same crawl by each engine, in randomised blocks, checked by gates, reported with intervals."""
