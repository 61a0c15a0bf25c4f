"""`jpfm eval` and `jpfm report ...`"""

from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Dry, Out, Overrides, emit, load_config, require_out, show_dry_run

report_app = typer.Typer(help="Pages over artifacts.", no_args_is_help=True)


def evaluate(config: Path, overrides: Overrides = None, out: Out = None, dry_run: Dry = False) -> None:
    """Score a checkpoint: model=FOLDER."""
    from jpfm.eval import run

    loaded = load_config(config, run.EvalConfig, overrides)
    if dry_run:
        show_dry_run(
            loaded, [f"task {task.name}: {task.scorer}, {task.fewshot} examples" for task in loaded.config.tasks]
        )
        return
    emit(run.evaluate(loaded.config, require_out(out, "eval")).path)


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
    made = pages.run_page(runs, folder)
    emit(made.page)
    if watch is not None and not made.finished:
        pages.watch(runs, folder, watch)
