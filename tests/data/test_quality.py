"""A quality that a recipe defines: trained, measured, kept as an artifact, used again, thresholded."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from jpfm.core.artifact import Artifact, open_artifact, verify
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.data.steps.quality import Quality, QualityScore

CC0 = {"licence": "CC0-1.0"}
TRAIN = {"step": "quality", "column": "office", "positive": ["rules"], "negative": ["novel"], "held_out_share": 0.3}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Sources `rules`, `novel` and `rest`, of lines."""
    root = tmp_path / "raw"
    root.mkdir()
    words = ["賃金", "休暇", "出張", "退職", "安全"]
    rules = [f"第{n}条　社員の{words[n % 5]}に関する規程は、会社が別に定める。" for n in range(60)]
    novel = [f"{'彼女男先生母'[n % 4]}は{n}度目の雪を見ながら、ふと昔の恋を思ひ出した。" for n in range(60)]
    (root / "rules.txt").write_text("\n".join(rules), encoding="utf-8")
    (root / "novel.txt").write_text("\n".join(novel), encoding="utf-8")
    (root / "rest.txt").write_text(
        "会社は社員の休暇を定める規程による。\n母は雪の中で恋人を待つてゐた。", encoding="utf-8"
    )
    return root


def _recipe(root: Path, *steps: dict[str, Any], **settings: Any) -> Recipe:
    sources = [
        {"format": "text", "unit": "line", "name": name, "paths": [f"{name}.txt"], "rights": CC0}
        for name in settings.pop("names", ("rules", "novel", "rest"))
    ]
    body = {"stage": "data", "name": "quality", "root": str(root), "sources": sources, "steps": steps}
    return Recipe.model_validate(body | settings)


def _build(recipe: Recipe, out: Path, **settings: Any) -> Artifact:
    corpus = build(recipe, out, **settings)
    assert corpus is not None
    return corpus


def _rows(corpus: Artifact, folder: str = "documents") -> list[dict[str, Any]]:
    return [row for path in sorted((corpus.path / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_recipe_trains_measures_keeps_and_thresholds(raw: Path, tmp_path: Path) -> None:
    steps = [
        TRAIN | {"drop_sources": ["rules", "novel"]},
        {"step": "quality_score", "column": "office", "minimum": 0.5},
    ]
    corpus = _build(_recipe(raw, *steps), tmp_path / "out")
    (kept,) = _rows(corpus)
    assert kept["text"] == "会社は社員の休暇を定める規程による。"
    assert kept["office"] > 0.6
    assert corpus.manifest.stats["total"]["dropped"] == {"quality:training_only": 120, "quality_score:low_office": 1}
    low = next(row for row in _rows(corpus, "dropped") if row["reason"] == "low_office")
    assert (low["source"], low["threshold"]) == ("rest", 0.5)
    assert low["value"] < 0.4

    made = open_artifact(corpus.path / "classifiers" / "office", "classifier")
    assert verify(made.path) == []
    sources = {name: open_artifact(corpus.path / "sources" / name).id for name in ("rules", "novel")}
    assert made.manifest.parents == (sources["rules"], sources["novel"])
    figures = made.manifest.stats
    assert figures["held_out_accuracy"] == figures["held_out_auc"] == 1.0
    assert figures["positive"] + figures["negative"] + figures["held_out"] == 120
    assert not any("classifiers" in entry.path for entry in corpus.manifest.files)
    assert json.loads((made.path / "manifest.json").read_text(encoding="utf-8"))["config"]["column"] == "office"


def test_any_number_of_workers_gives_the_same_bytes(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jpfm.data.passes._WORTH_A_PROCESS", 0)
    made = [
        _build(_recipe(raw, TRAIN, slice_bytes=1000), tmp_path / f"out{workers}", engine=Engine(workers=workers))
        for workers in (1, 2)
    ]
    first, second = made
    assert len([entry for entry in first.manifest.files if entry.path.startswith("documents/")]) == 3
    assert first.id == second.id
    weights = [(corpus.path / "classifiers" / "office" / "weights.npy").read_bytes() for corpus in made]
    assert weights[0] == weights[1]
    assert len({open_artifact(corpus.path / "classifiers" / "office").id for corpus in made}) == 1


def test_a_classifier_is_used_again(raw: Path, tmp_path: Path) -> None:
    first = _build(_recipe(raw, TRAIN), tmp_path / "first")
    model = first.path / "classifiers" / "office"
    again = _build(
        _recipe(raw, {"step": "quality", "column": "office", "model": str(model)}, names=("rest",)), tmp_path / "b"
    )
    scores = {row["id"]: row["office"] for row in _rows(first)}
    assert len(_rows(again)) == 2
    assert all(row["office"] == scores[row["id"]] for row in _rows(again))
    assert open_artifact(model).id in again.manifest.parents
    assert not (again.path / "classifiers").exists()
    moved = tmp_path / "elsewhere"
    model.rename(moved)
    third = _build(
        _recipe(raw, {"step": "quality", "column": "office", "model": str(moved)}, names=("rest",)), tmp_path / "c"
    )
    assert third.id == again.id
    with pytest.raises(ArtifactError, match="does not exist"):
        build(_recipe(raw, {"step": "quality", "model": str(model)}, names=("rest",)), tmp_path / "d")


def test_two_qualities_in_one_recipe(raw: Path, tmp_path: Path) -> None:
    steps = [TRAIN, TRAIN | {"column": "novel_like", "positive": ["novel"], "negative": ["rules"]}]
    corpus = _build(_recipe(raw, *steps), tmp_path / "out")
    assert sorted(path.name for path in (corpus.path / "classifiers").iterdir()) == ["novel_like", "office"]
    for row in _rows(corpus):
        assert (row["office"] > 0.5) != (row["novel_like"] > 0.5)


def test_a_sample_is_bounded_and_the_same_every_time(raw: Path, tmp_path: Path) -> None:
    corpus = _build(_recipe(raw, TRAIN | {"max_documents": 20}), tmp_path / "out")
    figures = open_artifact(corpus.path / "classifiers" / "office").manifest.stats
    assert figures["positive"] + figures["negative"] + figures["held_out"] == 40


REFUSED = {
    "nothing to learn from": ({"step": "quality"}, "name the sources to learn from"),
    "both": (TRAIN | {"negative": ["rules"]}, "cannot be positive and negative"),
    "an unknown source": (
        TRAIN | {"drop_sources": ["textbooks"]},
        "names source 'textbooks'; sources: rules, novel, rest",
    ),
    "a model and training": (
        TRAIN | {"model": "x"},
        "with model nothing is trained; remove held_out_share, negative, positive",
    ),
    "n-grams": (TRAIN | {"smallest_ngram": 3, "largest_ngram": 2}, "smallest_ngram is larger"),
    "a column twice": (TRAIN | {"column": "text"}, "adds 'text' a second time"),
    "no threshold": ({"step": "quality_score"}, "set minimum or maximum"),
    "no score": ({"step": "quality_score", "column": "office", "minimum": 0.5}, "needs column 'office'"),
}


@pytest.mark.parametrize(("step", "what"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_before_anything_is_read(raw: Path, step: dict[str, Any], what: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=what):
        _recipe(raw, step)


def test_too_few_documents_are_said_so(raw: Path, tmp_path: Path) -> None:
    (raw / "novel.txt").write_text("一行だけ。", encoding="utf-8")
    with pytest.raises(DataError, match=r"no negative document (held out|to learn from)") as caught:
        build(_recipe(raw, TRAIN), tmp_path / "out")
    assert "novel" in str(caught.value.hint)


def test_settings_name_the_columns() -> None:
    assert Quality.adds == ()
    assert Quality(step="quality", positive=("a",), negative=("b",), column="x").adds == ("x",)
    assert QualityScore(step="quality_score", column="x", minimum=0.5).needs == ("x",)
    low, high = QualityScore(step="quality_score", column="x", minimum=0.2, maximum=0.9).limits()
    assert (low.reason, low.minimum, high.reason, high.maximum) == ("low_x", 0.2, "high_x", 0.9)


def test_literature_and_reference_text_are_told_apart(shared_data: Path, tmp_path: Path) -> None:
    """Aozora works against pages of a C++ reference."""
    root = tmp_path / "raw"
    root.mkdir()
    for author in ("000081_宮沢賢治", "000879_芥川龍之介", "000121_新美南吉"):
        (root / f"{author}.tar.gz").symlink_to(shared_data / "raw" / "aozora" / f"{author}.tar.gz")
    with tarfile.open(shared_data / "raw" / "cpprefjp" / "cpprefjp_md.tar.gz") as archive:
        names = [name for name in sorted(archive.getnames()) if name.endswith(".md")][::60]
        for number, name in enumerate(names):
            stream = archive.extractfile(name)
            assert stream is not None
            (root / f"{number:04d}.md").write_bytes(stream.read())
    recipe = Recipe.model_validate(
        {
            "stage": "data", "name": "real", "root": str(root),
            "sources": [
                {"format": "aozora", "name": "literature", "paths": ["*.tar.gz"], "rights": CC0},
                {"format": "markdown", "name": "reference", "paths": ["*.md"], "rights": CC0},
            ],
            "steps": [TRAIN | {"column": "literary", "positive": ["literature"], "negative": ["reference"]}],
        }
    )  # fmt: skip
    corpus = _build(recipe, tmp_path / "out")
    figures = open_artifact(corpus.path / "classifiers" / "literary").manifest.stats
    assert figures["held_out"] > 30
    assert figures["held_out_auc"] > 0.95
    assert figures["held_out_accuracy"] > 0.9


def test_scores_of_a_batch_without_rows_have_their_column() -> None:
    step = Quality.model_validate(TRAIN)
    batch = pa.record_batch([pa.array([], pa.string())] * 3, names=["id", "source", "text"])
    decision = pa.table({"weight": pa.array(np.zeros((1 << 18) + 1, dtype=np.float32))}).replace_schema_metadata(
        {"jpfm": json.dumps({"settings": {"max_chars": 10, "smallest_ngram": 1, "largest_ngram": 2}, "figures": {}})}
    )
    changed = step.apply(batch, decision)
    assert changed.batch.schema.names == ["id", "source", "text", "office"]
    assert changed.batch.num_rows == 0
