"""The decisions of the service, pure: `now` in, decisions out; no socket, file, thread, clock or randomness."""
