"""Does an engine keep its slots busy when every page has a latency? `python -m tests.latency`

One host, a constant latency, a flat list of URLs, as many connections as fetches in flight: the highest possible rate
is slots / latency (Little's law). Pages per second and fetches in flight are counted by the server, in its steady
window.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from crawler.testweb.flat import FlatWeb
from crawler.testweb.process import start_web
from crawler.testweb.referee import judge
from crawler.testweb.settings import to_toml


def main() -> None:
    """Measure each mode and print its share of the possible rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=["async", "threads", "processes"])
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--concurrency", type=int, default=100)
    chosen = parser.parse_args()
    possible = chosen.concurrency / chosen.latency
    print(f"{'mode':10} {'of possible':>12} {'mean in flight':>15} {'most':>5}   ({possible:.0f} pages/s are possible)")
    for mode in chosen.modes:
        with tempfile.TemporaryDirectory() as name:
            log, config = Path(name, "web.log"), Path(name, "web.toml")
            with start_web(flat=chosen.pages, latency=chosen.latency, log=log) as web:
                config.write_text(to_toml(web.settings))
                slots = str(chosen.concurrency)
                command = [
                    *(sys.executable, "-m", "crawler", "--mode", mode, "--profile", "fast", "--config", str(config)),
                    *("--concurrency", slots, "--per-host", slots, "--out", str(Path(name, "out")), "--json", "-q"),
                ]
                summary = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                assert summary["urls"] == chosen.pages + 1, summary
            flat = FlatWeb(chosen.pages, chosen.latency)
            verdict = judge(log, flat, 0.0, per_host=chosen.concurrency)
        share, steady = verdict.steady.throughput / possible, verdict.steady
        print(f"{mode:10} {share:>12.3f} {steady.mean_in_flight:>15.1f} {verdict.most_in_flight:>5}")


if __name__ == "__main__":
    main()
