"""The honest comparison: the same crawl by each engine, in randomised blocks, judged by gates, told with intervals."""
