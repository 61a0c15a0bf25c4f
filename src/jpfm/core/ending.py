"""How a process of a job ended, written where whoever started it looks: not only in a log among a thousand lines.

    JPFM_ENDS=out/model.jobs/ends/3 torchrun ... -m jpfm train ...
    for end in read(Path("out/model.jobs/ends/3")): print(end.rank, end.code, end.message)

A launcher turns every exit code into 1 (torchrun) or the highest of all (srun), and a killed process has said nothing.
So each process leaves a file of its own; the first word counts, because what follows an error is its consequence.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jpfm.core import artifact as artifacts

FOLDER = "JPFM_ENDS"
"""The environment variable that names the folder; without it nothing is written."""


class End(NamedTuple):
    """The end of one process."""

    rank: int
    code: int
    message: str
    hint: str
    time: float
    """Seconds since 1970."""


def record(code: int, message: str = "", hint: str = "", environment: Mapping[str, str] = os.environ) -> bool:
    """Note this process's end, once. Returns whether it was noted now."""
    if FOLDER not in environment:
        return False
    folder, rank = Path(environment[FOLDER]), int(environment.get("RANK", environment.get("SLURM_PROCID", "0")))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{rank}.json"
    if file.exists():
        return False
    end = End(rank, code, message, hint, time.time())
    artifacts.write_text(file, artifacts.canonical_json(end._asdict()) + "\n")
    return True


def is_read_by_a_launcher(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun started this process and a launcher reads the records.

    torchrun takes any code but 0 for a failure: it ends the other processes and prints a traceback of its own.
    """
    return FOLDER in environment and "TORCHELASTIC_RUN_ID" in environment


def read(folder: Path) -> list[End]:
    """The ends noted in a folder, earliest first."""
    ends = [End(**json.loads(file.read_text(encoding="utf-8"))) for file in sorted(folder.glob("*.json"))]
    return sorted(ends, key=lambda end: end.time)
