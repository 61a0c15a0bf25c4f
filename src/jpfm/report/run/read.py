"""Reads the folder of a training run, finished or not: its settings, its logs, its checkpoints.

    run = open_run(Path("out/model"))         # out/model, or out/model.partial while it trains
    run.state, run.metrics["loss"]

Older runs lack fields and files: a column is null there, a list empty. A line that a kill cut short is left out and
counted. A step that was trained twice (a resume, a rewind) counts as it was the last time.
A million lines (390 MB) take 0.7 s: polars reads the file into columns. Refused: `json.loads` a line (6 s).
"""

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

import polars as pl

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError

State = Literal["running", "silent", "stopped", "finished"]
Row = dict[str, Any]
SECONDS = ("data", "forward_backward", "reduce", "optimizer", "held_out", "save", "other")
GROUPS = ("embeddings", "matrices", "vectors")
LOGS = (
    "metrics.jsonl", "undone.jsonl", "held_out.jsonl", "faults.jsonl", "runs.jsonl", "events.jsonl", "settings.json",
    "status",
)  # fmt: skip
_NUMBERS = (
    "step", "tokens", "loss", "lr", "grad_norm", "tokens_per_second", "mfu", "memory_bytes", "hours", "gpu_hours",
    "energy_joules",
)  # fmt: skip
# numbers are read as floats: a writer may say 1e9 where another says 1000000000, and both are exact below 2^53
_LINE = pl.Schema(
    dict.fromkeys(_NUMBERS, pl.Float64)
    | {
        "seconds": pl.Struct(dict.fromkeys(SECONDS, pl.Float64)),
        "update_rms": pl.Struct(dict.fromkeys(GROUPS, pl.Float64)),
        "skipped": pl.String,
    }
)
_SILENT_SECONDS = 120.0
"""A run that wrote nothing for so long, and for so many steps' time, gives no sign of life."""
_SILENT_STEPS = 20
_NOT_JSON = re.compile(rb"(?<=[:,\[ ])-?(?:NaN|Infinity)(?=[,}\] ])")


@dataclass(frozen=True)
class Run:
    """A training run as its folder tells it."""

    path: Path
    artifact: Artifact | None
    """None while the run is unfinished."""
    config: Mapping[str, Any]
    """The settings that decide the result."""
    settings: Mapping[str, Any]
    """All settings of the last start, with those that decide how it runs; empty where they were not kept."""
    parents: tuple[str, ...]
    metrics: pl.DataFrame
    """A row a step, in order: a line's numbers, `seconds_NAME`, `update_rms_NAME`, `skipped`; null where absent."""
    held_out: tuple[Row, ...]
    faults: tuple[Row, ...]
    starts: tuple[Row, ...]
    events: tuple[Row, ...]
    num_undone: int
    """Steps that were lost with a process, or given up by a rewind, and trained again."""
    status: str
    unread: Mapping[str, int]
    """File -> lines that could not be read."""
    state: State
    written: float | None
    """When a log was last written, seconds since 1970; None for a finished run, whose page holds no clock of a disk."""

    @property
    def name(self) -> str:
        """What the run calls itself."""
        return str(self.config.get("name") or self.path.name.removesuffix(".partial"))


def place_of(folder: Path) -> Path:
    """The folder that exists: `NAME`, or `NAME.partial` while it trains.

    Raises:
        ArtifactError: there is no training run.
    """
    if (folder / artifacts.MANIFEST).is_file():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    if partial.is_dir():
        return partial
    if (folder / artifacts.PLAN).is_file() or (folder / "logs" / "metrics.jsonl").is_file():
        return folder
    what = "holds no training run" if folder.exists() else "does not exist"
    raise ArtifactError(f"{folder} {what}", hint="name the folder that `jpfm train` was given as --out")


def open_run(folder: Path, *, now: float | None = None) -> Run:
    """Read a run.

    Args:
        now: seconds since 1970; for a running run, against which its last line is held.
    Raises:
        ArtifactError: no training run is there.
    """
    place = place_of(folder)
    try:
        return _read(place, time.time() if now is None else now)
    except FileNotFoundError:
        if place.exists():
            raise
    return _read(place_of(folder), time.time() if now is None else now)  # it finished, and was renamed, meanwhile


def _read(path: Path, now: float) -> Run:
    logs = path / "logs"
    artifact = artifacts.open_artifact(path) if (path / artifacts.MANIFEST).is_file() else None
    if artifact is not None and (artifact.manifest.kind != "checkpoint" or not logs.is_dir()):
        kind = artifact.manifest.kind
        raise ArtifactError(
            f"{path} is a {kind} artifact{'' if kind != 'checkpoint' else ' without logs'}, not a training run",
            hint="name the folder that `jpfm train` was given as --out",
        )
    if artifact is not None:
        plan: Row = {"config": artifact.manifest.config, "parents": artifact.manifest.parents}
    else:
        plan = _object(path / artifacts.PLAN)
    metrics, num_unread = read_metrics(logs / "metrics.jsonl")
    unread = {"metrics.jsonl": num_unread}
    rows: dict[str, tuple[Row, ...]] = {}
    for name in ("held_out", "faults", "runs", "events"):
        rows[name], unread[f"{name}.jsonl"] = _rows(logs / f"{name}.jsonl")
    if not path.is_dir():
        raise FileNotFoundError(path)
    written = None if artifact is not None else _last_written(path)
    return Run(
        path=path,
        artifact=artifact,
        config=plan.get("config") or {},
        settings=_object(logs / "settings.json"),
        parents=tuple(plan.get("parents") or ()),
        metrics=metrics,
        held_out=tuple(_by_step(rows["held_out"])),
        faults=rows["faults"],
        starts=rows["runs"],
        events=rows["events"],
        num_undone=undone.read_bytes().count(b"\n") if (undone := logs / "undone.jsonl").is_file() else 0,
        status=(logs / "status").read_text(encoding="utf-8").strip() if (logs / "status").is_file() else "",
        unread={name: count for name, count in unread.items() if count},
        state="finished" if artifact is not None else _state(path, metrics, now - (written or 0.0)),
        written=written,
    )


def read_metrics(file: Path) -> tuple[pl.DataFrame, int]:
    """A metrics file as columns, a row a step, and the number of lines left out."""
    # as bytes: a trainer that resumes cuts lines off the file's end, and a mapped file would then end this process
    content = file.read_bytes() if file.is_file() else b""
    try:
        found, num_unread = pl.read_ndjson(content, schema=_LINE, ignore_errors=True), 0
    except pl.exceptions.ComputeError:
        found, num_unread = _mended(content)
    del content
    num_lines = found.height
    found = found.filter(pl.col("step").is_not_null())
    num_unread += num_lines - found.height
    if not found["step"].is_sorted() or found["step"].n_unique() < found.height:
        found = found.unique("step", keep="last", maintain_order=True).sort("step")
    return _flat(found), num_unread


def _mended(content: bytes) -> tuple[pl.DataFrame, int]:
    """Lines of a file that is not JSON throughout: cut short by a kill, or with Python's NaN, which becomes null."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    whole = [line for line in lines if line.startswith(b"{") and line.rstrip().endswith(b"}")]
    try:
        return _parsed(whole), len(lines) - len(whole)
    except pl.exceptions.ComputeError:
        whole = [line for line in whole if _is_json(line)]
        return _parsed(whole), len(lines) - len(whole)


def _parsed(lines: list[bytes]) -> pl.DataFrame:
    if not lines:
        return pl.DataFrame(schema=_LINE)
    lines = [_NOT_JSON.sub(b"null", line) if b"NaN" in line or b"Infinity" in line else line for line in lines]
    return pl.read_ndjson(b"\n".join(lines), schema=_LINE, ignore_errors=True)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False  # counted by the caller


def _flat(found: pl.DataFrame) -> pl.DataFrame:
    """Groups of numbers as columns of their own; what is no finite number as null."""
    flat = found.select(
        *_NUMBERS,
        "skipped",
        *(pl.col("seconds").struct.field(name).alias(f"seconds_{name}") for name in SECONDS),
        *(pl.col("update_rms").struct.field(name).alias(f"update_rms_{name}") for name in GROUPS),
    )
    return flat.with_columns(pl.when(pl.col(pl.Float64).is_finite()).then(pl.col(pl.Float64)))


def _object(file: Path) -> Row:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _rows(file: Path) -> tuple[tuple[Row, ...], int]:
    """A short log, line by line: it has a line for each checkpoint, fault or start."""
    if not file.is_file():
        return (), 0
    found, num_unread = [], 0
    for line in file.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        if _is_json(line):
            found.append(json.loads(line))
        else:
            num_unread += 1
    return tuple(found), num_unread


def _by_step(rows: tuple[Row, ...]) -> list[Row]:
    """Held-out measurements in order of steps, each step once, values that are finite numbers."""
    last: dict[int, Row] = {}
    for row in rows:
        values = row.get("bits_per_character")
        if isinstance(row.get("step"), int) and isinstance(values, dict):
            kept = {str(name): float(value) for name, value in values.items() if is_number(value)}
            last[row["step"]] = row | {"bits_per_character": kept, "total": _total(kept, row)}
    return [last[step] for step in sorted(last)]


def _total(values: Mapping[str, float], row: Row) -> float | None:
    """Bits per character of all sources together: each weighs as its characters; None where they are not told."""
    if is_number(row.get("overall")):
        return float(row["overall"])
    chars = row.get("chars")
    known = chars if isinstance(chars, dict) else {}
    weights = {name: float(known[name]) for name in values if is_number(known.get(name))}
    if not values or len(weights) < len(values) or not sum(weights.values()):
        return None
    return sum(values[name] * weights[name] for name in values) / sum(weights.values())


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a log is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _last_written(path: Path) -> float | None:
    times = [file.stat().st_mtime for name in LOGS if (file := path / "logs" / name).is_file()]
    return max(times, default=None)


def _state(path: Path, metrics: pl.DataFrame, age: float) -> State:
    """A run holds `NAME.lock` beside its folder; what ended, other than by a kill, has removed it."""
    if not path.with_name(path.name.removesuffix(".partial") + ".lock").exists():
        return "stopped"
    seconds = step_seconds(metrics)
    return "running" if age <= max(_SILENT_SECONDS, _SILENT_STEPS * (seconds or 0.0)) else "silent"


def step_seconds(metrics: pl.DataFrame, last: int = 200) -> float | None:
    """Mean wall time of the last steps; from the breakdown where there is one, else from the speed."""
    recent = metrics.tail(last)
    parts = recent.select(pl.sum_horizontal(pl.col([f"seconds_{name}" for name in SECONDS]))).to_series()
    if recent["seconds_forward_backward"].null_count() < recent.height and (mean := parts.mean()):
        return float(mean)  # type: ignore[arg-type]
    steps = recent.select(
        (pl.col("tokens").diff() / pl.col("step").diff()).fill_null(strategy="backward") / pl.col("tokens_per_second")
    ).to_series()
    mean = steps.drop_nulls().mean()
    return float(mean) if is_number(mean) and mean else None
