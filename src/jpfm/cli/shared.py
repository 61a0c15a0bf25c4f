"""Options that commands share, and how results and plans are printed."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from jpfm.core.config import Loaded, Settings, apply_overrides, read_file, validate
from jpfm.core.errors import UsageError
from jpfm.core.shards import Engine

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to make.", show_default=False)]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Local processes; default: all cores.", show_default=False),
]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print the resolved config and the plan; touch nothing.")]

S = TypeVar("S", bound=Settings)


def emit(line: object) -> None:
    """Write a result line to stdout."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def load_config(path: Path, model: type[S], overrides: Sequence[str] | None) -> Loaded[S]:
    """Load a config of the kind that a command takes.

    Raises:
        UsageError: the file is for another command (its `stage` says which), or has problems.
    """
    root = apply_overrides(read_file(path), overrides or ())
    wanted = str(model.model_fields["stage"].annotation).split("'")[1]
    found = root.value.get("stage") if isinstance(root.value, dict) else None
    if found is not None and isinstance(found.value, str) and found.value != wanted:
        raise UsageError(
            f"{found.origin}: this is a '{found.value}' config; the command takes a '{wanted}' one",
            hint=f"use the command for '{found.value}'",
        )
    return validate(root, model)


def require_out(out: Path | None, command: str) -> Path:
    """The output folder, which a single stage has no default for."""
    if out is None:
        raise UsageError(f"{command}: --out is missing", hint="name the folder to make, e.g. --out out/first")
    return out


def make_engine(kind: Literal["local", "ray"], workers: int | None, address: str | None = None) -> Engine:
    """The engine that the options ask for: all cores, or all of a cluster, when no number of workers is given."""
    everything = (os.cpu_count() or 1) if kind == "local" else 0
    return Engine(kind, everything if workers is None else workers, address)


def show_dry_run(loaded: Loaded[S], plan: Sequence[str]) -> None:
    """Print the resolved config and what would be done."""
    emit(loaded.show())
    for line in plan:
        emit(f"# {line}")
