"""Starts real HTTP servers and proxies on loopback, each as a process with its configuration in a folder of its own.

A server that is not installed skips the test, with the command that installs it. A process is ended by its own id.
Started by root, those that are no Python run as "nobody".
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
NAME = "site.test"
PAGES = 10
"""Pages of each kind."""

CHANGED = 1_600_000_000
"""When each page was changed: in the past, so that no server holds its validators for uncertain."""

LOGIN = "someone:pass-word"
START_S = 10.0
ATTEMPTS = 3
"""A free port may be taken by someone else before the server binds it."""


class Place(NamedTuple):
    """What a configuration is made from. `site`: the folder with the pages. `tls`: "", "1.2" or "1.3". `certificate`:
    a PEM file with the key and the chain. `backend`: the port of another server, for those that need one."""

    folder: Path
    site: Path
    port: int
    tls: str = ""
    certificate: Path = Path()
    backend: int = 0
    login: str = ""

    def write(self, name: str, text: str) -> str:
        """Write a file of the configuration; its path."""
        file = self.folder / name
        file.write_text(textwrap.dedent(text))
        return str(file)


class Command(NamedTuple):
    """How to start a server."""

    arguments: list[str]
    environment: tuple[tuple[str, str], ...] = ()
    own_user: bool = True
    """Whether it runs as the user of the tests, also where that is root."""

    patience: float = 3.0
    """Seconds that it may take to end."""


class Server(NamedTuple):
    """A server. `kinds`: which kinds of pages it has. `sees_peers`: whether it tells which connection a request came
    by. `keeps`: whether it keeps connections. `secure`: whether it has
    https. `log`: the file in its folder with the client's port and the query of each request, where it sends no
    X-Peer."""

    name: str
    command: Callable[[Place], Command]
    kinds: tuple[str, ...] = ("plain", "chunked", "gzip", "etag", "date", "close", "missing")
    sees_peers: bool = True
    keeps: bool = True
    secure: bool = True
    needs_backend: bool = False
    log: str = ""


class Running(NamedTuple):
    """A server that accepts connections."""

    server: Server
    place: Place
    pid: int

    @property
    def origin(self) -> str:
        """The start of its URLs."""
        return f"{'https' if self.place.tls else 'http'}://{NAME}:{self.place.port}"

    def logged(self, mark: str, lines: int) -> list[str]:
        """The ports in the lines of its log with a mark, once it has so many of them: SIGHUP makes it write them."""
        file = self.place.folder / self.server.log
        give_up_at = monotonic() + 5
        while True:
            os.kill(self.pid, signal.SIGHUP)
            found = [line for line in file.read_text().splitlines() if mark in line]
            if len(found) >= lines or monotonic() > give_up_at:
                return [line.split()[0] for line in found]
            sleep(0.02)


# ---- pages -----------------------------------------------------------------------------------------------------------

PLAIN_SIZES = (0, 1, 99, 4096, 16_383, 16_384, 16_385, 70_000, 200_000, 700_000)


def path_of(kind: str, number: int) -> str:
    """The path of a page; revalidated are the plain ones."""
    folder = "plain" if kind in ("etag", "date") else kind
    return f"/{folder}/{number % PAGES}.{'bin' if folder == 'plain' else 'html'}"


def write_pages(site: Path) -> None:
    """Write the pages of all kinds; below cgi/ the chunked ones with a head."""
    numbers = random.Random(5)
    for number in range(PAGES):
        _write(site, path_of("plain", number), numbers.randbytes(PLAIN_SIZES[number]))
        for kind, size in (("chunked", 20_000 + 17_000 * number), ("gzip", 1_000 + 9_000 * number), ("close", 900)):
            body = b"".join(b"<p>line %d of %d</p>\n" % (numbers.randrange(size), line) for line in range(size // 20))
            _write(site, path_of(kind, number), body)
            if kind == "chunked":
                _write(site, "/cgi" + path_of(kind, number), b"Content-Type: text/html\r\n\r\n" + body)
    for number in range(PAGES):
        _write(site, path_of("open", number), b"<p>open end</p>" * 5_000 * number)


def _write(site: Path, path: str, body: bytes) -> None:
    file = site / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    os.utime(file, (CHANGED, CHANGED))


# ---- processes -------------------------------------------------------------------------------------------------------


def find(name: str, install: str) -> str:
    """The path of a program. Skips the test where there is none."""
    path = shutil.which(name, path=PATHS)
    if path is None:
        pytest.skip(f"{name} is not installed: {install}")
    return path


def need_package(name: str) -> None:
    """Skips the test without a package of Python."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install {name}")


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A new folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def running(server: Server, place: Place) -> Iterator[Running]:
    """Start a server in a new folder below the one of `place`, at a free port, and end it."""
    with ExitStack() as stack:
        if server.needs_backend:
            behind = stack.enter_context(running(HTTP_SERVER, place._replace(tls="")))
            place = place._replace(backend=behind.place.port)
        for attempt in range(1, ATTEMPTS + 1):
            here = place._replace(folder=Path(tempfile.mkdtemp(dir=place.folder)), port=free_port())
            command = server.command(here)
            process = stack.enter_context(_process(command, here.folder))
            if _accepts(process, here.port):
                yield Running(server, here, process.pid)
                return
            if attempt == ATTEMPTS or process.poll() is None:
                told = (here.folder / "output").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{server.name} does not start ({process.poll()}): {told}")


def free_port() -> int:
    """A port of loopback that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _process(command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    user: int | None = None
    if os.geteuid() == 0 and not command.own_user:
        user = pwd.getpwnam("nobody").pw_uid
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, -1)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command.arguments,
            cwd=ROOT if command.own_user else folder,
            env={**os.environ, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **dict(command.environment)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            extra_groups=None if user is None else [],
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(command.patience)
        process.kill()
        process.wait()


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for the port of a server to accept a connection; False where its process has ended before, or is late."""
    give_up_at = monotonic() + START_S
    while process.poll() is None and monotonic() < give_up_at:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process.poll() is None
        sleep(0.01)
    return False


# ---- servers ---------------------------------------------------------------------------------------------------------


def _nginx(place: Place) -> Command:
    program = find("nginx", "apt-get install nginx-light")
    temporary = "".join(
        f"{kind}_temp_path {place.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    secure = f"""
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.certificate};
        ssl_protocols TLSv{place.tls};
    """
    file = place.write(
        "nginx.conf",
        f"""
        daemon off;
        pid {place.folder}/pid;
        error_log stderr;
        worker_processes 1;
        events {{}}
        http {{
            {temporary}
            access_log off;
            types {{ text/html html; }}
            server {{
                listen 127.0.0.1:{place.port} {"ssl" if place.tls else ""};
                {secure if place.tls else ""}
                root {place.site};
                add_header X-Peer $remote_port always;
                location /chunked/ {{ ssi on; }}
                location /gzip/ {{ gzip on; gzip_min_length 1; }}
                location /close/ {{ keepalive_timeout 0; }}
                location = /brief {{ keepalive_timeout 50ms; return 200 brief; }}
            }}
        }}
        """,
    )
    return Command([program, "-e", "stderr", "-c", file], own_user=False)


def _apache(place: Place) -> Command:
    program = find("apache2" if shutil.which("apache2", path=PATHS) else "httpd", "apt-get install apache2")
    modules = next((folder for folder in map(Path, APACHE_MODULES) if folder.is_dir()), None)
    if modules is None:
        pytest.skip("the modules of Apache were not found: apt-get install apache2")
    names = ["mpm_event", "authz_core", "mime", "headers", "setenvif", "filter", "deflate", "proxy", "proxy_http"]
    names += ["ssl"] * bool(place.tls) + ["unixd"] * (modules / "mod_unixd.so").exists()
    load = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
    secure = f"""
        SSLEngine on
        SSLCertificateFile {place.certificate}
        SSLProtocol -all +TLSv{place.tls}
        SSLSessionCache none
    """
    file = place.write(
        "apache.conf",
        f"""
        {load}
        ServerRoot {place.folder}
        DefaultRuntimeDir {place.folder}
        PidFile {place.folder}/pid
        Mutex posixsem
        ErrorLog {place.folder}/error
        Listen 127.0.0.1:{place.port}
        ServerName {NAME}
        StartServers 1
        ThreadsPerChild 16
        MaxRequestWorkers 16
        TypesConfig /dev/null
        AddType text/html .html
        DocumentRoot {place.site}
        {secure if place.tls else ""}
        Header always set X-Peer "expr=%{{REMOTE_PORT}}"
        SetEnvIf Request_URI ^/close/ nokeepalive
        <Directory {place.site}>
            Require all granted
        </Directory>
        <Location /chunked/>
            ProxyPass http://127.0.0.1:{place.backend}/chunked/
            Header unset X-Peer
        </Location>
        <Location /gzip/>
            SetOutputFilter DEFLATE
        </Location>
        """,
    )
    return Command([program, "-d", str(place.folder), "-f", file, "-DFOREGROUND"], own_user=False)


def _lighttpd(place: Place) -> Command:
    program = find("lighttpd", "apt-get install lighttpd lighttpd-mod-openssl lighttpd-mod-deflate")
    slowly = place.write("slowly.sh", '#!/bin/sh\nhead -c 5000 "$1"; sleep 0.005; tail -c +5001 "$1"\n')
    Path(slowly).chmod(0o755)
    secure = f"""
        server.modules += ("mod_openssl")
        ssl.engine = "enable"
        ssl.pemfile = "{place.certificate}"
        ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv{place.tls}", "MaxProtocol" => "TLSv{place.tls}")
    """
    file = place.write(
        "lighttpd.conf",
        f"""
        server.modules = ("mod_accesslog", "mod_cgi", "mod_deflate")
        server.bind = "127.0.0.1"
        server.port = {place.port}
        server.document-root = "{place.site}"
        server.errorlog = "{place.folder}/error"
        accesslog.filename = "{place.folder}/access"
        accesslog.format = "%{{remote}}p %q"
        mimetype.assign = (".html" => "text/html", "" => "application/octet-stream")
        {secure if place.tls else ""}
        $HTTP["url"] =~ "^/gzip/" {{
            deflate.mimetypes = ("text/html")
            deflate.allowed-encodings = ("gzip")
        }}
        $HTTP["url"] =~ "^/close/" {{ server.max-keep-alive-requests = 0 }}
        $HTTP["url"] =~ "^/chunked/" {{
            server.document-root = "{place.site}/cgi"
            server.stream-response-body = 1
            cgi.assign = (".html" => "{slowly}")
        }}
        """,
    )
    return Command([program, "-D", "-f", file], own_user=False)


def _haproxy(place: Place) -> Command:
    program = find("haproxy", "apt-get install haproxy")
    secure = f"ssl crt {place.certificate} ssl-min-ver TLSv{place.tls} ssl-max-ver TLSv{place.tls}"
    file = place.write(
        "haproxy.cfg",
        f"""
        global
            maxconn 200
        defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s
        frontend site
            bind 127.0.0.1:{place.port} {secure if place.tls else ""}
            http-response set-header X-Peer %[src_port]
            http-request set-var(txn.last) bool(true) if {{ path_beg /close/ }}
            http-after-response set-header Connection close if {{ var(txn.last) -m found }}
            use_backend compressing if {{ path_beg /gzip/ }}
            default_backend usual
        backend usual
            server one 127.0.0.1:{place.backend}
        backend compressing
            compression algo gzip
            compression type text/html
            compression offload
            server one 127.0.0.1:{place.backend}
        """,
    )
    return Command([program, "-f", file], own_user=False)


def _caddy(place: Place) -> Command:
    program = find("caddy", "apt-get install caddy")
    secure = f"tls {place.certificate} {place.certificate} {{\nprotocols tls{place.tls} tls{place.tls}\n}}"
    file = place.write(
        "Caddyfile",
        f"""
        {{
            admin off
            auto_https off
            storage file_system {place.folder}
        }}
        {"https" if place.tls else "http"}://{NAME}:{place.port} {{
            bind 127.0.0.1
            {secure if place.tls else ""}
            root * {place.site}
            header {{
                X-Peer {{http.request.remote.port}}
                defer
            }}
            header /close/* Connection close
            encode /gzip/* gzip {{
                minimum_length 1
            }}
            reverse_proxy /chunked/* 127.0.0.1:{place.backend}
            file_server
            handle_errors {{
                header X-Peer {{http.request.remote.port}}
                respond "there is no such page" 404
            }}
        }}
        """,
    )
    return Command([program, "run", "--config", file, "--adapter", "caddyfile"], own_user=False)


_NODE = """
const fs = require("fs"), http = require("http"), https = require("https"), zlib = require("zlib");
const { createHash } = require("crypto");
const [site, port, certificate, version] = process.argv.slice(2);
function answer(request, response) {
    const path = request.url.split("?")[0], file = site + path, kind = path.split("/")[1];
    response.setHeader("X-Peer", request.socket.remotePort);
    if (!fs.existsSync(file)) {
        response.statusCode = 404;
        return response.end("there is no such page");
    }
    const body = fs.readFileSync(file), etag = '"' + createHash("sha1").update(body).digest("hex") + '"';
    const changed = fs.statSync(file).mtime.toUTCString();
    response.setHeader("ETag", etag);
    response.setHeader("Last-Modified", changed);
    if (request.headers["if-none-match"] === etag || request.headers["if-modified-since"] === changed) {
        response.statusCode = 304;
        return response.end();
    }
    if (kind === "close") response.setHeader("Connection", "close");
    if (kind === "gzip") response.setHeader("Content-Encoding", "gzip");
    if (kind === "chunked") {
        for (let start = 0; start < body.length; start += 7001) response.write(body.subarray(start, start + 7001));
        return response.end();
    }
    response.end(kind === "gzip" ? zlib.gzipSync(body) : body);
}
const pem = certificate && fs.readFileSync(certificate);
const server = certificate
    ? https.createServer({ key: pem, cert: pem, minVersion: version, maxVersion: version }, answer)
    : http.createServer(answer);
server.listen(Number(port), "127.0.0.1");
"""


def _node(place: Place) -> Command:
    program = find("node", "apt-get install nodejs")
    secure = [str(place.certificate), f"TLSv{place.tls}"] if place.tls else []
    return Command([program, place.write("server.js", _NODE), str(place.site), str(place.port), *secure])


def _gunicorn(place: Place, *options: str) -> Command:
    need_package("gunicorn")
    file = place.write(
        "gunicorn.conf.py",
        f"""
        from tests.live.origins import tls_of

        def ssl_context(config, default):
            return tls_of({str(place.certificate)!r}, {place.tls!r})
        """,
    )
    secure = ["--certfile", str(place.certificate), "--keyfile", str(place.certificate)] if place.tls else []
    arguments = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{place.port}", "--config", file]
    return Command([*arguments, *options, *secure, "tests.live.origins:wsgi"], (("SITE", str(place.site)),))


def _gunicorn_threads(place: Place) -> Command:
    return _gunicorn(place, "--worker-class", "gthread", "--threads", "4")


def _of_python(kind: str, place: Place) -> Command:
    secure = [str(place.certificate), place.tls] if place.tls else []
    arguments = [sys.executable, "-m", "tests.live.origins", kind, str(place.site), str(place.port), *secure]
    return Command(arguments)


def _http_server(place: Place) -> Command:
    return _of_python("http.server", place)


def _hypercorn(place: Place) -> Command:
    need_package("hypercorn")
    return _of_python("hypercorn", place)


def _http_server_alone(place: Place) -> Command:
    arguments = [sys.executable, "-m", "http.server", str(place.port), "--bind", "127.0.0.1"]
    return Command([*arguments, "--directory", str(place.site)])


ALL_KINDS = Server._field_defaults["kinds"]
KEPT = tuple(kind for kind in ALL_KINDS if kind != "close")
HTTP_SERVER = Server("http.server", _http_server, kinds=(*ALL_KINDS, "open"))
NGINX = Server("nginx", _nginx)
SERVERS = (
    NGINX,
    Server("apache", _apache, needs_backend=True),
    Server("lighttpd", _lighttpd, log="access"),
    Server("haproxy", _haproxy, needs_backend=True),
    Server("caddy", _caddy, needs_backend=True),
    Server("node", _node),
    Server("gunicorn", _gunicorn_threads, kinds=KEPT),
    Server("gunicorn-sync", _gunicorn, kinds=KEPT, keeps=False),
    Server("hypercorn", _hypercorn),
    HTTP_SERVER,
    Server(
        "http.server-1.0",
        _http_server_alone,
        kinds=("plain", "date", "missing"),
        sees_peers=False,
        keeps=False,
        secure=False,
    ),
)


# ---- proxies ---------------------------------------------------------------------------------------------------------


def _squid(place: Place) -> Command:
    program = find("squid", "apt-get install squid")
    helper = place.write(
        "login.sh",
        f"""
        while read -r line; do
            if [ "$line" = "{place.login.replace(":", " ")}" ]; then echo OK; else echo ERR; fi
        done
        """,
    )
    login = f"""
        auth_param basic program /bin/sh {helper}
        auth_param basic children 1
        acl known proxy_auth REQUIRED
        http_access deny !known
    """
    file = place.write(
        "squid.conf",
        f"""
        http_port 127.0.0.1:{place.port}
        {login if place.login else ""}
        http_access allow all
        cache deny all
        cache_mem 8 MB
        memory_pools off
        access_log none
        cache_log {place.folder}/log
        pid_filename none
        coredump_dir {place.folder}
        pinger_enable off
        shutdown_lifetime 0 seconds
        max_filedescriptors 1024
        """,
    )
    return Command([program, "-N", "-n", f"s{place.port}", "-f", file], own_user=False, patience=0.05)


def _tinyproxy(place: Place) -> Command:
    program = find("tinyproxy", "apt-get install tinyproxy-bin")
    file = place.write(
        "tinyproxy.conf",
        f"""
        Port {place.port}
        Listen 127.0.0.1
        Timeout 30
        MaxClients 50
        LogLevel Error
        Allow 127.0.0.1
        {"BasicAuth " + place.login.replace(":", " ") if place.login else ""}
        """,
    )
    return Command([program, "-d", "-c", file], own_user=False)


def _microsocks(place: Place) -> Command:
    program = find("microsocks", "apt-get install microsocks")
    user, _, password = place.login.partition(":")
    login = ["-u", user, "-P", password] if user else []
    return Command([program, "-i", "127.0.0.1", "-p", str(place.port), *login], own_user=False)


def _dante(place: Place) -> Command:
    program = find("danted" if shutil.which("danted", path=PATHS) else "sockd", "apt-get install dante-server")
    file = place.write(
        "dante.conf",
        f"""
        logoutput: {place.folder}/log
        internal: 127.0.0.1 port = {place.port}
        external: lo
        socksmethod: none
        clientmethod: none
        client pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}
        socks pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 protocol: tcp }}
        """,
    )
    return Command([program, "-f", file, "-p", f"{place.folder}/pid"], own_user=False)


PROXIES = (
    Server("squid", _squid),
    Server("tinyproxy", _tinyproxy),
    Server("microsocks", _microsocks),
    Server("dante", _dante),
)
SOCKS = ("microsocks", "dante")
WITHOUT_LOGIN = ("dante",)
"""Those whose logins are accounts of the system."""
