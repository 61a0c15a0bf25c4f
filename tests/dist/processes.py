"""Runs of several processes, for tests: started, watched, signalled, ended.

run = processes.start(["train", str(config), "--out", str(out)], 4)
run.wait_for_step(out, 6); run.send(2, signal.SIGUSR1)
assert run.wait() == [75, 75, 75, 75], run.errors()
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.conftest import ROOT, tiny_training

from jpfm.core.artifact import Artifact

ZYGOTE = Path(__file__).parent / "zygote.py"
SECONDS = 120.0


def until(happens: Callable[[], object], otherwise: Callable[[], str], seconds: float = SECONDS) -> None:
    """Wait for something, looking fifty times a second."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def metrics(out: Path) -> list[dict[str, Any]]:
    """The steps that a run, finished or not, has written down."""
    for folder in (out, out.with_name(out.name + ".partial")):
        file = folder / "logs" / "metrics.jsonl"
        if file.exists():
            return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return []


def losses(out: Path) -> list[float]:
    """Their losses."""
    return [row["loss"] for row in metrics(out)]


def norms(out: Path) -> list[float]:
    """Their gradient norms."""
    return [row["grad_norm"] for row in metrics(out)]


def write_config(tokens: Artifact, path: Path, **changes: object) -> Path:
    """A config of a run of seconds, as a user's file."""
    path.write_text(yaml.safe_dump(tiny_training(tokens, **changes).model_dump(mode="json")), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Run:
    """Processes that were started together; each has its files in `folder`."""

    folder: Path
    size: int

    def pids(self) -> list[int]:
        """Of all processes, in order of rank."""
        files = [self.folder / f"{rank}.pid" for rank in range(self.size)]
        until(lambda: all(file.exists() for file in files), lambda: "the processes do not start")
        return [int(file.read_text()) for file in files]

    def send(self, rank: int, number: signal.Signals) -> None:
        """A signal to one process."""
        os.kill(self.pids()[rank], number)

    def codes(self) -> list[int | None]:
        """Exit codes; None for a process that runs."""
        files = [self.folder / f"{rank}.code" for rank in range(self.size)]
        return [int(file.read_text()) if file.exists() else None for file in files]

    def end(self) -> None:
        """Kill what still runs."""
        for pid, code in zip(self.pids(), self.codes(), strict=True):
            if code is None:
                os.kill(pid, signal.SIGKILL)
        until(lambda: None not in self.codes(), lambda: "processes that do not die")

    def wait(self, seconds: float = SECONDS) -> list[int | None]:
        """Until all have ended. When some do not, they say where they hang, and the test fails."""
        try:
            until(lambda: None not in self.codes() or any(self.codes()), lambda: "they hang", seconds)
            until(lambda: None not in self.codes(), lambda: "one has failed, and the others do not follow", 20)
        except AssertionError as error:
            for rank, code in enumerate(self.codes()):
                if code is None:
                    self.send(rank, signal.SIGQUIT)
            time.sleep(0.5)
            self.end()
            raise AssertionError(f"{error}: {self.codes()}\n{self.errors()}") from None
        return self.codes()

    def wait_for_step(self, out: Path, step: int) -> None:
        """Until the run has written a step down."""
        until(lambda: len(metrics(out)) >= step or any(code is not None for code in self.codes()), self.errors)
        assert len(metrics(out)) >= step, self.errors()

    def text(self, rank: int, kind: str = "err") -> str:
        """What a process wrote to stderr (or `out`)."""
        file = self.folder / f"{rank}.{kind}"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def errors(self) -> str:
        """What all processes wrote to stderr, the last lines."""
        return "\n".join(f"--- {rank}\n{self.text(rank)[-2500:]}" for rank in range(self.size))


class Processes:
    """Starts runs by forking a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, str(ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def start(self, argv: Sequence[str | Path], size: int, *, call: str | None = None, **environ: str) -> Run:
        """Start the command line (or a function) in so many processes."""
        self._count += 1
        run = Run(self.folder / str(self._count), size)
        run.folder.mkdir()
        own = {"OMP_NUM_THREADS": "1"}
        if size > 1:
            own |= {"RANK": "RANK", "LOCAL_RANK": "RANK", "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}  # fmt: skip
        request = {"folder": str(run.folder), "processes": size, "argv": [str(word) for word in argv], "call": call,
                   "environ": own | environ}  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return run

    def train(self, config: Path, out: Path, size: int, *overrides: str, **environ: str) -> Run:
        """Start `jpfm train CONFIG OVERRIDES --out OUT`."""
        return self.start(["train", config, *overrides, "--out", out], size, **environ)

    def trained(self, config: Path, out: Path, size: int, *overrides: str) -> Path:
        """The same, to its end, which must be a good one. Returns the folder."""
        run = self.train(config, out, size, *overrides)
        assert run.wait() == [0] * size, run.errors()
        return out

    def close(self) -> None:
        """End the forking process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
