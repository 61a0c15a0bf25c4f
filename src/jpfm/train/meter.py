"""What a run reports: one JSON line a step, TensorBoard through accelerate, and a picture of the loss."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts

METRICS = "metrics.jsonl"


class Meter:
    """Appends a line for each step to `logs/metrics.jsonl`."""

    def __init__(self, logs: Path, resume_step: int) -> None:
        """Open the log; lines of steps that a kill undid are removed."""
        self.path = logs / METRICS
        kept = [row for row in read_metrics(self.path) if row["step"] <= resume_step] if self.path.exists() else []
        artifacts.write_text(self.path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in kept))
        self.last = time.perf_counter()

    def write(self, row: dict[str, Any], new_tokens: int) -> float:
        """Write one step; returns tokens per second since the last one."""
        now = time.perf_counter()
        speed = new_tokens / max(now - self.last, 1e-9)
        self.last = now
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(row | {"tokens_per_second": round(speed, 1)}, sort_keys=True) + "\n")
        return speed


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a metrics file; a last line that a kill cut short is left out."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.endswith("}"):
            yield json.loads(line)
