"""One module for each HTTP client library."""
