"""`jpfm data ...`: build a corpus and look at it. Never imports torch."""

import os
from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Dry, Out, Overrides, Workers, emit, load_config, require_out, show_dry_run
from jpfm.core.shards import Slice

app = typer.Typer(help="Build a corpus from raw files and look at it.", no_args_is_help=True)


@app.command()
def build(
    recipe: Path,
    overrides: Overrides = None,
    out: Out = None,
    workers: Workers = None,
    part: Annotated[
        str | None, typer.Option("--slice", metavar="I/N", help="Build only this part; for array jobs.")
    ] = None,
    limit_docs: Annotated[int | None, typer.Option(min=1, help="Documents to read of each shard, for a trial.")] = None,
    dry_run: Dry = False,
) -> None:
    """Run a recipe: raw files to a corpus. Run the same line again to resume."""
    from jpfm.cli import plans
    from jpfm.data.build import build as build_corpus
    from jpfm.data.recipe import Recipe

    loaded = load_config(recipe, Recipe, overrides)
    if dry_run:
        show_dry_run(loaded, list(plans.data(loaded.config)))
        return
    target = require_out(out, "data build")
    made = build_corpus(
        loaded.config, target, workers=workers or os.cpu_count() or 1, part=Slice.parse(part) if part else None,
        limit_docs=limit_docs,
    )  # fmt: skip
    if made is not None:
        emit(made.path)


@app.command()
def show(
    corpus: Path,
    dropped: Annotated[str | None, typer.Option(help="Show what was dropped or quarantined for this reason.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many.")] = 10,
) -> None:
    """Read kept or dropped documents."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.look import show_dropped, show_kept

    artifact = open_artifact(corpus, "corpus")
    texts = (
        show_dropped(artifact, dropped, number=number) if dropped else show_kept(artifact, number=number, source=source)
    )
    for text in texts:
        emit(text)


@app.command()
def stats(corpus: Path) -> None:
    """The funnel: documents read, kept and dropped by reason, for each source."""
    from rich.console import Console
    from rich.table import Table

    from jpfm.core.artifact import open_artifact
    from jpfm.data.look import funnel

    heading, *rows = funnel(open_artifact(corpus, "corpus").manifest.stats)
    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(heading):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table) if console.is_terminal else Console(width=400).print(table)
