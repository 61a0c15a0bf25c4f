"""Functions that the tests send to Ray workers."""

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from jpfm.core.errors import UsageError
from jpfm.core.log import log


@dataclass(frozen=True)
class Job:
    """What one job shall do, and where it may leave marks."""

    number: int
    folder: str
    seconds: float = 0.0
    deaths: int = 0
    fails: str = ""

    @property
    def name(self) -> str:
        return f"shard web-{self.number:05d}"


def work(job: Job) -> int:
    """Die as often as the job says, or fail, or take a while; then give its square."""
    for death in range(job.deaths):
        mark = Path(job.folder) / f"{job.number}.died{death}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(job.seconds)
    if job.fails == "usage":
        raise UsageError(f"job {job.number} is wrong", hint="mend it")
    if job.fails == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", f"{job.number}.parquet")
    if job.fails == "bug":
        raise KeyError(job.number)
    if job.number % 10 == 9:
        log.warning("job %d is odd", job.number)
    return job.number**2


def write_for_long(job: Job) -> int:
    """Add to a file until killed."""
    Path(job.folder, f"{job.number}.pid").write_text(str(os.getpid()))
    with Path(job.folder, f"{job.number}.beat").open("a") as file:
        until = time.monotonic() + 60 * bool(job.seconds)
        while time.monotonic() < until:
            file.write(".")
            file.flush()
            time.sleep(0.02)
    return job.number


def where(name: str) -> tuple[str, str, str | None]:
    """The folder a relative name is looked for in, what is in it, and how many threads Numba may take."""
    return os.getcwd(), Path(name).read_text(), os.environ.get("NUMBA_NUM_THREADS")
