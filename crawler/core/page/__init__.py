"""What is read from a page: its charset, its links, its robots rules, its fingerprint."""
