"""A keyed permutation: a bijection for any count and key, with a way back, equal to the slow reading."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jpfm.tokens.permutation import epoch_key, permute, unpermute


@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_the_permutation_is_a_bijection_for_any_count_and_key(count: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(count), count, key)), np.arange(count))


@given(st.integers(1, 10**12), st.integers(0, 2**63 - 1), st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_places_of_a_huge_count_are_distinct_and_inside(count: int, key: int, wanted: list[int]) -> None:
    places = np.array(sorted({place % count for place in wanted}))
    moved = permute(places, count, key)
    assert len(set(moved.tolist())) == len(places)
    assert 0 <= moved.min() <= moved.max() < count


@given(st.integers(1, 10**12), st.integers(0, 2**63 - 1), st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_the_inverse_leads_back(count: int, key: int, wanted: list[int]) -> None:
    places = np.array([place % count for place in wanted])
    assert np.array_equal(unpermute(permute(places, count, key), count, key), places)
    assert np.array_equal(permute(unpermute(places, count, key), count, key), places)


def _slow_permute(index: int, count: int, key: int) -> int:
    mask64, half = 2**64 - 1, 1
    while 1 << 2 * half < count:
        half += 1
    value = index
    while True:
        left, right = value >> half, value & (1 << half) - 1
        for turn in range(6):
            mixed = (right ^ (key + turn * 0xA24BAED4963EE407) & mask64) * 0x9E3779B97F4A7C15 & mask64
            mixed ^= mixed >> 31
            mixed = mixed * 0xD6E8FEB86659FD93 & mask64
            left, right = right, left ^ ((mixed ^ mixed >> 32) & (1 << half) - 1)
        value = left << half | right
        if value < count:
            return value


@given(st.integers(1, 5000), st.integers(0, 2**63 - 1), st.data())
def test_the_permutation_equals_the_slow_reading(count: int, key: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    assert permute(np.array([index]), count, key)[0] == _slow_permute(index, count, key)


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 2**63 - 1), st.integers(0, 10**12)), min_size=1))
def test_counts_and_keys_of_their_own_give_what_each_gives_alone(wanted: list[tuple[int, int, int]]) -> None:
    counts = np.array([count for count, _, _ in wanted])
    keys = np.array([key for _, key, _ in wanted], dtype=np.uint64)
    places = np.array([place % count for count, _, place in wanted])
    alone = [int(permute(places[n : n + 1], int(counts[n]), int(keys[n]))[0]) for n in range(len(wanted))]
    assert permute(places, counts, keys).tolist() == alone
    assert np.array_equal(unpermute(np.array(alone), counts, keys), places)


def test_places_are_spread_evenly() -> None:
    """Chi-squared of 64 x 64 cells of (position, place): far below what a structured order gives."""
    count = 1 << 16
    moved = permute(np.arange(count), count, epoch_key(0, "青空", 0))
    cells = np.histogram2d(np.arange(count), moved, bins=64)[0]
    assert 3600 < ((cells - 16) ** 2 / 16).sum() < 4400  # 4095 degrees of freedom, sigma 90


def test_keys_differ_by_seed_source_and_epoch() -> None:
    keys = {
        epoch_key(seed, source, epoch) for seed in range(3) for source in ("青空", "法令", "a") for epoch in range(3)
    }
    assert len(keys) == 27
