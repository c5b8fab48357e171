"""DNS names, IP addresses, and which of them a client may connect to."""
