"""The fixed text of every report: its words, the method, and its limits."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.compare.gates import WARNING
from crawler.compare.intervals import LEAST
from crawler.compare.records import Site, Trial
from crawler.compare.results import Results
from crawler.report.numbers import counted

WORDS = {
    "arm": "One engine with its client, as it takes part. The base is the arm that the others are compared with.",
    "condition": "What all arms crawl, and how: the web, its pages and latency, the fetches in flight. The headline is "
    "the condition of the first table; a sweep varies one thing of it.",
    "in flight, slots": "How many fetches an engine may have under way at once.",
    "trial": "One crawl of one arm under one condition, in processes of its own.",
    "block": "One trial of each arm, in random order. Ratios compare trials of one block.",
    "gate": "A check that a trial has done the work that was asked for. A trial that fails one is void: it is shown, "
    "not counted.",
    "oracle, referee": "The oracle computes what a crawl of the web must end with, without crawling it. The referee "
    "checks the log of the server.",
    "A/A": "The base once more under another name: what differs there is noise.",
    "ceiling": "A rate that no engine can exceed under a condition, whatever it does; it is computed.",
    "Little's law, CPU roof": "Two ceilings: slots / latency, and the cores that an engine can use / its CPU per page.",
    "switches": "How often the kernel let another thread or process run.",
    "overhead": "What an engine adds to the time until the first byte of an answer, beyond what the server took.",
    "raw client loop": "A loop that only fetches the same pages with a client and throws them away.",
    "steady window": "The time between the first and the last tenth of the stored pages: without start and end.",
    "cold start": "From the start of the process to its exit, with all that an engine does before its first fetch.",
    "[low, high]": "The 95 % interval of a value. In round brackets: the range of values that are too few for one.",
    "PSS": "Memory of all processes of an engine, where memory that several share counts once.",
}
"""The words of a report that someone who did not build it may not know."""

_METHOD = (
    "A trial is one crawl in fresh processes. A block runs every arm once, in seeded random order; arms are "
    "compared only within blocks, so a slow drift of the machine affects all of them alike. The first block is a "
    "warm-up and is not counted.",
    "Ratios are geometric means of within-block ratios with their 95 % intervals: Student's, taken at a nominal 97 %, "
    "which simulated sessions with drift, bursts and skewed noise show to hold the truth in 93 % of cases or more. "
    "Levels are geometric means over blocks.",
    f"A verdict needs {LEAST} blocks. With fewer, the smallest and the largest value stand in round brackets, and "
    "nothing is claimed.",
    "The region of practical equivalence is 3 %. Faster and slower: the interval lies wholly beyond it and beyond the "
    "A/A arm's interval, and Holm's correction over all comparisons of a figure is passed. Equivalent: both intervals "
    "lie wholly inside the region. Anything else is inconclusive.",
    "The A/A arm is the base engine once more, under another name. Where the interval of its ratio excludes 1, the "
    "measurement separates two equal engines, and no difference is claimed.",
    "Sweeps are read level by level. A crossing is interpolated between levels in log space, and reported only "
    "where the intervals exclude a tie on both sides of it and the verdicts differ there.",
    "Rates are those of the commits between the first and the last tenth of the pages. Where the halves of that window "
    "differ by more than 10 %, the trial carries a warning.",
    "Design, rules and predictions were fixed before the first trial, in preregistration.json; its hash is below.",
    "Outliers are counted and shown, never dropped. CPU, memory and switches are sums over the whole process tree.",
    "Ceilings are computed, not fitted. Little's law: slots / latency. CPU roof: the cores that an engine can use / "
    "its CPU seconds per page (one core for one event loop). Politeness: hosts / delay. A linked web: the time of all "
    "its answers / slots, or of its longest chain of links with the pauses between, whichever is longer.",
)

_PROOF = (
    "A trial counts only if it passes every gate: the records equal those of an oracle computed offline, on disk "
    "too, and the server saw each request once, at the concurrency and the pace asked for.",
)
_AGREEMENT = (
    "The pages are a fixed list of URLs of a real site: there is no oracle and no referee. A trial counts only if it "
    "ends with the same URLs, reasons and statuses as the first valid one of its block, and if what it stored, read "
    "back, has the digest that it reported. Duplicates, pauses and fetches in flight are as the crawl reports them.",
)

_LOOPBACK = (
    "Loopback: no loss, no round trip, no bandwidth limit; latency is the server's own delay.",
    "One machine: the server shares caches and memory with the crawler.",
    "HTTP/1.1 without TLS, while much of the web is fetched over TLS and HTTP/2.",
    "Synthetic pages parse unlike real ones.",
)
_WORLD = (
    "The site and the way to it change while they are compared: blocks allow for that, but not for a burst within one.",
    "The delay decides how fast a polite crawl is, whatever the engine.",
)
_ALWAYS = (
    "An engine is compared together with its client, and the client may matter more than the engine.",
    "One processor, one kernel: the ratios are of this machine.",
)


def how(site: Site | None) -> tuple[str, ...]:
    """The method, on our own webs or on a site."""
    return (_METHOD[0], *(_AGREEMENT if site else _PROOF), *_METHOD[1:])


def blind_spots(site: Site | None) -> tuple[str, ...]:
    """The limits of the method."""
    return (*(_WORLD if site else _LOOPBACK), *_ALWAYS)


def on_site(site: Site) -> str:
    """The caveats of a comparison on a site."""
    manners = f"the profile {site.profile}{' and a configuration of the user' if site.configured else ''}"
    return (
        f"{counted(len(site.urls), 'URL')} of {site.named}, asked for with {manners}. "
        "No oracle and no referee: the arms only had to agree with each other within a block."
    )


def disturbed(trials: Sequence[Trial]) -> str:
    """How many trials other processes disturbed, void or not, with an example; "" if none."""
    quiet = [gate for trial in trials for gate in trial.gates if gate.name == "G9"]
    seen = [gate.detail.removeprefix(WARNING) for gate in quiet if not gate.passed or gate.detail.startswith(WARNING)]
    if not seen:
        return ""
    return f"Other processes disturbed {len(seen):,} of {counted(len(trials), 'trial')}, the first so: {seen[0]}."


def conditions_of_claims(found: Results) -> str:
    """Why a report claims nothing."""
    return (
        f"A verdict needs {LEAST} valid blocks of every engine; at the headline condition some engine has only "
        f"{found.blocks}. What follows describes these trials, not the engines."
    )
