"""A schedule keeps the weights in every prefix, and leads both ways."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jpfm.tokens.mixture import UNIT, Schedule, units


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    """Whole numbers that sum to UNIT, some of them zero, some tiny."""
    kind = draw(st.integers(1, 12))
    parts = draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 40, 1000, 99_999, 250_000]), min_size=kind, max_size=kind))
    rest = UNIT - sum(parts)
    return np.array([*parts, rest] if rest >= 0 else [UNIT], dtype=np.int64)


@given(weights())
@example(np.array([UNIT]))
@example(np.array([1, UNIT - 1]))
@example(np.array([50_000] * 20))
@settings(max_examples=25, deadline=None)
def test_any_prefix_follows_the_weights_within_one_row(wanted: np.ndarray) -> None:
    schedule = Schedule.make(wanted)
    slots = np.arange(1, 2 * schedule.period + 2)
    source, before = schedule.of(slots - 1)
    for place, weight in enumerate(wanted.tolist()):
        had = np.cumsum(source == place)
        assert np.abs(had - slots * (weight / UNIT)).max() < 1
        assert np.array_equal(before[source == place], np.arange(had[-1]))  # each row of a source once, in order


@given(weights(), st.integers(0, 10**13), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_slots_lead_back(wanted: np.ndarray, first: int, count: int) -> None:
    schedule = Schedule.make(wanted)
    slots = np.arange(first, first + count)
    source, before = schedule.of(slots)
    for place in np.unique(source):
        here = source == place
        assert np.array_equal(schedule.slots(int(place), before[here]), slots[here])
        assert schedule.counts(first)[place] == before[here][0]
    assert int(schedule.counts(first).sum()) == first
    assert np.abs(schedule.counts(first) - wanted / UNIT * first).max() < 1 + first * 1e-12


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=40).filter(any))
def test_weights_by_size_are_the_nearest_and_leave_nobody_out(rows: list[int]) -> None:
    found = units([str(n) for n in range(len(rows))], rows, None)
    assert int(found.sum()) == UNIT
    for weight, count in zip(found.tolist(), rows, strict=True):
        assert (weight > 0) == (count > 0)
        assert abs(weight - count / sum(rows) * UNIT) <= max(1, len(rows))


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.3, 0.7], [1 / 8] * 8, [0.000001, 0.999999], [0.15, 0.35, 0.5]])
def test_decimal_weights_are_read_exactly(shares: list[float]) -> None:
    names = [f"s{n}" for n in range(len(shares))]
    assert units(names, [1] * len(shares), dict(zip(names, shares, strict=True))).tolist() == [
        round(x * UNIT) for x in shares
    ]


def test_many_sources_below_a_millionth_take_one_each() -> None:
    assert units(["big", *(f"s{n}" for n in range(1000))], [10**13, *[1] * 1000], None).tolist() == [
        999_000,
        *[1] * 1000,
    ]
