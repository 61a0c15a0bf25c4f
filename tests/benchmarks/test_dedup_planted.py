"""Planted near-duplicates: the bytes depend on seed and pool alone, and a copy is as similar as it says."""

import json
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.data import planted
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def pool() -> planted.Pool:
    return planted.invented_pool(1)


@pytest.fixture(scope="module")
def corpus(pool: planted.Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.plant(pool, tmp_path_factory.mktemp("planted"), seed=1, num_documents=600)


def test_any_number_of_workers_writes_the_same_bytes(pool: planted.Pool, corpus: Path, tmp_path: Path) -> None:
    again = planted.plant(pool, tmp_path / "again", seed=1, num_documents=600, workers=2)
    other = planted.plant(pool, tmp_path / "other", seed=2, num_documents=600)
    names = sorted(path.name for path in corpus.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert all((corpus / name).read_bytes() == (again / name).read_bytes() for name in names)
    assert (corpus / "part-0000.jsonl").read_bytes() != (other / "part-0000.jsonl").read_bytes()


def test_what_is_told_of_a_copy_is_true(corpus: Path) -> None:
    texts = dict(zip(*(planted.read(corpus).column(name).to_pylist() for name in ("id", "text")), strict=True))
    told = planted.read_planted(corpus)
    assert [row["id"] for row in told] == list(texts)
    missed = []
    for row in told:
        if row["parent"] is None:
            continue
        found = planted.jaccard(planted.grams(texts[row["id"]]), planted.grams(texts[row["parent"]]))
        assert found == pytest.approx(row["jaccard"], abs=1e-4)
        if row["style"] in ("characters", "sentences", "mixed"):
            missed.append(abs(found - row["target"]))
        elif row["style"] == "exact":
            assert texts[row["id"]] == texts[row["parent"]]
    assert max(missed) < 0.03
    styles = Counter(row["style"] for row in told)
    assert set(styles) == {"original", "exact", "characters", "sentences", "mixed", "numbers", "form"}


def test_rows_have_the_columns_of_a_crawl(corpus: Path) -> None:
    row = json.loads((corpus / "part-0000.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert list(row) == ["id", "text", "source", "url", "date"]
    lengths = [len(text) for text in planted.read(corpus).column("text").to_pylist()]
    assert min(lengths) >= 200  # an original has 500; a copy may have lost sentences
    assert sorted(lengths)[300] > 1_000


def test_size_in_bytes(pool: planted.Pool, tmp_path: Path) -> None:
    out = planted.plant(pool, tmp_path / "out", seed=3, num_bytes=8_000_000)
    size = sum(len(text.encode()) for text in planted.read(out).column("text").to_pylist())
    assert size >= 8_000_000
    assert sorted(path.name for path in out.glob("part-*")) == ["part-0000.jsonl", "part-0001.jsonl"]


def test_edits_by_hand() -> None:
    edits = [planted.Edit(0, 2, "平成"), planted.Edit(7, 7, "高"), planted.Edit(3, 4, "")]
    assert planted.apply("令和5年の売上", edits) == "平成5の売上高"


@given(st.text(alphabet="あいう。\n1二年", max_size=400))
def test_pieces_are_short_and_lose_no_character(text: str) -> None:
    pieces = list(planted.chunks_of(text))
    assert all(len(piece) <= 240 for piece in pieces)
    left = Counter("".join(pieces).replace("\n", ""))
    assert sum((Counter(text.replace("\n", "")) - left).values()) <= 1  # a full piece gives way to its line end
