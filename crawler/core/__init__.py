"""The decisions of a crawl, pure: no socket, file, thread, clock or dice below this folder."""
