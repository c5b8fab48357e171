"""The configurations of real HTTP servers, each for one process on loopback. See tests/live/server_process.py."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from .server_process import NAME, PATHS, Command, Place, Server, find, need_package

APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")


def nginx(place: Place, http: str, install: str = "apt-get install nginx-light") -> Command:
    """An nginx of one process with these directives in `http`."""
    temporary = "".join(
        f"{kind}_temp_path {place.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
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
            types {{ text/html html; }}
            {http}
        }}
        """,
    )
    return Command([find("nginx", install), "-e", "stderr", "-c", file], own_user=False)


def _nginx(place: Place) -> Command:
    secure = f"""
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.certificate};
        ssl_protocols TLSv{place.tls};
    """
    return nginx(
        place,
        f"""
        access_log off;
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
        """,
    )


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
    Server("apache", _apache, backend=HTTP_SERVER),
    Server("lighttpd", _lighttpd, log="access"),
    Server("haproxy", _haproxy, backend=HTTP_SERVER),
    Server("caddy", _caddy, backend=HTTP_SERVER),
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
