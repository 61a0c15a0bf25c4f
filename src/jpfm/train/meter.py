"""What a run reports while it trains: one JSON line a step, and what its time was spent on.

    meter = Meter(logs, start, device=device, world=world, flops_per_token=cost.flops_per_token,
                  peak=device_peak(device, config.precision))
    for step, rows in meter.waiting("data", loader):
        with meter.span("forward_backward"): ...
        with meter.span("optimizer"): ...
        with meter.span("reduce"): totals = reduced.tolist()          # the step's one wait for the device
        row = meter.write({"step": step + 1, "tokens": ..., "loss": ..., "lr": ..., "grad_norm": ...}, batch_tokens)
        with meter.span("held_out"): meter.write_held_out(evaluation.row(step + 1, tokens))
        with meter.span("save"): ...

Every process measures; the one with a `logs` folder writes. On a GPU a span is what the GPU took (a pair of events that
are read after the step's own wait, so measuring waits for nothing); waiting for data, saving and scoring go by the
clock, as everything does on a CPU. What falls between two `write` is the second one's time, so a save is seen in the
next line. The seconds of a line add up to its time: `other` is the rest.

A kill undoes the steps after the last checkpoint: their lines move to `logs/undone.jsonl`, because their GPU hours were
spent nevertheless. Refused: the mean speed over all steps of a process. The first one compiles (8M parameters on two
cores: 29 s against 0.7 s for the others), and a run of 200 steps would read 17 % slower than it is.
"""

import json
import math
import mmap
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from jpfm.core.log import log
from jpfm.train.energy import EnergyCounter
from jpfm.train.peak import Peak

METRICS = "metrics.jsonl"
HELD_OUT = "held_out.jsonl"
UNDONE = "undone.jsonl"
STARTS = "runs.jsonl"
FAULTS = "faults.jsonl"
MFU_FORMULA = "6 (N_active - N_embeddings) + 12 L d s"
WARM_UP_STEPS = 5
"""Steps of a process that the mean speed leaves out."""
Span = Literal["data", "forward_backward", "reduce", "optimizer", "save", "held_out"]
_SPANS: tuple[Span, ...] = ("data", "forward_backward", "reduce", "optimizer", "save", "held_out")
_BY_THE_CLOCK = frozenset({"data", "save", "held_out"})
_CPU = torch.device("cpu")
Item = TypeVar("Item")


class Meter:
    """Measures one process's part of a run, and writes the log where it is given a folder."""

    def __init__(
        self, logs: Path | None, resume_step: int, *, device: torch.device = _CPU, world: int = 1,
        flops_per_token: float | None = None, peak: Peak | None = None, first_on_machine: bool = True,
    ) -> None:  # fmt: skip
        """Open the log; lines of steps that a kill undid are moved away.

        Args:
            logs: folder to write to; None in all processes but one.
            resume_step: steps done.
            world: processes, each with a device of this kind.
            flops_per_token: by MFU_FORMULA; without it and `peak` there is no MFU.
            first_on_machine: whether this process reads the energy counter that those of a machine share.
        """
        self.logs, self.device, self.world = logs, device, world
        self._cuda = device.type == "cuda"
        self._flops = flops_per_token * 1.0 if flops_per_token is not None and peak is not None else None
        self._peak = peak
        self._energy = EnergyCounter.open(device, first_on_machine=first_on_machine)
        self._seconds: dict[Span, float] = dict.fromkeys(_SPANS, 0.0)
        self._pending: list[tuple[Span, Any, Any]] = []
        self._events: list[Any] = []
        self._open: Span | None = None
        self._steps = 0
        self._warm_tokens, self._warm_seconds = 0, 0.0
        self._hours = self._gpu_hours = 0.0
        self._joules: float | None = 0.0
        if logs is not None:
            self.undo(resume_step)
            self._spent_before()
            self._announce()
        self._opened = self._last = time.perf_counter()

    @contextmanager
    def span(self, name: Span) -> Iterator[None]:
        """Count the time of a block; spans do not overlap."""
        if self._open is not None:
            raise RuntimeError(f"span {name} inside span {self._open}: its time would count twice")
        self._open = name
        on_device = self._cuda and name not in _BY_THE_CLOCK
        begin = self._record() if on_device else None
        start = time.perf_counter()
        try:
            yield
        finally:
            if on_device:
                self._pending.append((name, begin, self._record()))
            else:
                self._seconds[name] += time.perf_counter() - start
            self._open = None

    def waiting(self, name: Span, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the time until each is there counts."""
        iterator = iter(items)
        while True:
            with self.span(name):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item

    def joules(self) -> float | None:
        """Energy of this process's device since the meter was opened; None where it is unknown.

        A run on several processes adds them up in the reduction it does anyway and gives the sum to `write`.
        """
        return self._energy.joules()

    def write(self, row: Mapping[str, Any], new_tokens: int, joules: float | None = None) -> dict[str, Any]:
        """Finish a step: read the clock and write its line.

        Args:
            row: step, tokens (so far), loss, lr, grad_norm, and where there are such update_rms and skipped.
            new_tokens: of this step, over all processes.
            joules: of all processes since they were opened; one process alone need not say. NaN: unknown.
        Returns:
            The line: the row with tokens_per_second, mfu, seconds, memory_bytes, hours, gpu_hours and energy_joules.
        """
        now = time.perf_counter()
        passed = max(now - self._last, 1e-9)
        self._last = now
        self._steps += 1
        if joules is None and self.world == 1:
            joules = self.joules()
        known = joules is not None and math.isfinite(joules) and self._joules is not None
        spent = self._spent(passed)
        training = max(passed - spent["save"] - spent["held_out"], 1e-9)  # what is done at intervals is not its speed
        speed = new_tokens / training
        if self._steps > WARM_UP_STEPS:
            self._warm_tokens += new_tokens
            self._warm_seconds += training
        hours = (now - self._opened) / 3600
        line = finite(row) | {
            "tokens_per_second": round(speed, 1),
            "mfu": self._mfu(speed),
            "seconds": spent,
            "memory_bytes": _memory(self.device),
            "hours": round(self._hours + hours, 6),
            "gpu_hours": round(self._gpu_hours + hours * self.world * self._cuda, 6),
            "energy_joules": round(self._joules + joules, 1) if known else None,  # type: ignore[operator]
        }
        if self.logs is not None:
            append(self.logs / METRICS, line)
        return line

    def write_held_out(self, row: Mapping[str, Any]) -> None:
        """Write a line of logs/held_out.jsonl: step, tokens, bits_per_character and chars by source."""
        if self.logs is not None:
            append(self.logs / HELD_OUT, finite(row))

    def undo(self, after_step: int) -> None:
        """Take back the lines of later steps: a kill lost them, or the run went back to a checkpoint."""
        if self.logs is None:
            return
        for name in (METRICS, HELD_OUT):
            _take_back(self.logs / name, after_step, self.logs / UNDONE if name == METRICS else None)

    @property
    def tokens_per_second(self) -> float | None:
        """Mean speed of this process's steps but for the first few; None while there are no others."""
        return self._warm_tokens / self._warm_seconds if self._warm_seconds else None

    @property
    def mfu(self) -> float | None:
        """Mean share of the devices' peak, over the same steps."""
        return None if self.tokens_per_second is None else self._mfu(self.tokens_per_second)

    def _mfu(self, speed: float) -> float | None:
        if self._flops is None or self._peak is None:
            return None
        return round(self._flops * speed / (self._peak.flops * self.world), 4)

    def _record(self) -> Any:
        event = self._events.pop() if self._events else torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _spent(self, passed: float) -> dict[str, float]:
        """Seconds by span since the last line. Events the device has not reached are left to a later line."""
        waiting = []
        for name, begin, end in self._pending:
            if end.query():
                self._seconds[name] += begin.elapsed_time(end) / 1e3
                self._events += [begin, end]
            else:
                waiting.append((name, begin, end))
        self._pending = waiting
        spent = {name: round(seconds, 6) for name, seconds in self._seconds.items()}
        self._seconds = dict.fromkeys(_SPANS, 0.0)
        return spent | {"other": round(max(0.0, passed - sum(spent.values())), 6)}

    def _spent_before(self) -> None:
        """Hours and energy of the processes before this one, those of undone steps included."""
        assert self.logs is not None
        undone = self.logs / UNDONE
        rows = [*_last_line(self.logs / METRICS), *(read_metrics(undone) if undone.exists() else ())]
        last = max(rows, key=lambda row: float(row.get("hours", 0.0)), default={"energy_joules": 0.0})
        self._hours, self._gpu_hours = last.get("hours", 0.0), last.get("gpu_hours", 0.0)
        self._joules = last.get("energy_joules")

    def _announce(self) -> None:
        if self._flops is None or self._peak is None:
            return
        log.info(
            "MFU: %s = %.4g FLOP a token, over %d x %.4g FLOP/s (%s)",
            MFU_FORMULA, self._flops, self.world, self._peak.flops, self._peak.source,
        )  # fmt: skip


_END: Any = object()


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a log. One write of a whole line: a reader sees it all or not at all."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a log; a last line that a kill cut short is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and (row := _parsed(line, path)) is not None:
                yield row


def _take_back(path: Path, after_step: int, keep_in: Path | None) -> None:
    """Cut the lines of later steps off the end of a log, and a line that a kill cut short.

    Only the end of the file is read: a log of a million steps has 400 MB.
    """
    path.touch()
    lost: list[dict[str, Any]] = []
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n") + 1  # 0: there is no whole line
            while end:
                begin = content.rfind(b"\n", 0, end - 1) + 1
                row = _parsed(content[begin:end], path)
                if row is not None and row["step"] <= after_step:
                    break
                lost += [row] if row is not None else []
                end = begin
        if keep_in is not None:
            for row in reversed(lost):
                append(keep_in, row)
        if end < size:
            file.truncate(end)


def _last_line(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
        lines = file.read().splitlines()
    row = _parsed(lines[-1], path) if lines else None
    return [] if row is None else [row]


def _parsed(line: bytes, path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        log.warning("%s: a line is no JSON and is left out: %.60r", path, line)  # a disk's fault: no end to a run
        return None


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with null for what is no finite number: NaN is not JSON."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found[name] = finite(value)
        else:
            found[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return found


def _memory(device: torch.device) -> int:
    """The most this process held so far: on the GPU, or in main memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)
