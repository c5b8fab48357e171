"""What all tests share."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import aioresponses.core
from aiohttp import ClientResponse
from hypothesis import settings

# How long an example takes says how busy the machine is; what may not cost too much is bounded by `tests.effort`.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "stream_writer" in inspect.signature(ClientResponse.__init__).parameters:

    class _Response(ClientResponse):
        """aioresponses 0.7.9 builds responses without the argument that aiohttp 3.14 asks for."""

        def __init__(self, *args: Any, **options: Any) -> None:
            options.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*args, **options)

    vars(aioresponses.core)["ClientResponse"] = _Response
