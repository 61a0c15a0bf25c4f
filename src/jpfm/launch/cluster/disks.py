"""The shared folder as all nodes see it: its speed, whether it is one folder at all, and whether its locks hold.

Each node writes a file and reads another node's: what a node wrote itself it would read from its own memory. First one
node after the other, then all at once. Then each looks for the others' files, and tries the lock that the first holds
(`core.lock` relies on it: on some mounts flock keeps out only processes of the same node, or fails).
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from jpfm.launch.cluster.deadline import Late, within
from jpfm.launch.cluster.facts import Disk
from jpfm.launch.cluster.meeting import Meeting
from jpfm.launch.cluster.trial import Trial

_BLOCK = 1 << 20


class Disks:
    """The disk part of a preflight, in one process; only the first process of each node touches the disk."""

    def __init__(self, meeting: Meeting, folder: Path, own: str | None, trial: Trial) -> None:
        self.meeting, self.folder, self.own, self.trial = meeting, folder, own, trial
        """`own` is None in the processes that only listen."""
        self.nodes: list[str] = []
        self.facts: dict[str, Any] = {"mib": trial.disk_mib}
        self._limit = trial.patience_seconds + 3 * trial.disk_seconds + trial.seen_seconds

    def look(self, nodes: Sequence[str]) -> dict[int, Disk]:
        """All of it. The main process gets what each rank saw; ranks that only listened say nothing.

        Args:
            nodes: those that take part, as the main process sees it.
        """
        plan = json.dumps({"name": f".jpfm-preflight-{uuid.uuid4().hex}", "nodes": nodes})
        said = json.loads(self.meeting.announce("disk", plan, 2 * self._limit))
        self.nodes = said["nodes"]
        if self.own not in self.nodes:
            self.own = None
        place = self.folder / said["name"]
        self._try(lambda: self._make(place))
        for kind in ("write", "read"):
            for node in self.nodes:
                self._together(f"disk {kind}, {node}", partial(self._rate, kind, place, "alone"), node)
        self._together("disk write, all at once", lambda: self._rate("write", place, "together"))
        self._together("disk read, all at once", lambda: self._rate("read", place, "together"))
        self._together("files of other nodes", lambda: self._see(place))
        self._lock(place)
        self._clean(lambda: self._remove(place))
        answers = self.meeting.collect("disk", json.dumps(self.facts if self.own else None), self._limit)
        self._clean(place.rmdir)  # now that no file is left in it
        return {rank: Disk.model_validate_json(text) for rank, text in answers.items() if text != "null"}

    def _together(self, stage: str, act: Callable[[], None], node: str | None = None) -> None:
        """One node acts, or all do; everybody waits until it is done."""
        self.meeting.announce(stage, "", 2 * self._limit)
        if node is None or node == self.own:
            self._try(act)
        self.meeting.collect(stage, "", self._limit)

    def _try(self, act: Callable[[], object]) -> None:
        """A disk that failed is not asked again."""
        if self.own is None or "error" in self.facts:
            return
        try:
            within(self._limit - 1, act)
        except Late as late:
            self.facts["error"] = f"{self.folder}: a call {late}"
        except OSError as error:
            self.facts["error"] = f"{error.filename or self.folder}: {error.strerror or error}"

    def _file(self, place: Path, node: str, when: str) -> Path:
        return place / f"{self.nodes.index(node)}.{when}"

    def _rate(self, kind: str, place: Path, when: str) -> None:
        assert self.own is not None
        if kind == "write":
            rate: float | None = self._write(self._file(place, self.own, when))
        else:
            rate = self._read(self._file(place, self.nodes[self.nodes.index(self.own) - 1], when))
        self.facts[f"{kind}_{when}"] = rate

    def _write(self, path: Path) -> float:
        """MB a second, with fsync."""
        block, written = os.urandom(_BLOCK), 0
        start = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            while written < self.trial.disk_mib << 20 and time.perf_counter() - start < self.trial.disk_seconds:
                written += file.write(block)
            os.fsync(file.fileno())
            taken = time.perf_counter() - start
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return round(written / 1e6 / taken, 1)

    def _read(self, path: Path) -> float | None:
        """MB a second; None where there is no such file."""
        read, end = 0, time.monotonic() + self.trial.seen_seconds
        while not path.exists():
            if time.monotonic() > end:
                return None
            time.sleep(0.1)
        start = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while time.perf_counter() - start < self.trial.disk_seconds and (block := file.read(4 * _BLOCK)):
                read += len(block)
        return round(read / 1e6 / (time.perf_counter() - start), 1)

    def _see(self, place: Path) -> None:
        start = time.monotonic()
        unseen = [node for node in self.nodes if node != self.own]
        while True:
            unseen = [node for node in unseen if not self._file(place, node, "together").exists()]
            waited = time.monotonic() - start
            if not unseen or waited > self.trial.seen_seconds:
                break
            time.sleep(0.1)
        self.facts |= {"unseen": unseen, "seen_after_seconds": None if unseen else round(waited, 2)}

    def _lock(self, place: Path) -> None:
        path, first = place / "lock", self.nodes[0]
        with self._held(path) if self.own == first else nullcontext():
            self.meeting.announce("locks", "", 2 * self._limit)
            if self.own != first and first not in self.facts.get("unseen", ()):
                self._try(lambda: self._take(path))
            self.meeting.collect("locks", "", self._limit)

    @contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        handle: list[int] = []

        def take() -> None:
            handle.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
            _flock(handle[0])

        self._try(take)
        try:
            yield
        finally:
            for number in handle:
                os.close(number)

    def _take(self, path: Path) -> None:
        number = os.open(path, os.O_RDWR)
        try:
            _flock(number)
            self.facts["lock"] = "taken twice"
        except BlockingIOError:
            self.facts["lock"] = "kept"
        finally:
            os.close(number)

    def _make(self, place: Path) -> None:
        """The folder itself is not made: on a node where the shared disk is missing that would hide it."""
        place.mkdir(exist_ok=True)

    def _clean(self, act: Callable[[], object]) -> None:
        """Also on a disk that failed; what cannot be removed stays."""
        if self.own is not None:
            with suppress(OSError, Late):
                within(self._limit - 1, act)

    def _remove(self, place: Path) -> None:
        assert self.own is not None
        for when in ("alone", "together"):
            self._file(place, self.own, when).unlink(missing_ok=True)
        if self.own == self.nodes[0]:
            (place / "lock").unlink(missing_ok=True)


def _flock(number: int) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"this file system has no locks ({error.strerror})") from error
