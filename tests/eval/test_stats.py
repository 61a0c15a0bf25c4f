"""Intervals: known values, and their coverage by simulation."""

import numpy as np
import pytest

from jpfm.eval.stats import bootstrap_ratio, wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (50, 1119, 0.0341, 0.0584)],
)
def test_wilson_known_values(successes: int, count: int, low: float, high: float) -> None:
    found = wilson(successes, count)
    assert found.low == pytest.approx(low, abs=2e-4)
    assert found.high == pytest.approx(high, abs=2e-4)


def test_wilson_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        wilson(0, 0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_wilson_covers_about_95_percent(share: float) -> None:
    draws = np.random.default_rng(0).binomial(200, share, 4000)
    covered = np.mean([(i := wilson(int(k), 200)).low <= share <= i.high for k in draws])
    assert 0.93 <= covered <= 0.97


def test_bootstrap_ratio_covers_and_is_repeatable() -> None:
    draw = np.random.default_rng(1)
    hits = 0
    for trial in range(150):
        chars = draw.uniform(50, 500, 60)
        bits = chars * 4.0 + draw.normal(0, 0.5, 60) * chars
        found = bootstrap_ratio(bits, chars, seed=trial, draws=400)
        hits += found.low <= 4.0 <= found.high
    assert hits >= 130
    assert bootstrap_ratio(bits, chars, seed=5) == bootstrap_ratio(bits, chars, seed=5)
