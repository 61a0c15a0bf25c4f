"""The learning rate is a pure function of the step."""

import itertools

import pytest

from jpfm.train.config import Schedule
from jpfm.train.schedule import lr_at


@pytest.mark.parametrize("kind", ["wsd", "cosine", "linear"])
def test_rises_to_the_peak_and_ends_at_the_floor(kind: str) -> None:
    schedule = Schedule.model_validate({"kind": kind, "warmup_steps": 10, "decay_steps": 30, "final_share": 0.1})
    rates = [lr_at(step, 2.0, 100, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(2.0, rel=0.01)
    assert rates[-1] == pytest.approx(0.2)
    assert all(a <= b for a, b in itertools.pairwise(rates[:10]))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_wsd_is_flat_between_warmup_and_decay() -> None:
    schedule = Schedule(warmup_steps=5, decay_steps=10)
    assert {lr_at(step, 1.0, 50, schedule) for step in range(5, 40)} == {1.0}


def test_no_warmup_and_no_decay() -> None:
    assert lr_at(0, 1.0, 10, Schedule(warmup_steps=0)) == 1.0
    assert lr_at(9, 1.0, 10, Schedule(warmup_steps=0)) == 1.0
