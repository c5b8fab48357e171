"""The configurations of real proxies, each for one process on loopback. See tests/live/server_process.py."""

from __future__ import annotations

import shutil

from .server_process import PATHS, Command, Place, Server, find


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
