"""The lessons: classic tutorial claims about asyncio, threads and processes as small honest experiments.

`experiments/` holds one file per claim; `lesson` says what a lesson is and how its claim is judged; `runner` runs
each in a process of its own; `present` tells the outcomes; `commands` is the door.
"""
