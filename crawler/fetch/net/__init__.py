"""Names, addresses and which of them may be connected to."""
