"""Which tokens step n sees: a bijection a epoch, the same global batch on any number of processes."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.order import TokenOrder, permute, positions, unpermute
from jpfm.tokens.shards import TokenStore
from jpfm.tokens.tokenizer import EOS


@pytest.fixture(scope="module")
def store(tokens: Artifact) -> TokenStore:
    return TokenStore.open(tokens)


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


@given(st.integers(0, 40), st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 5), st.sampled_from([7, 64, 511]))
def test_any_number_of_processes_gives_the_same_global_batch(
    store: TokenStore, step: int, world: int, seed: int, seq_len: int
) -> None:
    order = TokenOrder(store, seq_len=seq_len, rows_per_step=12, seed=seed)
    whole = order.batch(step)
    assert whole.shape == (12, seq_len + 1)
    assert whole.dtype == np.uint32
    parts = [order.batch(step, rank, world) for rank in range(world)]
    assert np.array_equal(np.stack(parts, axis=1).reshape(12, seq_len + 1), whole)


def test_an_epoch_shows_every_row_once_and_the_next_another_order(store: TokenStore) -> None:
    order = TokenOrder(store, seq_len=128, rows_per_step=8)
    rows = np.concatenate([order.rows(step) for step in range(2 * order.num_rows // 8 + 1)])
    first, second = rows[: order.num_rows], rows[order.num_rows : 2 * order.num_rows]
    assert np.array_equal(np.sort(first), np.arange(order.num_rows))
    assert np.array_equal(np.sort(second), np.arange(order.num_rows))
    assert not np.array_equal(first, second)
    other = TokenOrder(store, seq_len=128, rows_per_step=8, seed=1)
    assert not np.array_equal(other.rows(0), order.rows(0))
    assert np.array_equal(TokenOrder(store, seq_len=128, rows_per_step=4).rows(0), order.rows(0)[:4])


def test_rows_are_the_stream_and_share_one_token(store: TokenStore) -> None:
    order = TokenOrder(store, seq_len=100, rows_per_step=4)
    for number, row in zip(order.rows(3), order.batch(3), strict=True):
        assert np.array_equal(row, np.asarray(store.tokens[number * 100 : number * 100 + 101]))
    inputs = (len(store.tokens) - 1) // 100 * 100
    assert order.num_rows * 100 == inputs


@given(st.integers(0, 30))
def test_documents_of_a_step_are_those_whose_tokens_it_saw(store: TokenStore, step: int) -> None:
    order = TokenOrder(store, seq_len=300, rows_per_step=4)
    docs = pq.read_table(store.artifact.path / "docs.parquet").to_pylist()
    whose = np.repeat(np.arange(len(docs)), [doc["length"] for doc in docs])
    expected = []
    for slot, row in enumerate(order.rows(step)):
        tokens = np.arange(row * 300, row * 300 + 301)
        for document in dict.fromkeys(whose[tokens].tolist()):
            seen = tokens[whose[tokens] == document]
            doc = docs[document]
            expected.append((slot, doc["id"], doc["source"], doc["licence"], int(seen[0]), int(seen[-1]) + 1))
    assert [tuple(row.values()) for row in order.documents(step).to_pylist()] == expected


@given(
    st.sampled_from([16, 63, 300, 2048]), st.integers(1, 12), st.integers(0, 3), st.integers(1, 60), st.data()
)  # fmt: skip
def test_sightings_are_all_rows_that_meet_the_ranges(
    store: TokenStore, seq_len: int, rows_per_step: int, seed: int, steps: int, data: st.DataObject
) -> None:
    order = TokenOrder(store, seq_len, rows_per_step, seed)
    place = st.one_of(  # ends at the edge of a row matter most: two rows share one token
        st.integers(0, len(store.tokens)),
        st.builds(lambda row, by: max(0, row * seq_len + by), st.integers(0, order.num_rows), st.integers(-1, 1)),
    )
    ranges = data.draw(st.lists(st.tuples(place, place).map(sorted), min_size=1, max_size=5))
    firsts, lasts = np.array(ranges).T
    table = order.sightings(firsts, lasts, steps)
    expected = []
    for step in range(steps):
        for slot, row in enumerate(order.rows(step).tolist()):
            for number, (first, last) in enumerate(ranges):
                start, stop = max(row * seq_len, first), min((row + 1) * seq_len + 1, last)
                if start < stop:
                    expected.append((step, slot, number, start, stop))
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


def test_sightings_agree_with_documents_over_two_epochs(store: TokenStore) -> None:
    order = TokenOrder(store, seq_len=256, rows_per_step=8, seed=5)
    steps = 2 * order.num_rows // 8 + 1
    ids = pq.read_table(store.artifact.path / "docs.parquet").column("id").to_pylist()
    ends = np.append(store.starts[1:], len(store.tokens))
    for document in (0, len(ids) // 2, len(ids) - 1):
        table = order.sightings(store.starts[[document]], ends[[document]], steps).drop_columns("range")
        expected = [
            (step, row["slot"], row["first"], row["last"])
            for step in range(steps)
            for row in order.documents(step).to_pylist()
            if row["id"] == ids[document]
        ]
        assert [tuple(row.values()) for row in table.to_pylist()] == expected
        assert len({step for step, *_ in expected}) >= 1


def test_no_range_and_no_step_give_no_sighting(store: TokenStore) -> None:
    order = TokenOrder(store, seq_len=256, rows_per_step=8)
    none = np.array([], dtype=np.int64)
    assert order.sightings(none, none, 10).num_rows == 0
    assert order.sightings(np.array([0]), np.array([300]), 0).num_rows == 0
    assert order.sightings(np.array([300]), np.array([300]), 99).num_rows == 0


def test_what_cannot_be_split_or_filled_is_said_so(store: TokenStore) -> None:
    with pytest.raises(UsageError, match="12 rows a step cannot be split over 5 processes"):
        TokenOrder(store, seq_len=8, rows_per_step=12).batch(0, 0, 5)
    with pytest.raises(DataError, match="do not fill one row"):
        TokenOrder(store, seq_len=10**7, rows_per_step=1)


@given(st.lists(st.lists(st.sampled_from([EOS, 5, 6]), min_size=9, max_size=9), min_size=1, max_size=3))
def test_positions_begin_again_at_each_end(rows: list[list[int]]) -> None:
    expected = []
    for row in rows:
        here, line = -1, []
        for token in row:
            here = 0 if token == EOS else here + 1
            line.append(here)
        expected.append(line)
    assert positions(np.array(rows, dtype=np.uint32), EOS).tolist() == expected
