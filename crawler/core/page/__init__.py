"""What a page says: its charset, its links, its robots rules, its fingerprint."""
