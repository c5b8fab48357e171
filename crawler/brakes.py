"""What holds a run back from outside of the crawl: too much memory taken, too little disk left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from crawler.disk import DiskBrake
from crawler.job import Job
from crawler.memory import Brake


def put_brakes(job: Job) -> Callable[[int], None]:
    """Put all brakes on a job. What is returned is to be told the weight (bytes) of the run once a second."""
    settings, recorder = job.settings, job.recorder
    memory = Brake(job.memory, job.wake)
    recorder.brake(memory.room)
    if job.folder is None:
        return memory.weigh
    disk = DiskBrake(job.folder, settings.disk_reserve, settings.disk_wait, job.wake, recorder.pause)
    recorder.brake(disk.room)

    def look(weight: int) -> None:
        memory.weigh(weight)
        with suppress(OSError):  # whoever writes there next will say it better
            disk.look()

    return look
