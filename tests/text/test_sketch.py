"""Sketches against the theory they rest on, sets against Python's sets."""

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.dedup_key import KeyRules, Keys, keys
from jpfm.text.sketch import EMPTY_ROW, band_keys, jaccard, ngram_sets, roll

WORDS = ["朝の市場は八時に始まる", "魚を並べる人の声", "氷の匂いがした"]
texts = st.lists(st.text(st.sampled_from("あいう亜12𠮷"), max_size=30), max_size=6)


def _keys(rows: list[str]) -> Keys:
    return keys(pa.array(rows, pa.string()), KeyRules())


def _of_points(documents: list[npt.NDArray[np.uint32]]) -> Keys:
    """Keys of which each point stands for one n-gram (size 1): any set of n-grams, without text."""
    sizes = [len(points) for points in documents]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Keys(offsets, np.concatenate(documents).astype(np.uint32), None)


# --- n-grams --------------------------------------------------------------------------------------------------------


def _window_hash(window: str) -> int:
    """The hash of one window, from the definition: a polynomial over hashed points, mixed."""
    whole = 2**64 - 1
    state = 0
    for character in window:
        letter = (ord(character) + 1) * 0xD6E8FEB86659FD93 & whole
        state = (state * 0x9E3779B97F4A7C15 + (letter ^ letter >> 32)) & whole
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 1):
        state = (state ^ state >> 33) * multiplier & whole
    return state


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(1, 9))
def test_the_rolling_hash_is_the_hash_of_its_window(text: str, size: int) -> None:
    points = np.array([0, *map(ord, text), 0], dtype=np.uint32)
    out = np.zeros(len(points), dtype=np.uint64)
    count = roll(points, 1, len(points) - 1, size, out)
    windows = [text[start : start + size] for start in range(max(1, len(text) - size + 1))] if text else []
    assert out[:count].tolist() == [_window_hash(window) for window in windows]


@given(texts, st.integers(1, 6))
def test_sets_and_jaccard_equal_those_of_python(rows: list[str], size: int) -> None:
    found = ngram_sets(_keys(rows), size=size)
    python = [{text[at : at + size] for at in range(max(1, len(text) - size + 1))} if text else set() for text in rows]
    assert np.diff(found.offsets).tolist() == [len(grams) for grams in python]
    for start, stop in itertools.pairwise(found.offsets.tolist()):
        assert (np.diff(found.values[start:stop].astype(np.int64)) > 0).all()
    pairs = list(itertools.product(range(len(rows)), repeat=2))
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    expected = [len(python[i] & python[j]) / (len(python[i] | python[j]) or 1) for i, j in pairs]
    assert jaccard(found, found, left, right).tolist() == expected


def test_short_empty_and_monotonous_keys() -> None:
    found = _keys(["", "あ", "あいうえ", "あいうえお", "あ" * 900, "。、", "あ" * 5])
    sets = ngram_sets(found, size=5)
    assert np.diff(sets.offsets).tolist() == [0, 1, 1, 1, 1, 0, 1]
    bands = band_keys(found, size=5, bands=4, rows_per_band=3)
    assert (bands[[0, 5]] == EMPTY_ROW).all()
    assert (bands[[1, 2, 3, 4, 6]] != EMPTY_ROW).all()
    assert (bands[4] == bands[6]).all()  # one n-gram, however often
    assert len({tuple(row) for row in bands[[1, 2, 3, 4]].tolist()}) == 4
    left, right = np.array([0, 1, 4, 0]), np.array([5, 1, 6, 1])
    assert jaccard(sets, sets, left, right).tolist() == [0, 1, 1, 0]


@given(texts, st.sampled_from([(4, 3), (18, 7), (1, 1), (40, 10)]))
def test_band_keys_do_not_depend_on_other_rows(rows: list[str], shape: tuple[int, int]) -> None:
    bands, per_band = shape
    together = band_keys(_keys(rows), size=5, bands=bands, rows_per_band=per_band)
    assert together.shape == (len(rows), bands)
    for text, row in zip(rows, together, strict=True):
        alone = band_keys(_keys([text]), size=5, bands=bands, rows_per_band=per_band)[0]
        assert row.tolist() == alone.tolist()


def test_the_order_and_number_of_ngrams_do_not_count() -> None:
    points = np.arange(300, dtype=np.uint32) + 0x3041
    found = _of_points([points, points[::-1], np.concatenate([points, points])])
    bands = band_keys(found, size=1, bands=20, rows_per_band=5)
    assert (bands[0] == bands[1]).all()
    assert (bands[0] == bands[2]).all()


# --- probability ----------------------------------------------------------------------------------------------------


def _pairs_of(union: int, common: int, count: int, seed: int) -> Keys:
    """Pairs of sets of single points: `common` points in both of `union` in all; the rest is split in two halves."""
    draw = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        points = draw.choice(0x10FF00, union, replace=False).astype(np.uint32)
        middle = common + (union - common) // 2
        documents += [points[:middle], np.concatenate([points[:common], points[middle:]])]
    return _of_points(documents)


CASES = [  # (union, common): from two single characters to documents of 5,000 n-grams
    (1, 1), (2, 1), (3, 1), (3, 2), (5, 4), (10, 5), (10, 9), (30, 24), (90, 72), (126, 63), (127, 100), (400, 320),
    (1000, 100), (1000, 950), (5000, 4000), (5000, 500), (4, 0),
]  # fmt: skip


@pytest.mark.parametrize(("union", "common"), CASES)
@pytest.mark.parametrize("k", [8, 126, 320])
def test_a_coordinate_is_equal_with_the_probability_of_the_similarity(union: int, common: int, k: int) -> None:
    count = 400 if union >= 1000 else 1500
    bands = band_keys(_pairs_of(union, common, count, seed=union + k), size=1, bands=k, rows_per_band=1)
    equal = bands[0::2] == bands[1::2]
    similarity = common / union
    shares = equal.mean(axis=1)
    # coordinates of one pair are no more than independent ones apart: k of them give the error of MinHash or less
    error = np.sqrt(similarity * (1 - similarity) / (k * count))
    if union < k:  # few n-grams fill many bins: what counts is how many n-grams there are
        error = np.sqrt(similarity * (1 - similarity) / count)
    assert abs(shares.mean() - similarity) <= 4.5 * error + 1e-12
    by_place = equal.mean(axis=0)  # no coordinate is worse than another, the first and last included
    assert np.abs(by_place - similarity).max() <= 5.5 * np.sqrt(similarity * (1 - similarity) / count) + 1e-12


@pytest.mark.parametrize("union", [2000, 300])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.8, 0.9])
def test_bands_meet_as_the_curve_says(union: int, share: float) -> None:
    bands, per_band, count = 18, 7, 1500
    found = band_keys(_pairs_of(union, int(union * share), count, seed=7), size=1, bands=bands, rows_per_band=per_band)
    met = (found[0::2] == found[1::2]).any(axis=1).mean()
    curve = 1 - (1 - share**per_band) ** bands
    assert abs(met - curve) <= 4.5 * np.sqrt(curve * (1 - curve) / count) + 0.01


def test_estimates_are_as_sharp_as_those_of_minhash() -> None:
    union, common, k, count = 2000, 1600, 126, 1500
    bands = band_keys(_pairs_of(union, common, count, seed=3), size=1, bands=k, rows_per_band=1)
    shares = (bands[0::2] == bands[1::2]).mean(axis=1)
    minhash = 0.8 * 0.2 / k
    assert shares.var() < 1.25 * minhash


def test_documents_of_real_words_meet_in_all_bands_or_none() -> None:
    found = _keys([WORDS[0], WORDS[0] + "。", WORDS[1], WORDS[2]])
    bands = band_keys(found, size=5, bands=18, rows_per_band=7)
    assert (bands[0] == bands[1]).all()
    for one, two in itertools.combinations((0, 2, 3), 2):
        assert not (bands[one] == bands[two]).any()
