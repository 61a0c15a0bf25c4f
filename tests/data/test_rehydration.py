"""How often a document is seen again, by the size of its cluster: FineWeb2's table, other tables, and refused ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from jpfm.data.build import build
from jpfm.data.document import Document, to_batch
from jpfm.data.recipe import Recipe
from jpfm.data.steps.rehydration import RehydrationWeight


def _weights(step: RehydrationWeight, sizes: Sequence[int]) -> list[float]:
    batch = to_batch([Document(str(n), "本文") for n in range(len(sizes))], "s", "CC0-1.0")
    changed = step.run(batch.append_column("cluster_size", pa.array(sizes, pa.int64())))
    assert changed.batch.column("rehydration_weight").type == pa.float32()
    assert (changed.dropped.num_rows, changed.edits.num_rows) == (0, 0)
    weights: list[float] = changed.batch.column("rehydration_weight").to_pylist()
    return weights


@pytest.mark.parametrize(
    ("size", "weight"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 5), (99, 5), (100, 8), (999, 8), (1000, 1), (10**9, 1)],
)
def test_the_published_table_at_each_of_its_edges(size: int, weight: float) -> None:
    """As the FineWeb2 README prints it: 1:1 2:2 3:3 4:3 5-99:5 100-999:8 >=1000:1."""
    assert _weights(RehydrationWeight(step="rehydration_weight"), [size]) == [weight]


def test_a_table_of_ones_own_and_a_batch_without_documents() -> None:
    step = RehydrationWeight(step="rehydration_weight", weights=((1, 0.5), (10, 0.0)))
    assert _weights(step, [9, 10, 1, 11]) == [0.5, 0.0, 0.5, 0.0]
    assert _weights(step, []) == []


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((), "at least 1 item"),
        (((2, 1.0),), "begin at clusters of 1 and ascend"),
        (((1, 1.0), (5, 2.0), (3, 2.0)), "begin at clusters of 1 and ascend"),
        (((1, 1.0), (1, 2.0)), "begin at clusters of 1 and ascend"),
        (((1, 1.0), (2, -1.0)), "greater than or equal to 0"),
        (((1, float("nan")),), "finite number"),
        (((1, float("inf")),), "finite number"),
    ],
)
def test_a_table_that_cannot_be_meant(weights: Any, words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        RehydrationWeight(step="rehydration_weight", weights=weights)


def test_it_asks_for_the_step_that_counts_clusters(make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"needs column 'cluster_size'; put `- step: near_duplicates`"):
        make_recipe({"a.txt": "本文"}, ["rehydration_weight"])


def test_a_corpus_has_the_weight_of_what_each_document_stands_for(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Three copies, of which exact_duplicates takes two and near_duplicates counts all; and one alone."""
    story = "".join(f"{n}日目は{n * 37 % 101}キロ歩き、川の手前の宿で灯を消した。" for n in range(20))
    files = {
        "a.txt": story,
        "b.txt": story,
        "c.txt": story,
        "d.txt": story.replace("宿", "寺", 1),
        "e.txt": "別の話。" * 9,
    }
    corpus = build(make_recipe(files, ["exact_duplicates", "near_duplicates", "rehydration_weight"]), tmp_path / "out")
    assert corpus is not None
    rows = pq.read_table(corpus.path / "documents").to_pylist()
    assert {row["id"].rpartition("/")[2]: (row["cluster_size"], row["rehydration_weight"]) for row in rows} == {
        "a.txt": (4, 3.0), "e.txt": (1, 1.0),
    }  # fmt: skip
