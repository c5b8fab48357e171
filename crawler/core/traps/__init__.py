"""Sites without end: which URLs bring nothing new."""
