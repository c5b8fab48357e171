"""HTTP/1.1 code shared by all clients: framing, chunks, content codings, cookies, request headers."""
