"""The leaderboard: one offline page that shows scores with their error bars, and where they come from.

    report = leaderboard([open_artifact(Path("out/scores"), "scores")], Path("out/report"))
    report.path / "index.html"

Writes `index.html` (images inside, no network), `loss.png`, `funnel.png` and `data.json` (every figure shown). The same
scores give the same bytes: no clock, host or path goes into a file. Models keep the order in which they are given.
Refused: a ranking. With intervals that overlap, a place in a list says more than the data does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, DataError
from jpfm.report import plots
from jpfm.report.background import CorpusView
from jpfm.report.page import Page, data, gather
from jpfm.report.render import Picture, render
from jpfm.report.scores import ANSWER_CHARS, PROMPT_CHARS, SAMPLE_EACH, Scores, Words, notice, read_scores
from jpfm.train import plot

VERSION = 1


def leaderboard(scores: Sequence[Artifact], out: Path) -> Artifact:
    """Make the page for these scores, of one model or of several.

    Raises:
        ArtifactError: no scores are given, or one of them is half-written.
    """
    if not scores:
        raise ArtifactError(
            "a leaderboard needs scores, and none were given", hint="name one or more folders that `jpfm eval` made"
        )
    unique = list({given.id: given for given in scores}.values())
    read = [read_scores(given) for given in unique]
    config = {"sample_each": SAMPLE_EACH, "answer_chars": ANSWER_CHARS, "prompt_chars": PROMPT_CHARS}

    def work(draft: Draft) -> Finished:
        return _work(draft, read)

    return artifacts.produce(out, kind="report", version=VERSION, config=config, parents=unique, work=work)


def _work(draft: Draft, read: Sequence[Scores]) -> Finished:
    page = gather(read)
    pictures, notices = _draw(page, draft.path)
    page = replace(page, notices=(*page.notices, *notices))
    artifacts.write_text(draft.path / "data.json", artifacts.canonical_json(data(page), indent=1) + "\n")
    artifacts.write_text(draft.path / "index.html", render(page, pictures))
    return Finished(
        {
            "models": len(page.models),
            "tasks": len(page.tasks),
            "results": sum(len(column.cells) for column in page.table.columns),
            "notices": len(page.notices),
        }
    )


def _draw(page: Page, folder: Path) -> tuple[dict[str, Picture], list[Words]]:
    """Draw what can be drawn, by "loss" or corpus id, and say what cannot."""
    notices: list[Words] = []
    curves: dict[str, Path] = {}
    for model in page.models:
        if model.metrics is None:
            continue
        try:
            left_out = plot.read_curve(model.metrics).num_left_out
        except DataError as error:
            notice(
                notices,
                f"{model.facts.name}：学習ログに損失の記録がありません。",
                f"{model.facts.name}: its training log holds no loss.",
                error,
            )
            continue
        curves[model.label] = model.metrics
        if left_out:
            notice(
                notices,
                f"{model.facts.name}：学習ログのうち{left_out:,}行に有限の損失がなく、図に含まれていません。",
                f"{model.facts.name}: {left_out:,} lines of its training log hold no finite loss; they are not drawn.",
            )
    pictures: dict[str, Picture] = {}
    if curves:
        lone = next(iter(curves.values())) if len(page.models) == 1 else None
        pictures["loss"] = _both(folder / "loss.png", lambda out, dark: plot.loss_curve(lone or curves, out, dark=dark))
    for position, corpus in enumerate(page.corpora, start=1):

        def draw(out: Path, dark: bool, corpus: CorpusView = corpus) -> None:
            plots.funnel(corpus.stats, out, steps=corpus.steps, dark=dark)

        pictures[corpus.id] = _both(folder / ("funnel.png" if position == 1 else f"funnel-{position}.png"), draw)
    return pictures, notices


def _both(out: Path, draw: Callable[[Path, bool], None]) -> Picture:
    """The picture on light and on dark paper."""
    dark = out.with_name(f"{out.stem}-dark.png")
    draw(out, False)
    draw(dark, True)
    return Picture(out.read_bytes(), dark.read_bytes())
