"""The decisions of a crawl, pure: no socket, file, thread, clock or randomness below this folder."""
