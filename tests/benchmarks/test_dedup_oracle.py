"""The oracle against brute force over sets of strings, and the scorer by hand."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from benchmarks.data import oracle, planted
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.dedup_key import KeyRules, keys


def brute_force(texts: list[str], threshold: float, size: int = 5) -> dict[tuple[int, int], float]:
    sets = [planted.grams(text, size) for text in texts]
    found = {}
    for left, right in itertools.combinations(range(len(texts)), 2):
        value = planted.jaccard(sets[left], sets[right])
        if value >= threshold:
            found[left, right] = value
    return found


def as_dict(pairs: oracle.Pairs) -> dict[tuple[int, int], float]:
    return {
        (left, right): value
        for left, right, value in zip(*(column.tolist() for column in pairs), strict=True)
    }  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = planted.plant(planted.invented_pool(4), tmp_path_factory.mktemp("oracle"), seed=4, num_documents=500)
    return [text[:400] for text in planted.read(out).column("text").to_pylist()]  # brute force has its limits


@pytest.fixture(scope="module")
def pairs(texts: list[str]) -> dict[tuple[int, int], float]:
    return brute_force(texts, 0.3)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_all_pairs_of_500_documents(
    texts: list[str], pairs: dict[tuple[int, int], float], threshold: float
) -> None:  # fmt: skip
    sets = oracle.gram_sets(oracle.raw_points(pa.array(texts)))
    found = as_dict(oracle.all_pairs(sets, threshold))
    wanted = {pair: value for pair, value in pairs.items() if value >= threshold}
    assert found == pytest.approx(wanted)
    assert len(wanted) > 50


def test_all_pairs_of_keys(texts: list[str], pairs: dict[tuple[int, int], float]) -> None:
    column = pa.array(texts)
    made = keys(column, KeyRules())
    keyed = ["".join(map(chr, made.points[a:b])) for a, b in itertools.pairwise(made.offsets.tolist())]
    found = as_dict(oracle.all_pairs(oracle.gram_sets(oracle.key_points(column)), 0.5))
    assert found == pytest.approx(brute_force(keyed, 0.5))
    assert set(found) != {pair for pair, value in pairs.items() if value >= 0.5}


@given(
    st.lists(st.text(alphabet="すもの桃", max_size=9), max_size=9),
    st.sampled_from([0.1, 0.5, 2 / 3, 0.7, 1.0]),
    st.integers(1, 3),
)
def test_all_pairs_of_small_texts(texts: list[str], threshold: float, size: int) -> None:
    sets = oracle.gram_sets(oracle.raw_points(pa.array(texts, pa.string())), size=size)
    assert as_dict(oracle.all_pairs(sets, threshold)) == pytest.approx(brute_force(texts, threshold, size))


def test_score_by_hand() -> None:
    """A chain 0-1-2, a pair 3-4, and 5 alone."""
    pairs = oracle.Pairs(np.array([0, 1, 3, 0]), np.array([1, 2, 4, 2]), np.array([0.9, 0.8, 0.75, 0.55]))

    def judge(kept: list[int], threshold: float, names: list[int] | None = None) -> oracle.Score:
        mask = np.isin(np.arange(6), kept)
        of = np.array(names) if names else None
        look = {(a, b): v for a, b, v in zip(*(c.tolist() for c in pairs), strict=True)}
        return oracle.score(
            pairs, mask, threshold=threshold, names=of,
            similarity_of=lambda x, y: np.array([
                look.get((min(a, b), max(a, b)), 0.0) for a, b in zip(x.tolist(), y.tolist(), strict=True)
            ]),
        )  # fmt: skip

    # keeping 0 alone of the chain loses 2, which is no copy of 0; 4 is left over
    chained = judge([0, 3, 4, 5], 0.7, [-1, 0, 0, -1, -1, -1])
    assert chained == oracle.Score(
        dropped=2, dropped_right=1, left_over=1, pairs=3, pairs_parted=2, links=2, links_right=1
    )
    assert (chained.precision, chained.recall) == (0.5, 0.5)
    assert chained.pair_precision == 0.5
    assert chained.pair_recall == pytest.approx(2 / 3)
    best = judge([0, 2, 3, 5], 0.7)
    assert (best.precision, best.recall, best.pair_recall, best.pair_precision) == (1.0, 1.0, 1.0, None)
    assert judge([0, 1, 2, 3, 4, 5], 0.7).left_over == 3
    later = judge([1, 4, 5], 0.7)  # the first of a pair may go as well as the second
    assert (later.dropped, later.dropped_right, later.left_over) == (3, 3, 0)
    assert judge([0, 2, 3, 4, 5], 0.8).recall == 1.0  # 3-4 is below the threshold
    lost = judge([0, 1, 2, 3, 4], 0.7)
    assert (lost.dropped, lost.dropped_right) == (1, 0)


def test_empty_corpus(tmp_path: Path) -> None:
    sets = oracle.gram_sets(oracle.raw_points(pa.array(["", "", "短い"], pa.string())))
    assert len(oracle.all_pairs(sets, 0.5).left) == 0
    assert oracle.similarities(sets, np.array([0]), np.array([1])).tolist() == [0.0]
