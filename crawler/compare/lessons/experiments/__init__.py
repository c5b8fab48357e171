"""One file per claim, in the order in which they are best read. A file holds `LESSON` and the code that it runs."""

NAMES = (
    "gil",
    "lost_update",
    "thread_local",
    "cpu_or_io",
    "pool_size",
    "start_cost",
    "queue_and_pipe",
    "master_worker",
    "switching",
    "blocking_the_loop",
)
