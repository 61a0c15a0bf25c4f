"""`jpfm train CONFIG` and `jpfm train branch RUN`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from jpfm.cli.shared import DefaultCommand, Dry, Out, Overrides, emit, load_config, require_out, show_dry_run
from jpfm.core.config import Loaded, apply_overrides, read_file, validate
from jpfm.core.errors import UsageError
from jpfm.core.yaml12 import Node

_OF_A_RUN = {"stage", "model", "init_from", "branch_from"}

On = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="DEVICES", show_default=False,
        help='With --dry-run: plan for these, such as "64 H100"; default: this machine.',
    ),
]  # fmt: skip
Vocabulary = Annotated[
    int | None,
    typer.Option(
        "--vocabulary", metavar="N", min=1, show_default=False,
        help="With --dry-run: pieces of the tokenizer, where no tokens are named yet; default: 32,000.",
    ),
]  # fmt: skip


app = typer.Typer(
    cls=DefaultCommand, no_args_is_help=True,
    help="Train a model: `jpfm train CONFIG [KEY=VALUE]... --out DIR`. Or branch off a run: `jpfm train branch RUN`.",
)  # fmt: skip


@app.command()
def run(
    config: Path,
    overrides: Overrides = None,
    out: Out = None,
    dry_run: Dry = False,
    on: On = None,
    vocabulary: Vocabulary = None,
) -> None:
    """Train a model (`run` may be left out). The same line runs under torchrun, accelerate launch and srun.

    Run the same line again to resume; mesh, micro_batch_rows and whatever decides speed alone may differ then.
    """
    from jpfm.train.config import TrainConfig

    _refuse_changes(config, overrides)
    _train(load_config(config, TrainConfig, overrides), out, dry_run, on, vocabulary)


@app.command()
def branch(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    overrides: Overrides = None,
    at: Annotated[
        int | None,
        typer.Option("--at", min=1, help="Steps after which to branch; left out, those with a checkpoint are listed."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="File with the settings that change.")] = None,
    out: Out = None,
    dry_run: Dry = False,
    on: On = None,
    vocabulary: Vocabulary = None,
) -> None:
    """Go on from a checkpoint of a run with other settings: a decay of the rate, another mixture, other tokens.

    Weights, optimizer, step count and the place in the data are the checkpoint's; all settings that the file and
    KEY=VALUE do not name are the run's.
    """
    from jpfm.train.branch import checkpoint_at, settings_of
    from jpfm.train.config import TrainConfig

    if at is None:
        checkpoint_at(run_folder, 0)  # no run has one, and the refusal lists those there are
        raise UsageError(f"{run_folder} is a model that no steps were done on", hint="name the folder of a run")
    changes = apply_overrides(read_file(config) if config is not None else Node({}, "no file"), overrides or ())
    settings = settings_of(run_folder, at, changes.plain())
    _train(validate(_nodes(settings, changes, str(run_folder)), TrainConfig), out, dry_run, on, vocabulary)


def _refuse_changes(config: Path, overrides: list[str] | None) -> None:
    """Files such as configs/train/anneal.yaml are no run of their own.

    Raises:
        UsageError: it is one, and says neither its stage nor a model.
    """
    root = apply_overrides(read_file(config), overrides or ())
    if isinstance(root.value, dict) and root.value and not root.value.keys() & _OF_A_RUN:
        raise UsageError(
            f"{config}: no `stage` and no model: this is a file of changes to a run",
            hint=f"jpfm train branch RUN --at STEP --config {config} --out DIR",
        )


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


def _train(loaded: Loaded[Any], out: Path | None, dry_run: bool, on: str | None, vocabulary: int | None) -> None:
    from jpfm.cli import plans
    from jpfm.train import loop

    for name, value in (("--on", on), ("--vocabulary", vocabulary)):
        if value is not None and not dry_run:
            raise UsageError(f"{name} plans a run and starts none", hint=f"add --dry-run, or leave {name} out")
    if vocabulary is not None and (loaded.config.tokens_folders or loaded.config.model is None):
        raise UsageError(
            "--vocabulary: the tokens or the model that the settings name have a vocabulary of their own",
            hint="leave --vocabulary out",
        )
    if dry_run:
        show_dry_run(loaded, list(plans.train(loaded.config, vocabulary, on)))
        return
    made = loop.train(loaded.config, require_out(out, "train"))
    if int(os.environ.get("RANK", "0")) == 0:
        emit(made.path)
