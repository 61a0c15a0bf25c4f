"""`jpfm eval` and `jpfm report ...`"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jpfm.cli.shared import Dry, Out, Overrides, emit, load_config, require_out, show_dry_run
from jpfm.core.config import Loaded
from jpfm.core.errors import UsageError

report_app = typer.Typer(help="Pages over artifacts.", no_args_is_help=True)


def evaluate(
    config: Path,
    overrides: Overrides = None,
    out: Out = None,
    dry_run: Dry = False,
    follow: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", show_default=False,
            help="Score every checkpoint of this training run, also while it trains; several such commands share them.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="With --follow: score what is there, and end.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MINUTES", show_default=False,
            help="With --follow: end after so long without news of the run; default: 60.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Score a checkpoint: model=FOLDER. Or all of a run: --follow RUN, into --out/step-NNNNNNNN each, newest first."""
    from jpfm.eval import run

    loaded = load_config(config, run.EvalConfig, overrides)
    plan = [f"task {task.name}: {task.scorer}, {task.fewshot} examples" for task in loaded.config.tasks]
    if follow is not None:
        _follow(loaded, plan, follow, require_out(out, "eval"), dry_run, once, wait)
        return
    if once or wait is not None:
        raise UsageError(
            f"{'--once' if once else '--wait'} belongs to --follow", hint="add --follow RUN, or leave it out"
        )
    if dry_run:
        show_dry_run(loaded, plan)
        return
    emit(run.evaluate(loaded.config, require_out(out, "eval")).path)


def _follow(
    loaded: Loaded[Any], plan: list[str], training: Path, out: Path, dry_run: bool, once: bool, wait: float | None
) -> None:
    from jpfm.eval.follow import WAIT_MINUTES, Follower

    if once and wait is not None:
        raise UsageError("--once does not wait, --wait says how long", hint="leave one of them out")
    follower = Follower(loaded.config, training, out, once=once, wait_minutes=WAIT_MINUTES if wait is None else wait)
    if dry_run:
        follower.check()
        show_dry_run(loaded, [*plan, *follower.plan()])
        return
    try:
        for scores in follower.run():
            emit(scores.path)
    finally:
        rows = follower.rows()
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
        for row in rows:
            line = "  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
            sys.stderr.write(f"{line}\n")


@report_app.command()
def leaderboard(
    scores: Annotated[list[Path], typer.Argument(help="Folders of scores artifacts.")], out: Out = None
) -> None:
    """One offline page that compares models."""
    from jpfm.core.artifact import open_artifact
    from jpfm.report.leaderboard import leaderboard as render

    emit(
        render([open_artifact(path, "scores") for path in scores], require_out(out, "report leaderboard")).path
        / "index.html"
    )


@report_app.command()
def provenance(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Corpora, or what was made from them: tokens, a checkpoint, scores."),
    ],
    tokens: Annotated[
        list[Path] | None, typer.Option(help="Tokens of a corpus, for token counts; may be repeated.")
    ] = None,
    out: Out = None,
) -> None:
    """The rights ledger: source, terms, basis and history of every kept document, and the sums."""
    from jpfm.core.artifact import open_artifact
    from jpfm.report.provenance import provenance as make

    given = [open_artifact(path) for path in artifacts]
    named = [open_artifact(path, "tokens") for path in tokens or ()]
    emit(make(given, require_out(out, "report provenance"), named).path / "index.html")


@report_app.command()
def run(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="What `jpfm train` was given as --out; several are compared."),
    ],
    scores: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder that `jpfm eval --follow` scored into; may be repeated."),
    ] = None,
    watch: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Write the page again at this interval until training ends."),
    ] = None,
    out: Out = None,
) -> None:
    """The page of a training run, while it trains and afterwards: curves, checkpoints, starts, faults, settings.

    While a run is unfinished, --out is a plain folder whose page is replaced on each call and reloads itself. Once all
    runs are finished, it is made anew as a report artifact with the runs as parents.
    """
    from jpfm.report.run import run as pages

    folder = require_out(out, "report run")
    made = pages.run_page(runs, folder, scores=scores or ())
    emit(made.page)
    if watch is not None and not made.finished:
        pages.watch(runs, folder, watch, scores=scores or ())
