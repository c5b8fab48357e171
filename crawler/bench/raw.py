"""The raw client loops: they fetch known URLs, read the bodies and discard them, without any crawler code.

`aiohttp` (one event loop of uvloop) is the baseline of all ratios; `curl` is libcurl in as many threads as fetches in
flight, one handle each.

`python -m crawler.bench.raw CLIENT URLS CONCURRENCY` in a fresh process.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from pathlib import Path

import aiohttp  # noqa: F401 - starting up is not measured, so all is imported before
import pycurl
import uvloop

from crawler.bench.child_result import print_result
from crawler.compare.raw import RawTarget, fetch_all


def fetch_in_threads(urls: list[str], in_flight: int) -> Counter[str]:
    """The same with libcurl. Raises the first error of any thread."""
    left, answered, errors = deque(urls), list[int](), list[pycurl.error]()

    def one_after_another() -> None:
        curl = pycurl.Curl()
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.NOPROXY, "*"),
            (pycurl.BUFFERSIZE, 131_072),
            (pycurl.WRITEFUNCTION, len),  # returns the block's length: all of it is consumed
        ):
            curl.setopt(option, value)
        try:
            while True:
                curl.setopt(pycurl.URL, left.popleft())
                curl.perform()
                answered.append(curl.getinfo(pycurl.RESPONSE_CODE))
        except IndexError:
            return
        except pycurl.error as error:
            errors.append(error)
        finally:
            curl.close()

    threads = [threading.Thread(target=one_after_another) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Counter(map(str, answered))


def main(client: str, urls: list[str], in_flight: int) -> None:
    """Run one loop and print its result."""
    if client == "curl":
        print_result(lambda: fetch_in_threads(urls, in_flight), len(urls))
    else:
        print_result(lambda: uvloop.run(fetch_all(map(RawTarget, urls), in_flight)), len(urls))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8").split(), int(sys.argv[3]))
