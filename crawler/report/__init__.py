"""The report of a crawl: one HTML file in its directory, made only from the data stored there."""
