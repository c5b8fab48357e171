"""The lessons: classic tutorial claims about asyncio, threads and processes as small experiments.

`experiments/` holds one file per claim; `lesson` defines a lesson and judges its claim; `runner` runs each in its own
process; `present` shows the outcomes; `commands` is the command line.
"""
