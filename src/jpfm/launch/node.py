"""What a job runs on each node: torchrun with one process a GPU; signals and the time limit reach the processes.

    python -m jpfm.launch.node --rank 1 --nodes 4 --processes 8 --head 10.0.0.1 --port 21234 --jobs out/8B.jobs \\
        -- train out/8B.jobs/config.yaml --out out/8B

The first host is the meeting point (static rendezvous): ranks follow the order of the nodes, and nothing is guessed.
torchrun answers a signal by ending its processes within 30 seconds; saving takes longer. So it ignores them, and
the processes themselves are told: SIGUSR1, SIGTERM or SIGINT here,
`--until`, or the file `stop` in the folder of the job become one SIGUSR1 to each. It is enough that one node does: the
trainer adds the flags of all processes up.

Refused: one srun task a GPU. It works (`srun jpfm train`), but PBS and AGE have nothing like it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from jpfm.core import ending
from jpfm.core.errors import Preempted
from jpfm.core.log import log, setup
from jpfm.core.parent import end_with_parent

STOP = "stop"
"""A file of this name in the folder of a job asks it to save and end."""
OVER = "over"
"""A file of this name in the folder of a start says that its first node has ended."""
LOOK_SECONDS = 0.5
_OVER_SECONDS = 45
_AGAIN_SECONDS = 10
_GONE_SECONDS = 10
_HANDLED = {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGQUIT", "PET_SIGNALS_TO_HANDLE": "SIGQUIT"}
"""Signals for which torchrun has handlers of its own: its environment, and the default of its option."""
ASKING = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@dataclass
class Node:
    """One node's part of a job."""

    rank: int
    nodes: int
    processes: int
    head: str
    port: int
    jobs: Path
    until: float | None
    """Seconds since 1970 at which the processes are told to save; None where the scheduler sends a signal."""
    arguments: Sequence[str]
    """Of `jpfm`."""
    asked: str | None = None
    """Why the processes are told to stop."""
    again_at: float = 0.0
    """By the monotonic clock: when they are told again; 0 before the first time."""

    over_at: float | None = None
    """By the monotonic clock: when the end of the first node was seen."""
    gone_at: float | None = None
    """The same: when its own processes were found to have ended."""
    alone: bool = False
    """Run jpfm itself instead of torchrun with processes of it."""

    def command(self) -> list[str]:
        """The command that starts the processes."""
        if self.alone:
            return [sys.executable, "-m", "jpfm", *self.arguments]
        return [
            sys.executable, "-m", "jpfm.launch.elastic",
            f"--nnodes={self.nodes}", f"--node-rank={self.rank}", f"--nproc-per-node={self.processes}",
            f"--master-addr={self.head}", f"--master-port={self.port}",
            "-m", "jpfm", *self.arguments,
        ]  # fmt: skip

    def run(self) -> int:
        """Start the processes and wait for them. Returns the exit code that says how they ended."""
        for number in ASKING:
            signal.signal(number, self._note)
        code = self.supervise(self.command(), os.environ | _HANDLED)
        return code if self.alone else self._outcome(code)

    def supervise(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a command; while it runs, watch the clock and the file `stop`, and pass on what asks for an end."""
        log.info("node %d of %d: %s", self.rank, self.nodes, " ".join(command))
        with subprocess.Popen(
            command, env=environment, start_new_session=True,
            preexec_fn=_with_this_process if self.alone else _prepare_launcher,  # noqa: PLW1509 - no threads here
        ) as process:  # fmt: skip
            while True:
                if self._is_over():
                    log.error(
                        "node %d: the first node has ended %d s ago; ending its processes", self.rank, _OVER_SECONDS
                    )
                    for number in (*children(process.pid), process.pid):
                        with suppress(ProcessLookupError):  # it has just ended
                            os.kill(number, signal.SIGKILL)
                try:
                    return process.wait(LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    self._look()
                if not self.alone and self._are_gone(process.pid):
                    process.kill()  # it waits for the other nodes, which may have ended long ago
                if self.asked is not None:
                    self._tell([process.pid] if self.alone else children(process.pid))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.asked or signal.Signals(number).name

    def _look(self) -> None:
        if self.until is not None and time.time() >= self.until:
            self.asked = self.asked or "the end of the time limit"
        if (self.jobs / STOP).exists():
            self.asked = self.asked or "`jpfm submit stop`"

    def _tell(self, processes: Sequence[int]) -> None:
        """Ask the processes to stop, again and again: one that is still being started does not hear it."""
        if not processes or time.monotonic() < self.again_at:
            return
        if not self.again_at:
            log.warning("%s: %d processes are told to save and stop", self.asked, len(processes))
        self.again_at = time.monotonic() + _AGAIN_SECONDS
        for process in processes:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGUSR1)

    def _is_over(self) -> bool:
        """Whether the job's first node has ended long ago; a scheduler does not end what ssh started."""
        folder = os.environ.get(ending.FOLDER)
        if self.over_at is None and folder and (Path(folder) / OVER).exists():
            self.over_at = time.monotonic()
        return self.over_at is not None and time.monotonic() - self.over_at > _OVER_SECONDS

    def _said(self) -> list[int]:
        """Codes with which this node's processes have said that they end, the earliest first."""
        own = range(self.rank * self.processes, (self.rank + 1) * self.processes)
        folder = os.environ.get(ending.FOLDER)
        return [end.code for end in ending.read(Path(folder)) if end.rank in own] if folder else []

    def _are_gone(self, launcher: int) -> bool:
        """Whether this node's processes have all ended some time ago."""
        if children(launcher) or len(self._said()) < self.processes:
            self.gone_at = None
        elif self.gone_at is None:
            self.gone_at = time.monotonic()
        return self.gone_at is not None and time.monotonic() - self.gone_at > _GONE_SECONDS

    def _outcome(self, code: int) -> int:
        """The code of the first of this node's processes that failed; torchrun itself only knows 0 and 1."""
        codes = self._said()
        failed = [found for found in codes if found not in (0, Preempted.exit_code)]
        if failed:
            return failed[0]
        if Preempted.exit_code in codes or (code and self.asked is not None):
            return Preempted.exit_code
        return 0 if len(codes) == self.processes else code


def _with_this_process() -> None:
    """A command does not outlive this process: it stops and saves. What it is told before it can hear is told again."""
    end_with_parent(signal.SIGTERM)
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)


def _prepare_launcher() -> None:
    """torchrun ignores what schedulers send to every process of a job, and does not outlive this one.

    The processes it starts have handlers of their own, and stop and save when it ends.
    """
    end_with_parent(signal.SIGKILL)
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)


def children(process: int) -> list[int]:
    """Processes that a process has started and that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if int(fields[1]) == process and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def main(words: Sequence[str] | None = None, kind: "type[Node] | None" = None) -> int:
    """Entry point, also of other kinds of nodes."""
    parser = argparse.ArgumentParser(prog="python -m jpfm.launch.node", description=__doc__)
    for name, default in (("rank", 0), ("nodes", 1), ("processes", 1), ("port", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--head", default="127.0.0.1", help="address of the first node")
    parser.add_argument("--alone", action="store_true", help="one process on one node, without torchrun")
    parser.add_argument("--jobs", type=Path, required=True, help="folder of the job")
    parser.add_argument("--until", type=float, help="seconds since 1970 at which to stop and save")
    parser.add_argument("--told", action="store_true", help="to stop, while the node was prepared")
    parser.add_argument("--cache", type=Path, help="folder on this node's own disk, removed at the end")
    parser.add_argument("arguments", nargs="+", metavar="-- ARGUMENTS OF jpfm")
    given = parser.parse_args(words)
    setup()
    node = (kind or Node)(
        given.rank,
        given.nodes,
        given.processes,
        given.head,
        given.port,
        given.jobs,
        given.until,
        given.arguments,
        "a signal" if given.told else None,
        alone=given.alone,
    )
    try:
        code = node.run()
        return code if code >= 0 else 128 - code  # as a shell says it
    finally:
        if given.cache is not None:
            shutil.rmtree(given.cache, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
