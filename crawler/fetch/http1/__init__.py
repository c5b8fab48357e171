"""The rules of HTTP/1.1 that every client keeps: framing, codings, what goes on the wire."""
