"""Private parts of libraries that the code relies on: each exists and works as needed, and the library has an upper
bound."""

from __future__ import annotations

import asyncio
import re
import tomllib
from multiprocessing import forkserver, get_context
from pathlib import Path

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_reqrep import ClientResponse

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["aiohttp"])
def test_a_library_whose_private_parts_are_used_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (line,) = [line for line in project["dependencies"] if line.startswith(name)]
    assert re.fullmatch(r"\w+>=[\d.]+,<\d+\.\d+", line)


async def test_a_stream_of_aiohttp_keeps_the_bytes_received_before_an_error() -> None:
    """fetch/aiohttp_client.py: reads the bytes of a truncated body."""
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), 65_536, loop=loop)
    stream.feed_data(b"what came")
    stream.set_exception(aiohttp.ClientPayloadError("cut"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await stream.readany()
    assert stream._buffer
    assert stream._read_nowait(-1) == b"what came"


def test_a_response_of_aiohttp_has_its_protocol() -> None:
    """fetch/aiohttp_client.py: reads the head as received. `start` sets it."""
    assert "_protocol" in ClientResponse.start.__code__.co_names


def test_the_fork_server_lives_as_long_as_one_descriptor_is_open() -> None:
    """variants/worker_process.py: workers close it."""
    process = get_context("forkserver").Process(target=int)
    process.start()
    process.join()
    assert isinstance(forkserver._forkserver._forkserver_alive_fd, int)  # type: ignore[attr-defined]


def test_ray_prints_the_deaths_of_workers_through_one_function() -> None:
    """variants/ray_session.py: replaces it, since stdout is for the summary."""
    pytest.importorskip("ray")
    from ray._private import worker

    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names


def test_ray_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.fullmatch(r"ray>=[\d.]+,<\d+\.\d+", *project["optional-dependencies"]["ray"])
