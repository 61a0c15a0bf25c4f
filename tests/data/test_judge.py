"""Annotate once, decide late: filters judged from columns agree with the corpus they would make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jpfm.cli.cli import app
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import UsageError
from jpfm.data.build import build
from jpfm.data.judge import judge
from jpfm.data.recipe import Recipe
from jpfm.data.steps.filters import Length, Repetitive, Symbols

FILTERS = (
    Length(step="length", minimum_chars=700),
    Symbols(step="symbols", maximum=0.12),
    Repetitive(step="repetitive", maximum=0.01),
)


def _again(corpus: Artifact, steps: list[dict[str, object]]) -> Recipe:
    source = {"format": "corpus", "name": "again", "path": corpus.path.name}
    body = {"stage": "data", "name": "again", "root": str(corpus.path.parent), "sources": [source], "steps": steps}
    return Recipe.model_validate(body)


def _documents(corpus: Artifact) -> dict[str, Any]:
    files = sorted((corpus.path / "documents").glob("*.parquet"))
    return {row["id"]: row for path in files for row in pq.read_table(path).to_pylist()}


def test_a_verdict_is_what_the_build_does(corpus: Artifact, tmp_path: Path) -> None:
    for step, verdict in zip(FILTERS, judge(corpus, FILTERS), strict=True):
        made = build(_again(corpus, [step.model_dump()]), tmp_path / step.name)
        assert made is not None
        total = made.manifest.stats["total"]
        assert verdict.read == total["read"] == corpus.manifest.stats["total"]["kept"]
        assert verdict.kept == total["kept"]
        assert {f"{step.name}:{reason}": n for reason, n in verdict.dropped.items()} == total["dropped"]
        assert 0 < verdict.kept < verdict.read


def test_a_corpus_made_from_a_corpus_keeps_columns_rights_and_lineage(corpus: Artifact, tmp_path: Path) -> None:
    made = build(_again(corpus, [{"step": "length", "minimum_chars": 700}]), tmp_path / "out")
    assert made is not None
    assert made.manifest.parents == (corpus.id,)
    assert verify(made.path) == []
    assert set(made.manifest.stats["sources"]) == set(corpus.manifest.stats["sources"])
    before = {
        row["id"]: row for path in (corpus.path / "documents").glob("*") for row in pq.read_table(path).to_pylist()
    }
    after = {row["id"]: row for path in (made.path / "documents").glob("*") for row in pq.read_table(path).to_pylist()}
    assert after == {key: row for key, row in before.items() if row["num_chars"] >= 700}
    kinds = [found.manifest.kind for found in lineage.ancestors(made) if isinstance(found, Artifact)]
    assert kinds.count("source") == 5


def test_a_column_that_is_not_there_is_named_with_the_step_that_adds_it(
    corpus: Artifact, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    bare = build(make_recipe({"a.txt": "本文である。"}, []), tmp_path / "bare")
    assert bare is not None
    with pytest.raises(UsageError) as caught:
        judge(bare, FILTERS)
    assert "'num_chars'" in caught.value.message
    assert "`- step: characters`" in caught.value.hint
    with pytest.raises(UsageError, match="put `- step: characters` before it"):
        build(_again(bare, [{"step": "length"}]), tmp_path / "more")


def test_the_command_sets_filters_side_by_side(corpus: Artifact, recipe_file: Path) -> None:
    done = CliRunner().invoke(app, ["data", "judge", str(corpus.path), "length", str(recipe_file)])
    assert done.exit_code == 0, done.output
    heading = done.stdout.splitlines()[0].split()
    assert heading == ["length", "mojibake", "length", "symbols", "japanese_share", "repetitive"]


def test_a_corpus_opens_as_a_data_set(corpus: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = datasets.load_dataset(str(corpus.path), cache_dir=str(tmp_path / "cache"))["train"]
    total = corpus.manifest.stats["total"]
    assert found.num_rows == total["kept"] - total["held_out"]
    assert set(found["split"]) == {"train"}
    apart = datasets.load_dataset(str(corpus.path), cache_dir=str(tmp_path / "cache"))["validation"]
    assert apart.num_rows == total["held_out"] > 0
    assert {"id", "text", "licence", "url", "decode_confidence"} <= set(found.column_names)
    dropped = datasets.load_dataset(str(corpus.path), "dropped", cache_dir=str(tmp_path / "cache"))["train"]
    assert dropped.num_rows == sum(corpus.manifest.stats["total"]["dropped"].values())
