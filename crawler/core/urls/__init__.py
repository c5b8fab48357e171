"""URLs: their canonical form, their shape, which are in scope and which are known."""
