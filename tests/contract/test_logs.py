"""Everything on stderr of our processes is a log record: libraries, warnings, exceptions in threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import crawler

ROOT = Path(crawler.__file__).parents[1]
HOSTILE = "a\\x1b[2J\\nfake entry\\x9b\\u202e"
SPEAKERS = f"""
import logging, threading, warnings
from crawler.system.logs import capture_library_logs
capture_library_logs()
logging.getLogger("urllib3").warning("said %s", "{HOSTILE}")
logging.getLogger("asyncio").info("{HOSTILE}")
warnings.warn("{HOSTILE}")
def fail():
    raise ValueError("{HOSTILE}")
def leave():
    raise SystemExit
for work in (fail, leave):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
class Lost:
    def __del__(self):
        fail()
Lost()
try:
    fail()
except ValueError:
    logging.getLogger("aiohttp").exception("caught")
"""


def said(program: str) -> bytes:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, timeout=60).stderr


def test_each_message_of_a_library_is_one_record() -> None:
    lines = said(SPEAKERS).split(b"\n")
    assert lines.pop() == b""
    assert all(32 <= byte < 127 for line in lines for byte in line)
    records = [json.loads(line) for line in lines]
    assert [(one["level"], one["logger"]) for one in records] == [
        ("warning", "urllib3"),
        ("warning", "py.warnings"),
        ("error", "crawler"),
        ("error", "crawler"),
        ("error", "aiohttp"),
    ]
    assert records[0]["event"] == "said a\x1b[2J\nfake entry\x9b\u202e"
    assert "ValueError: a\x1b[2J" in records[2]["exception"] and "in fail" in records[4]["exception"]


def test_a_program_keeps_its_own_loggers() -> None:
    own = "import logging; logging.basicConfig(format='OWN %(message)s'); "
    own += "from crawler.system.logs import capture_library_logs;"
    assert said(f"{own} capture_library_logs(); logging.getLogger('urllib3').warning('x')") == b"OWN x\n"
