"""The report of a crawl: one HTML file in its directory, read off what is kept there and nothing else."""
