"""A web that tries to lead a crawl into private networks in every known way, in its own network namespace.

`python -m tests.live.guarded_web FOLDER` needs to be started in an empty network and mount namespace (`unshare -n -m`):
the addresses of the Internet, and the private ones, are all put on its loopback device, with one server and one DNS on
them. Any connection would succeed, and the server records its address. The script crawls this web once with each engine
and client and prints the results as one JSON object.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

CRAWLS = {
    "async": "aiohttp",
    "prefork": "aiohttp",
    "async-native": "native",
    "threads": "native",
    "threads-curl": "curl",
    "threads-urllib3": "urllib3",
    "processes": "native",
    "processes-curl": "curl",
    "processes-urllib3": "urllib3",
}
PUBLIC = ("93.184.216.34", "2606:4700::1111")
PRIVATE = ("10.0.0.1", "169.254.169.254", "192.168.1.1", "100.100.100.200", "fd00:ec2::254", "fec0::1", "2002:a00:1::1")
ROUTED = ("64:ff9b::a00:1", "2001:0:101:101::f5ff:fffe")
RESOLVER = "127.0.0.53"

NAMES: dict[str, list[list[str]]] = {  # the answers for a name, by the number of the query; the last one repeats
    "public.test": [["93.184.216.34"]],
    "six.test": [["2606:4700::1111"]],
    "mixed.test": [["10.0.0.1", "93.184.216.34", "127.0.0.1", "::1"]],
    "robots.test": [["93.184.216.34"]],
    "rebind.test": [["93.184.216.34"], ["127.0.0.1"]],
    "private.test": [["10.0.0.1"]],
    "loopback.test": [["127.0.0.1"]],
    "loopback6.test": [["::1"]],
    "mapped.test": [["::ffff:10.0.0.1"]],
    "nat64.test": [["64:ff9b::10.0.0.1"]],
    "metadata.test": [["169.254.169.254", "fd00:ec2::254"]],
    "localhost": [["127.0.0.1"]],
}
BLOCKED = [
    *(f"http://{name}/" for name in NAMES if name in ("private.test", "loopback.test", "loopback6.test")),
    *(f"http://{name}/" for name in ("mapped.test", "nat64.test", "metadata.test", "localhost", "a.localhost")),
    *("http://127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/", "http://192.168.1.1/", "http://0.0.0.0/"),
    *("http://[::1]/", "http://[::ffff:a00:1]/", "http://[64:ff9b::a00:1]/", "http://[2002:a00:1::1]/"),
    *("http://[2001:0:101:101::f5ff:fffe]/", "http://[fec0::1]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"),
    "http://metadata.google.internal/",
]
BAD_PORTS = ["http://93.184.216.34:22/", "http://public.test:6667/"]
SEEDS = ["http://public.test/", *BLOCKED]
REDIRECTS = {
    "/to-private": "http://192.168.1.1/1",
    "/to-name": "http://private.test/1",
    "/hop1": "http://six.test/hop2",
    "/hop2": "/hop3",
    "/hop3": "//[::1]/1",
    "/to-file": "file:///etc/passwd",
}
ALLOWED = [
    *(f"http://public.test/{name}" for name in ("", "a", "base")),
    *(f"http://public.test{path}" for path in REDIRECTS if path != "/hop2" and path != "/hop3"),
    *("http://six.test/hop2", "http://six.test/hop3", "http://mixed.test/", "http://93.184.216.34/"),
    *("http://[2606:4700::1111]/", "http://[::ffff:5db8:d822]/"),
]
LEADS = [
    *(f"{url}1" for url in [*BLOCKED, *BAD_PORTS]),
    *ALLOWED,
    "http://rebind.test/",
    "http://rebind.test/1",
    "http://robots.test/",
]
ASKED: Counter[tuple[str, int]] = Counter()
"""The DNS queries during a crawl, by name and kind."""


class Site(BaseHTTPRequestHandler):
    """Answers for every name and records the address that a connection was made to."""

    reached: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        """Answer with links and redirects to private addresses."""
        self.reached[self.request.getsockname()[0].removeprefix("::ffff:")] += 1
        host, path = self.headers["Host"], self.path
        if path == "/robots.txt":
            self._answer(*((302, b"", "http://127.0.0.1/robots.txt") if host == "robots.test" else (404, b"", "")))
        elif path in REDIRECTS:
            self._answer(302, b"", REDIRECTS[path])
        elif path == "/base":
            self._answer(200, b'<base href="http://10.0.0.1/deep/"><a href="b">x</a>', "")
        else:
            self._answer(200, "".join(f'<a href="{url}">x</a>' for url in LEADS).encode(), "")

    def _answer(self, status: int, body: bytes, location: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Listens on all addresses."""

    address_family = socket.AF_INET6
    request_queue_size = 128


def serve_names() -> None:
    """Answer A and AAAA queries (RFC 1035) from NAMES."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((RESOLVER, 53))
    while True:
        query, client = line.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack("!H", query[at + 1 : at + 3])[0]
        rounds = NAMES.get(name, [])
        found = rounds[min(ASKED[name, kind], len(rounds) - 1)] if rounds else []
        ASKED[name, kind] += 1
        family, wanted = (socket.AF_INET6, True) if kind == 28 else (socket.AF_INET, False)
        data = [socket.inet_pton(family, one) for one in found if (":" in one) == wanted]
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one for one in data)
        flags = 0x8180 if rounds else 0x8183
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(data), 0, 0)
        line.sendto(head + query[12 : at + 5] + records, client)


def why_no_network() -> str:
    """Why no empty network can be created on this machine; "" if it can."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare (util-linux) and ip (iproute2) are needed"
    tried = subprocess.run(["unshare", "-n", "-m", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no network namespace can be made here: that takes root"


def prepare(folder: Path) -> None:
    """Set up the network."""
    run("ip", "link", "set", "lo", "up")
    for address in (*PUBLIC, *PRIVATE, *ROUTED):
        run("ip", "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo", "nodad")
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {RESOLVER}\noptions timeout:2 attempts:1\n")
    run("mount", "--bind", str(resolver), "/etc/resolv.conf")


def run(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True, capture_output=True)


def crawl(folder: Path, label: str, client: str) -> dict[str, Any]:
    """Crawl with one engine; returns the result."""
    mode, out, trace = label.partition("-")[0], folder / label, folder / f"{label}.connects"
    settings = folder / "settings.toml"
    settings.write_text(
        f'seeds = {json.dumps(SEEDS)}\ntrust_seeds = false\nscope = "any"\nprocesses = 2\nconcurrency = 8\n'
        "connect_timeout = 5.0\nrobots_backoff = 0.01\nbackoff = 0.01\nhost_patience = 0.1\nreport = false\n"
    )
    words = [sys.executable, "-m", "crawler", "--profile", "fast", "--config", str(settings), "--mode", mode]
    words += ["--client", client, "--out", str(out), "-q", "--json", "--max-depth", "2"]
    if strace := shutil.which("strace"):
        words = [strace, "-f", "-qq", "-e", "trace=connect", "-e", "signal=none", "-o", str(trace), *words]
    Site.reached.clear()
    ASKED.clear()
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    rows = subprocess.run(
        [sys.executable, "-m", "crawler", "export", str(out)], capture_output=True, text=True, timeout=60, check=True
    )
    return {
        "code": ran.returncode,
        "errors": ran.stderr,
        "reasons": {row["url"]: row["reason"] for row in map(json.loads, rows.stdout.splitlines())},
        "reached": dict(Site.reached),
        "connects": trace.read_text().splitlines() if strace else None,
    }


def main() -> None:
    """Crawl by all engines."""
    folder = Path(sys.argv[1])
    prepare(folder)
    threading.Thread(target=serve_names, daemon=True).start()
    site = Server(("::", 80), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    print(json.dumps({label: crawl(folder, label, client) for label, client in CRAWLS.items()}))


if __name__ == "__main__":
    main()
