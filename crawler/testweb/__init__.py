"""A small web for demonstrations and comparisons: a pure function of (seed, URL, attempt), its server, its referee."""
