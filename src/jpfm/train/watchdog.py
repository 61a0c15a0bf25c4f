"""A step in which nothing moves ends with the names of the processes that hang, not with a silent day of waiting.

with Watchdog(rank, world, timeout_seconds=1800) as watchdog:
    watchdog.at(step, "backward")

Each process has a thread that tells a shared store once a second where its loop is. A process whose own loop has not
moved for the timeout reads what all others said: one that is behind, or no longer speaks, is named, and the process
ends with exit code 6, so that the launcher ends the others. torch's own timeout comes later and knows neither.

The store may hang with the process that keeps it, so no thread that counts seconds ever speaks to it: one thread beats,
one watches, and a third asks and is waited for so long only.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from jpfm.core import ending
from jpfm.core.errors import ModelError
from jpfm.core.log import log

_BEAT_SECONDS = 1.0
_SILENT_BEATS = 3
_ANSWER_SECONDS = 2.0


class Watchdog:
    """Watches one process's loop; also alone, where it names the step that hangs."""

    def __init__(self, rank: int, world: int, timeout_seconds: float) -> None:
        self.rank, self.world, self.timeout = rank, world, timeout_seconds
        self._place: tuple[int, str] = (0, "starting")
        self._moved = time.monotonic()
        self._counting = True
        self._done = threading.Event()
        self._store: Any = None
        self._threads = [
            threading.Thread(target=task, name=f"watchdog {task.__name__}", daemon=True)
            for task in ((self._watch, self._beat) if world > 1 else (self._watch,))
        ]

    def at(self, step: int, phase: str) -> None:
        """The loop is here now; costs two assignments."""
        self._place = (step, phase)
        self._moved = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what takes as long as it takes: hashing and writing a checkpoint, and waiting for who does."""
        self._counting = False
        try:
            yield
        finally:
            self._moved = time.monotonic()
            self._counting = True

    def __enter__(self) -> "Watchdog":
        if self.world > 1:
            default = dist.distributed_c10d._get_default_store()
            self._store = dist.PrefixStore("jpfm/beat", default.clone() if hasattr(default, "clone") else default)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join(_BEAT_SECONDS)  # it hangs where the store does

    def _beat(self) -> None:
        beat = 0
        while not self._done.wait(_BEAT_SECONDS):
            beat += 1
            step, phase = self._place
            try:
                self._store.set(str(self.rank), f"{beat}\t{step}\t{phase}")
            except RuntimeError:  # whoever keeps the store has ended: the loop's own collectives will say so
                return

    def _watch(self) -> None:
        while not self._done.wait(min(_BEAT_SECONDS, self.timeout / 4)):
            if self._counting and time.monotonic() - self._moved > self.timeout:
                self._end(*self._place)

    def _end(self, step: int, phase: str) -> None:
        text = f"step {step}: nothing moved for {self.timeout:g} s; process {self.rank} waits in {phase}"
        if self._store is not None:
            answer: list[str] = []
            asking = threading.Thread(target=lambda: answer.append(self._others(step)), daemon=True)
            asking.start()
            asking.join(_SILENT_BEATS * _BEAT_SECONDS + _ANSWER_SECONDS)
            text += f"; {answer[0] if answer else f'no sign of life from {_keeper()}'}"
        hint = "look at that process's node; run the same command again to resume"
        log.error("%s. Hint: %s", text, hint)
        ending.record(ModelError.exit_code, text, hint)
        sys.stderr.flush()
        os._exit(ModelError.exit_code)

    def _others(self, step: int) -> str:
        """Which processes are behind or silent."""
        first, again = self._read(), {}
        for _ in range(_SILENT_BEATS):
            time.sleep(_BEAT_SECONDS)
            again = self._read()
        silent = [rank for rank in range(self.world) if first.get(rank) == again.get(rank) and rank != self.rank]
        if silent:
            places = ", ".join(f"process {rank} ({_words(again.get(rank))})" for rank in silent)
            return f"no sign of life from {places}"
        place = {rank: (value[1], value[2]) for rank, value in again.items()}
        behind = [rank for rank, (number, _) in place.items() if number < max(n for n, _ in place.values())]
        named = behind or [rank for rank in place if place[rank] != (step, self._place[1])]
        if not named:
            return "all processes wait at the same place: the network between them stands still"
        return "behind the others: " + ", ".join(f"process {rank} ({_words(again[rank])})" for rank in named)

    def _read(self) -> dict[int, tuple[int, int, str]]:
        out = {}
        for rank in range(self.world):
            try:
                if self._store.check([str(rank)]):
                    beat, step, phase = self._store.get(str(rank)).decode().split("\t")
                    out[rank] = (int(beat), int(step), phase)
            except RuntimeError:
                break
        return out


def _keeper() -> str:
    """Who keeps the store: torchrun's agent where it starts the processes, else process 0."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return f"the launcher on {os.environ.get('MASTER_ADDR', 'the first node')}, which keeps the store"
    return "process 0, which keeps the store"


def _words(place: tuple[int, int, str] | None) -> str:
    return "never heard of" if place is None else f"step {place[1]}, {place[2]}"
