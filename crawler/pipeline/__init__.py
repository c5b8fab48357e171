"""From a response to a stored page: decode, parse, store."""
