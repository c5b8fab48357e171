"""What all hosts share: the way to them, and how much may pass."""
