"""Heavy pages: read in a process of their own, so that nobody waits for their parser.

Rules, and why:
- The parser holds the GIL from the first byte of a page to the last. Measured on the pages of tests/hostile_pages.py: 6
  to 70 ns a byte, so one of 10 MiB stalls everything else in its process for 60 to 700 ms. A page of 512 KiB takes 3 to
  34 ms, which nobody notices; one that may take more (crawler/core/page/parse_cost.py) crosses to another process.
  Undoing a content coding, compressing and hashing let go of the GIL: on an event loop a thread does that
  (`arun_exclusive`).
- Crossing costs, so honest pages must not: of 4,500 pages of documentation four do.
- One process for each reader of pages, born at the first heavy page: who never meets one pays nothing. It is a fresh
  interpreter with one descriptor, so nothing that is open here crosses, and it may be born by any process, a daemon of
  multiprocessing too, which may have no children of its own.
- One page at a time, from its decoding on: many pages that take much memory do not take it together.
- It may be killed, stopped or lost at any time: it is replaced and the page read again. Only a page that two processes
  did not survive, or that takes too much time or memory, is stored unread, and says so (`ParseSkipped`).
- Where no process can live, the page is read here: slow is better than not at all.
- It dies with us, and earlier only when told: signals of the terminal are not for it.
"""
