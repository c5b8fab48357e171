"""Which servers receive a secret, checked on the raw bytes that they received, in every mode and with every client.

Each hop of the matrix is one URL: `/go/N` at the first origin redirects (or links) to `/land/N` at the second, directly
or through others. The requests there are searched for every secret of the first origin, in any encoding. The target
answers 503 first, so that retries are checked, too.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import NamedTuple
from urllib.parse import quote

import pytest
import trustme

from tests import corpus
from tests.contract.raw_server import RawServer, Step, response

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
A, SUB, HTTP, PORT, B = (
    "https://a.example",
    "https://sub.a.example",
    "http://a.example",
    "https://a.example:8443",
    "https://b.example",
)
ORIGINS = (A, SUB, HTTP, PORT, B)
RUNS = [
    ("async", "aiohttp"),
    ("async", "native"),
    ("threads", "native"),
    ("processes", "native"),
    ("prefork", "native"),
    ("threads", "curl"),
    ("threads", "urllib3"),
    ("processes", "curl"),
    ("processes", "urllib3"),
    ("prefork", "aiohttp"),
]
HOPS = [
    (A, f"{A}/x"),
    (A, f"{SUB}/"),
    (A, f"{HTTP}/"),
    (A, f"{PORT}/"),
    (A, f"{B}/"),
    (A, "https://user:pw@b.example/"),
    (A, "sitemap on b.example"),
    (A, "robots.txt of b.example"),
    (SUB, f"{A}/"),
    (HTTP, f"{A}/"),
    (A, f"{B}/ -> {A}/"),
    (A, f"{HTTP}/ -> {A}/"),
    (A, f"{A}/ -> {B}/ -> {PORT}/ -> {A}/"),
    (B, f"{A}/ -> {B}/"),
]
OWN = [
    (secret, start, to, secret != "proxy" and secret != "certificate" and to == f"{A}/x")
    for secret in ("login", "header", "cookie", "jar", "netrc", "proxy", "certificate")
    for start, to in HOPS
]
KINDS = {
    "Authorization (per request)": "login",
    "Authorization (from job credentials)": "login",
    "Cookie header (per request)": "cookie",
    "cookies from jar": "jar",
    "Proxy-Authorization": "proxy",
    "custom secret header (X-Api-Key)": "header",
    "netrc": "netrc",
    "client certificate": "certificate",
}


class Case(NamedTuple):
    """Whether the secret of `start` may arrive where the hops lead."""

    secret: str
    start: str
    to: str
    sent: bool


def cases() -> list[Case]:
    """The cases above and those of the corpus."""
    known = corpus.cases("creds/leak_matrix")
    from_corpus = [(KINDS[one["secret"]], one["frm"].rstrip("/"), one["to"], one["sent"]) for one in known]
    return [Case(*one) for one in dict.fromkeys([*OWN, *from_corpus])]


KEPT_FROM_SIGHT = ("login", "header", "cookie", "netrc", "proxy")


def secret(kind: str, origin: str) -> str:
    """The value of a secret of an origin, unique among all secrets."""
    return f"{kind}-{ORIGINS.index(origin)}-s3cr3t"


def spellings(value: str) -> list[bytes]:
    """The encodings in which a value could arrive."""
    plain = value.encode()
    pairs = [b64encode(plain[cut:]).rstrip(b"=")[1:-1] for cut in range(3)]
    return [plain, plain.hex().encode(), quote(value, safe="").encode(), *pairs]


def basic(value: str) -> bytes:
    return b64encode(f"me:{value}".encode())


class Origin(RawServer):
    """An origin with a page for each hop. With a `context` it uses TLS and would accept a client certificate."""

    def __init__(self, name: str, context: ssl.SSLContext | None, reply: Callable[[Origin, str], list[Step]]) -> None:
        super().__init__(lambda path: reply(self, path))
        self.name = name
        self.context = context
        self.certificates: list[object] = []

    def _serve(self, line) -> None:  # type: ignore[no-untyped-def]
        if self.context is not None:
            line = self.context.wrap_socket(line, server_side=True)
            if certificate := line.getpeercert():
                self.certificates.append(certificate)
        super()._serve(line)


def chain(case: Case, number: int) -> list[str]:
    """The URLs that a case leads through after the first."""
    if case.to.startswith(("robots", "sitemap")):
        return [f"{B}/land/{number}"]
    stops = [stop.rstrip("/") for stop in case.to.split(" -> ")]
    stops = [stop.removesuffix("/x") for stop in stops]
    *through, last = stops
    return [*(f"{stop}/by{place}/{number}" for place, stop in enumerate(through)), f"{last}/land/{number}"]


class Web:
    """The origins of the matrix on loopback, and what each received."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("a.example", "sub.a.example", "b.example").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.cases = cases()
        self.origins = {name: Origin(name, None if name == HTTP else context, self.reply) for name in ORIGINS}
        self.landed: set[str] = set()

    def reply(self, origin: Origin, path: str) -> list[Step]:
        way, _, number = path.strip("/").partition("/")
        if way == "robots.txt":
            return [response(f"Sitemap: {B}/land/sitemap".encode(), "Content-Type: text/plain"), "keep"]
        if way == "start":
            mine = [at for at, case in enumerate(self.cases) if case.start == origin.name]
            links = "".join(f'<a href="/go/{at}">go</a>' for at in mine)
            baked = f"Set-Cookie: jar={secret('jar', origin.name)}; Path=/"
            return [response(links.encode(), "Content-Type: text/html", baked), "keep"]
        if way == "land":
            if f"{origin.name}{path}" not in self.landed:
                self.landed.add(f"{origin.name}{path}")
                return [response(status="503 Service Unavailable"), "keep"]
            return [response(b"landed", "Content-Type: text/plain"), "keep"]
        stops = chain(self.cases[int(number)], int(number))
        target = stops[0] if way == "go" else stops[int(way.removeprefix("by")) + 1]
        return [response(b"", f"Location: {target}", status="302 Found"), "keep"]

    def resolve(self) -> dict[str, str]:
        names = {origin: origin.partition("://")[2] for origin in ORIGINS}
        ports = {HTTP: ":80", PORT: "", **dict.fromkeys((A, SUB, B), ":443")}
        return {f"{names[one]}{ports[one]}": f"127.0.0.1:{self.origins[one].port}" for one in ORIGINS}

    def received(self, origin: str, path: str) -> list[bytes]:
        return [head for head in self.origins[origin].requests if head.split(b" ", 2)[1] == path.encode()]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    one = Web(tmp_path)
    for origin in one.origins.values():
        origin.__enter__()
    yield one
    for origin in one.origins.values():
        origin.__exit__(None, None, None)


def configuration(web: Web, netrc: Path | None) -> str:
    """Every origin has its own login, header and cookie; the login of the first may stand in a netrc."""
    lines = [
        "cookies = true",
        "delay = 0",
        "backoff = 0.01",
        "host_patience = 0.1",
        "timeout = 10",
        'scope = "any"',
        f"ca_file = {json.dumps(str(web.ca))}",
    ]
    lines += ["[resolve]", *(f"{json.dumps(name)} = {json.dumps(at)}" for name, at in web.resolve().items())]
    for origin in ORIGINS:
        lines += [f'[headers."{origin}"]', f'X-Api-Key = "{secret("header", origin)}"']
        lines += [f'Cookie = "sid={secret("cookie", origin)}"', f'[credentials."{origin}"]']
        own = ['user = "me"', f'password = "{secret("login", origin)}"']
        lines += [f"netrc = {json.dumps(str(netrc))}"] if netrc and origin == A else own
    return "\n".join(lines)


def crawl(web: Web, tmp_path: Path, mode: str, client: str, asked: bool = False) -> tuple[str, list[str]]:
    """The output of a crawl of the whole matrix, and the command lines of its processes meanwhile."""
    config, home = tmp_path / "job.toml", tmp_path / "home"
    home.mkdir()
    config.write_text(configuration(web, home / ".netrc" if asked else None))
    entries = [f"{who} login me password {secret('netrc', A)}" for who in ("machine a.example", "default")]
    (home / ".netrc").write_text("\n".join(entries) + "\n")
    (home / ".netrc").chmod(0o600)
    proxy = f"http://me:{secret('proxy', A)}@127.0.0.1:9"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), proxy)
    environment = {**os.environ, **proxies, "HOME": str(home), "NETRC": str(home / ".netrc"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "crawler", "--mode", mode, "--client", client, "--config", str(config)]
    command += ["--concurrency", "8", "--processes", "2", "--out", str(tmp_path / "crawl"), "--json"]
    command += [f"{origin}/start" for origin in ORIGINS]
    titles: list[str] = []
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=environment, cwd=tmp_path, start_new_session=True
        )
        while process.poll() is None:
            titles += command_lines(process.pid)
            sleep(0.05)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    return (tmp_path / "said").read_text(), titles


def command_lines(session: int) -> list[str]:
    """The command lines of all processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == session:
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def judge(web: Web, kinds: set[str]) -> list[str]:
    """The cases with a wrong result."""
    wrong = []
    for number, case in enumerate(web.cases):
        last = chain(case, number)[-1]
        scheme, _, rest = last.partition("://")
        where = f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"
        heads = web.received(where, f"/land/{number}")
        heads += web.received(where, "/robots.txt") if where != case.start else []
        if len([head for head in heads if b"/land/" in head]) != 2:
            wrong.append(f"{case} was asked for {len(heads)} times")
        if case.secret not in kinds:
            continue
        if case.secret == "certificate":
            wrong += [str(case)] if web.origins[where].certificates else []
            continue
        value = secret(case.secret, case.start)
        needles = [*spellings(value), basic(value), *spellings("user:pw")]
        for head in heads:
            if any(needle in head for needle in needles) != (case.sent and b"/land/" in head):
                wrong.append(f"{case}: {head!r}")
    return wrong


def check_nothing_kept(tmp_path: Path, said: str, titles: list[str]) -> None:
    """No secret is in any file of the crawl, in the output or in a command line."""
    every = [secret(kind, origin) for kind in KEPT_FROM_SIGHT for origin in ORIGINS]
    values = [spelling for value in every for spelling in (*spellings(value), basic(value))]
    texts = [said.encode(), *(title.encode() for title in titles)]
    texts += [path.read_bytes() for path in (tmp_path / "crawl").rglob("*") if path.is_file()]
    assert len(texts) > 5
    assert not [value for value in values for text in texts if value in text]


@pytest.mark.parametrize(("mode", "client"), RUNS, ids=str)
def test_a_secret_reaches_its_origin_and_no_other(web: Web, tmp_path: Path, mode: str, client: str) -> None:
    said, titles = crawl(web, tmp_path, mode, client)
    assert not judge(web, {"login", "header", "cookie", "jar", "proxy", "certificate"})
    heads = [head for origin in web.origins.values() for head in origin.requests]
    unasked = [*spellings(secret("netrc", A)), basic(secret("netrc", A)), b"proxy-auth"]
    assert not [head for head in heads if any(needle in head.lower() or needle in head for needle in unasked)]
    assert b"X-Api-Key: header-0-s3cr3t" in web.received(A, "/robots.txt")[0]
    check_nothing_kept(tmp_path, said, titles)


@pytest.mark.parametrize(("mode", "client"), RUNS[::3], ids=str)
def test_a_netrc_is_read_only_where_it_is_configured(web: Web, tmp_path: Path, mode: str, client: str) -> None:
    said, titles = crawl(web, tmp_path, mode, client, asked=True)
    assert not judge(web, {"netrc", "cookie", "header"})
    check_nothing_kept(tmp_path, said, titles)


def test_a_resume_must_be_given_the_secrets_again(tmp_path: Path) -> None:
    def reply(path: str) -> list[Step]:
        return [response(b'<a href="/1">1</a><a href="/2">2</a>', "Content-Type: text/html"), "keep"]

    def resumed(pages: int, *tables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "job.toml").write_text("\n".join(["delay = 0", *tables]))
        command = [sys.executable, "-m", "crawler", "--resume", "--config", "job.toml", "--out", "crawl"]
        command += ["--max-pages", str(pages), f"{server.url}/"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    with RawServer(reply) as server:
        named, value = f'[headers."{server.url}"]', 'X-Api-Key = "s3cr3t"'
        assert resumed(1, named, value).returncode == 1  # the budget is used
        assert b"X-Api-Key: s3cr3t" in server.requests[-1]
        asked = len(server.requests)
        refused = resumed(9)
        assert (refused.returncode, len(server.requests)) == (2, asked)
        assert f"had headers or credentials for {server.url}" in refused.stderr and refused.stderr.count("\n") == 1
        assert resumed(2, named).returncode == 1  # resuming without secrets needs an option
        assert len(server.requests) > asked and b"X-Api-Key" not in server.requests[-1]
        assert resumed(9, named, value).returncode == 0
        assert b"X-Api-Key: s3cr3t" in server.requests[-1]
        assert resumed(9).returncode == 0  # for a finished crawl only the summary is printed
