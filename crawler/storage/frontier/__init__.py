"""The durable memory of which URLs are owed and which are settled."""
