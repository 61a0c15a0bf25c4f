"""What the processes of the race between readers and retirement do."""

import time
from pathlib import Path

from jpfm.model import checkpoints
from jpfm.model.checkpoints import Retired, finished_steps, hold

FILES = 12


def make_and_retire(folder: str, number: str) -> None:
    """Make checkpoints of a few files, keep the last, retire the others; prints how often one was held."""
    steps, kept = Path(folder), 0
    for step in range(int(number)):
        made = steps / (checkpoints.step_name(step) + ".partial")
        (made / "logs").mkdir(parents=True)
        for place in range(FILES):
            (made / f"{place}.bin").write_bytes(b"x" * 1000)
        (made / "manifest.json").touch()
        made.rename(steps / checkpoints.step_name(step))
        for path in finished_steps(steps)[:-1]:
            kept += not checkpoints.retire(path)
        time.sleep(0.005)
    (steps / "end").touch()
    print(kept)


def read_until_the_end(folder: str) -> None:
    """Hold the oldest checkpoint again and again, and read all of it; prints how many were held."""
    steps, held = Path(folder), 0
    while not (steps / "end").exists():
        for path in finished_steps(steps)[:1]:
            try:
                with hold(path):
                    for place in range(FILES):
                        assert len((path / f"{place}.bin").read_bytes()) == 1000
                        time.sleep(0.0005)
                    held += 1
            except Retired:
                continue
    print(held)
