"""Registrable domains and public suffixes."""

from __future__ import annotations

import pytest

from crawler.core.urls.domains import domain_of, is_public_suffix


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("https://a.b.example.co.uk", "example.co.uk"),
        ("http://example.com:8080", "example.com"),
        ("http://example.com.", "example.com"),
        ("http://me.github.io", "me.github.io"),
        ("http://github.io", "github.io"),
        ("http://localhost:80", "localhost"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:80", "[::1]"),
    ],
)
def test_registrable_domains(host: str, domain: str) -> None:
    assert domain_of(host) == domain


@pytest.mark.parametrize(
    ("name", "public"), [("com", True), ("github.io", True), ("a.com", False), ("localhost", True)]
)
def test_public_suffixes(name: str, public: bool) -> None:
    assert is_public_suffix(name) is public
