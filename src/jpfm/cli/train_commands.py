"""`jpfm train CONFIG` and `jpfm train branch RUN`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jpfm.cli.shared import Dry, Out, Overrides, emit, load_config, require_out, show_dry_run
from jpfm.core.config import Loaded, apply_overrides, read_file, validate
from jpfm.core.yaml12 import Node


class _DefaultCommand(TyperGroup):
    """A group whose first word may be left out: `jpfm train CONFIG` is `jpfm train run CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_DefaultCommand, no_args_is_help=True,
    help="Train a model: `jpfm train CONFIG [KEY=VALUE]... --out DIR`. Or branch off a run: `jpfm train branch RUN`.",
)  # fmt: skip


@app.command()
def run(config: Path, overrides: Overrides = None, out: Out = None, dry_run: Dry = False) -> None:
    """Train a model (`run` may be left out). The same line runs under torchrun, accelerate launch and srun.

    Run the same line again to resume; mesh, micro_batch_rows and whatever decides speed alone may differ then.
    """
    from jpfm.train.config import TrainConfig

    _train(load_config(config, TrainConfig, overrides), out, dry_run)


@app.command()
def branch(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    overrides: Overrides = None,
    at: Annotated[int, typer.Option("--at", min=1, help="Steps after which to branch: one with a checkpoint.")] = 0,
    config: Annotated[Path | None, typer.Option("--config", help="File with the settings that change.")] = None,
    out: Out = None,
    dry_run: Dry = False,
) -> None:
    """Go on from a checkpoint of a run with other settings: a decay of the rate, another mixture, other tokens.

    Weights, optimizer, step count and the place in the data are the checkpoint's; all settings that the file and
    KEY=VALUE do not name are the run's.
    """
    from jpfm.train.branch import settings_of
    from jpfm.train.config import TrainConfig

    changes = apply_overrides(read_file(config) if config is not None else Node({}, "no file"), overrides or ())
    settings = settings_of(run_folder, at, changes.plain())
    _train(validate(_nodes(settings, changes, str(run_folder)), TrainConfig), out, dry_run)


def _nodes(value: Any, changes: Node | None, origin: str) -> Node:
    """A tree of settings whose values come from the changes where those name them, else from the run."""
    if changes is not None:
        origin = changes.origin
    if isinstance(value, dict):
        named: dict[str, Node] = changes.value if changes is not None and isinstance(changes.value, dict) else {}
        return Node({key: _nodes(item, named.get(key), origin) for key, item in value.items()}, origin)
    if isinstance(value, list):
        return Node([_nodes(item, None, origin) for item in value], origin)
    return Node(value, origin)


def _train(loaded: Loaded[Any], out: Path | None, dry_run: bool) -> None:
    from jpfm.cli import plans
    from jpfm.train import loop

    if dry_run:
        show_dry_run(loaded, list(plans.train(loaded.config)))
        return
    made = loop.train(loaded.config, require_out(out, "train"))
    if int(os.environ.get("RANK", "0")) == 0:
        emit(made.path)
