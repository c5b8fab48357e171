"""When a known URL is worth asking for again, and which of the due ones come first."""
