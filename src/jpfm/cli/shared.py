"""Options that commands share, and how results and plans are printed."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperGroup

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

EngineKind = Literal["local", "ray"]
EngineOption = Annotated[EngineKind, typer.Option(help="local: processes on this machine. ray: a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option(help="With --engine ray: a running cluster (HOST:PORT or auto); else one starts here.")
]
Part = Annotated[
    str | None, typer.Option("--slice", metavar="I/N", help="Do only this part, 0/4 to 3/4 for four; for array jobs.")
]
Finish = Annotated[bool, typer.Option("--finish", help="Finish what slices began; refused while some are missing.")]

S = TypeVar("S", bound=Settings)


class DefaultCommand(TyperGroup):
    """A group whose first word may be left out: `jpfm train CONFIG` is `jpfm train run CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


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


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows, the first of them the heading; wide enough for all columns when it goes into a file."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    widths = [max(len(row[position]) * 2 for row in rows) + 1 for position in range(len(rows[0]))]
    console = Console()  # a terminal breaks a line that is too long; a cut one would hide what a row is about
    Console(width=max(console.width, sum(widths)) if console.is_terminal else 400).print(table)


def make_engine(kind: EngineKind, workers: int | None, address: str | None = None) -> Engine:
    """The engine that the options ask for: all cores, or all of a cluster, when no number of workers is given."""
    if address is not None and kind != "ray":
        raise UsageError("--address belongs to --engine ray", hint="add --engine ray, or leave --address out")
    everything = (os.cpu_count() or 1) if kind == "local" else 0
    return Engine(kind, everything if workers is None else workers, address)


def show_dry_run(loaded: Loaded[S], plan: Sequence[str]) -> None:
    """Print the resolved config and what would be done."""
    emit(loaded.show())
    for line in plan:
        emit(f"# {line}")
