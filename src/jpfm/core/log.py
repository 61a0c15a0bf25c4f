"""What a person sees while a stage runs: progress bars on a terminal, plain lines elsewhere, JSONL events on disk.

    with progress("reading", total=10, unit="files") as bar:
        bar.advance(1, kept=3, dropped=1)

Everything goes to stderr; stdout carries results only.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger("jpfm")
LINE_EVERY_SECONDS = 10.0


class Bar(Protocol):
    """A running display of one loop."""

    def advance(self, amount: float = 1, **facts: object) -> None:
        """Say that `amount` more units are done, and figures worth showing."""


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to what stderr is now: while a bar is shown, rich puts lines above it."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        """Nothing is kept."""


def setup(*, verbose: bool = False, quiet: bool = False) -> None:
    """Send jpfm's log to stderr: time and words, no decoration."""
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


class Events:
    """Append-only JSONL of what happened, for programs. Lines carry the clock, so they live under `logs/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **facts: Any) -> None:
        """Append one event."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}, ensure_ascii=False, sort_keys=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")


@contextmanager
def progress(what: str, *, total: float, unit: str, done: float = 0.0) -> Iterator[Bar]:
    """Show a loop: a rich bar on a terminal, else one line every ten seconds.

    Args:
        done: what an earlier run did; it counts towards the total, not towards the speed.
    """
    if sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), expand=True) as shown:
            yield _RichBar(shown, shown.add_task(what, total=total, completed=int(done), facts=""), unit)
    else:
        yield _LineBar(what, total, unit, done)


def _words(facts: dict[str, object]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in facts.items())


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _RichBar:
    def __init__(self, shown: Any, task: Any, unit: str) -> None:
        self.shown, self.task, self.unit, self.done, self.start = shown, task, unit, 0.0, time.perf_counter()

    def advance(self, amount: float = 1, **facts: object) -> None:
        self.done += amount
        rate = self.done / max(time.perf_counter() - self.start, 1e-9)
        text = _words({f"{self.unit}/s": rate, **facts})
        self.shown.update(self.task, advance=amount, facts=text)


class _LineBar:
    def __init__(self, what: str, total: float, unit: str, before: float) -> None:
        self.what, self.total, self.unit, self.before, self.done = what, total, unit, before, 0.0
        self.last, self.done_then = time.perf_counter(), 0.0

    def advance(self, amount: float = 1, **facts: object) -> None:
        self.done += amount
        now = time.perf_counter()
        if now - self.last < LINE_EVERY_SECONDS:
            return
        rate = (self.done - self.done_then) / (now - self.last)  # since the last line: what the time left depends on
        self.last, self.done_then = now, self.done
        whole = self.before + self.done
        left = max(0.0, self.total - whole) / rate if rate else 0.0
        log.info(
            "%s: %s of %s %s  %s", self.what, _number(int(whole)), _number(int(self.total)), self.unit,
            _words({f"{self.unit}/s": rate, **facts, "seconds_left": left}),
        )  # fmt: skip
