"""What all hosts share: the network connection, and how many fetches may be in flight."""
