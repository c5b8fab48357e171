"""Trap detection for endless sites: which URLs bring nothing new."""
