"""Parses heavy pages in a process of their own, so that their parser does not stall the crawl.

Rules, and why:
- The parser holds the GIL from the first byte of a page to the last. Measured on the pages of tests/hostile_pages.py: 6
  to 70 ns a byte, so one of 10 MiB stalls everything else in its process for 60 to 700 ms. A page of 512 KiB takes 3 to
  34 ms, which is tolerable; one that may take more (crawler/core/page/parse_cost.py) goes to another process. Decoding
  a content coding, compressing and hashing release the GIL: on an event loop a thread does that (`arun_exclusive`).
- The transfer costs time, so ordinary pages stay here: of 4,500 pages of documentation four are sent.
- One process per HeavyReader, started at the first heavy page: a crawl without one pays nothing. It is a fresh
  interpreter with one descriptor, so it inherits no open files. It is started by `subprocess`, which also works in a
  multiprocessing daemon, where multiprocessing allows no children.
- One page at a time, from its decoding on, so that large pages do not add up in memory.
- It may be killed, stopped or lost at any time: it is replaced and the page retried. Only a page that ended two
  processes, or that takes too much time or memory, is stored unread, with the reason (`ParseSkipped`).
- Where no process can be started, the page is parsed here: slow is better than not at all.
- It ends with its parent, or when the parent ends it: signals of the terminal are not for it.
"""
