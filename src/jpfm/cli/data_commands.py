"""`jpfm data ...`: build a corpus and look at it. Never imports torch."""

from pathlib import Path
from typing import Annotated, Any

import typer

from jpfm.cli.shared import (
    Address,
    Dry,
    EngineOption,
    Finish,
    Out,
    Overrides,
    Part,
    Workers,
    emit,
    load_config,
    make_engine,
    print_table,
    require_out,
    show_dry_run,
)  # fmt: skip
from jpfm.core.errors import UsageError
from jpfm.core.log import log
from jpfm.core.shards import Slice

app = typer.Typer(help="Build a corpus from raw files and look at it.", no_args_is_help=True)


@app.command()
def build(
    recipe: Path,
    overrides: Overrides = None,
    out: Out = None,
    workers: Workers = None,
    part: Part = None,
    decide: Annotated[
        bool, typer.Option("--decide", help="When all slices are done: make the next decision (dedup and the like).")
    ] = False,
    finish: Finish = False,
    engine: EngineOption = "local",
    address: Address = None,
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
    if sum((part is not None, decide, finish)) > 1:
        raise UsageError("--slice, --decide and --finish are steps of their own", hint="run them one after the other")
    made = build_corpus(
        loaded.config, target, engine=make_engine(engine, workers, address),
        part=Slice.parse(part) if part else None, decide=decide, finish=finish, limit_docs=limit_docs,
    )  # fmt: skip
    if made is not None:
        emit(made.path)


@app.command()
def show(
    corpus: Path,
    dropped: Annotated[str | None, typer.Option(help="Show what was dropped or quarantined for this reason.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write a page with all of it, masks marked, to this file.")] = None,
    originals: Annotated[
        bool, typer.Option("--originals", help="On the page, also text before edits where it was kept: personal data!")
    ] = False,
) -> None:
    """Read kept or dropped documents, here or on a page for a browser."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.look import show_dropped, show_kept

    artifact = open_artifact(corpus, "corpus")
    if html is not None:
        from jpfm.report.corpus import write_page

        if dropped or source:
            raise UsageError("--html shows every source and reason", hint="leave --dropped and --source out")
        if html.is_dir() or not html.parent.is_dir():
            raise UsageError(
                f"--html {html}: not a file that can be written", hint="name a file in a folder that exists"
            )
        write_page(artifact, html, samples=number, originals=originals)
        emit(html)
        return
    if originals:
        raise UsageError("--originals belongs to --html", hint="add --html FILE, or leave it out")
    texts = (
        show_dropped(artifact, dropped, number=number) if dropped else show_kept(artifact, number=number, source=source)
    )
    for text in texts:
        emit(text)


@app.command()
def judge(
    corpus: Path,
    filters: Annotated[list[str], typer.Argument(metavar="FILTER|RECIPE...", help="e.g. swallow-v1 length my.yaml")],
) -> None:
    """What filters would drop of an annotated corpus, side by side; reads columns, not text."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.judge import judge as judge_corpus

    verdicts = judge_corpus(open_artifact(corpus, "corpus"), [step for word in filters for step in _filters(word)])
    rows = [["", *(verdict.name for verdict in verdicts)], ["read", *(f"{verdict.read:,}" for verdict in verdicts)]]
    for reason in dict.fromkeys(reason for verdict in verdicts for reason in verdict.dropped):
        rows.append([f"− {reason}", *(f"{v.dropped[reason]:,}" if v.dropped[reason] else "·" for v in verdicts)])
    rows.append(["kept", *(f"{verdict.kept:,}" for verdict in verdicts)])
    rows.append(["kept share", *("–" if v.kept_share is None else f"{v.kept_share:.1%}" for v in verdicts)])
    rows.append(["characters kept", *("–" if v.kept_chars is None else f"{v.kept_chars:,}" for v in verdicts)])
    print_table(rows)


def _filters(word: str) -> list[Any]:
    """The filters that a word names: one step with its published settings, or all filters of a recipe file."""
    import pydantic

    from jpfm.data.recipe import Recipe
    from jpfm.data.steps import AnyStep
    from jpfm.data.steps.base import Filter

    if word.endswith((".yaml", ".yml")):
        found = [step for step in load_config(Path(word), Recipe, None).config.steps if isinstance(step, Filter)]
        if not found:
            raise UsageError(f"{word}: this recipe has no filter", hint="name a recipe with filters, or a filter")
        return found
    try:
        step = pydantic.TypeAdapter[Any](AnyStep).validate_python({"step": word})
    except pydantic.ValidationError as error:
        raise UsageError(
            f"{word}: no filter that can be used without settings",
            hint="a filter's name such as swallow-v1 or length, or a recipe file (.yaml) for filters with settings",
        ) from error
    if not isinstance(step, Filter):
        raise UsageError(
            f"{word} is a step that changes or measures text, not a filter", hint="e.g. swallow-v1, length"
        )
    return [step]


@app.command()
def stats(corpus: Path) -> None:
    """The funnel: documents read, kept and dropped by reason, for each source."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.look import funnel

    print_table(funnel(open_artifact(corpus, "corpus").manifest.stats))


@app.command()
def signatures(
    corpus: Path,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of near_duplicates to change.")
    ] = None,
    out: Out = None,
    workers: Workers = None,
) -> None:
    """Make signatures of a corpus, which later recipes name in `against`; settings are those of its own recipe."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.signatures import like, make_signatures

    artifact = open_artifact(corpus, "corpus")
    target = require_out(out, "data signatures")
    emit(make_signatures(artifact, target, like(artifact, settings or ()), make_engine("local", workers)).path)


@app.command()
def contamination(
    corpus: Path, number: Annotated[int, typer.Option("--number", "-n", min=0, help="Examples of each benchmark.")] = 0
) -> None:
    """Which evaluation items `decontaminate` found in a corpus, by benchmark."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.contamination import examples, table

    artifact = open_artifact(corpus, "corpus")
    print_table(table(artifact))
    for text in examples(artifact, number=number) if number else ():
        emit(text)


@app.command()
def items(config: Path, overrides: Overrides = None, out: Out = None) -> None:
    """Write the items of an eval config as JSON Lines, for `decontaminate`."""
    from jpfm.eval.items import write_items
    from jpfm.eval.run import EvalConfig

    target = require_out(out, "data items")
    for name, count in write_items(load_config(config, EvalConfig, overrides).config.tasks, target).items():
        log.info("%s: %d texts", name, count)
    emit(target)
