"""The learning rate is a pure function of the step."""

import doctest
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jpfm.train import schedule as module
from jpfm.train.schedule import lr_at
from jpfm.train.settings import Schedule

KINDS = ["wsd", "cosine", "linear", "constant"]
PEAK = 2.0


def curve(steps: int, batch_tokens: int = 4096, **settings: Any) -> list[float]:
    schedule = Schedule.model_validate(settings)
    return [lr_at(step, PEAK, steps, schedule, batch_tokens) for step in range(steps)]


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, Schedule]:
    """Steps, tokens a step and a schedule that fits into them, lengths in steps or in tokens."""
    steps, batch_tokens = draw(st.integers(1, 300)), draw(st.sampled_from([512, 4096, 5000]))
    kind = draw(st.sampled_from(KINDS))
    settings: dict[str, Any] = {"kind": kind, "final_share": draw(st.floats(0, 1))}
    if draw(st.booleans()):
        settings["warmup_tokens"] = warmup_tokens = draw(st.integers(0, steps * batch_tokens))
        warmup = warmup_tokens / batch_tokens
    else:
        settings["warmup_steps"] = warmup = draw(st.integers(0, steps))
    if kind == "wsd":
        settings["decay"] = draw(st.sampled_from(["linear", "minus_sqrt", "cosine"]))
        room = steps - warmup
        if draw(st.booleans()):
            settings["decay_tokens"] = draw(st.integers(0, math.floor(room * batch_tokens)))
        else:
            settings["decay_steps"] = draw(st.integers(0, math.floor(room)))
    return steps, batch_tokens, Schedule.model_validate(settings)


@given(schedules())
def test_rises_to_the_peak_then_falls_and_ends_at_the_final_share(drawn: tuple[int, int, Schedule]) -> None:
    steps, batch_tokens, schedule = drawn
    rates = [lr_at(step, PEAK, steps, schedule, batch_tokens) for step in range(steps)]
    warmup, decay = schedule.warmup(batch_tokens), schedule.decay_length(batch_tokens)
    assert all(0 <= rate <= PEAK for rate in rates)
    top = max(0, math.ceil(warmup) - 1)  # the first step at whose end the warm-up is over
    assert all(a < b for a, b in itertools.pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[top:]))
    if schedule.kind == "wsd":
        flat = rates[top : math.floor(steps - decay)]
        assert flat == [PEAK] * len(flat)
    ends_low = decay > 0 if schedule.kind == "wsd" else schedule.kind != "constant" and warmup < steps
    assert rates[-1] == PEAK * schedule.final_share if ends_low else rates[-1] == PEAK
    assert lr_at(steps + 5, PEAK, steps, schedule, batch_tokens) == rates[-1]


@given(st.integers(1, 64), st.integers(0, 40), st.integers(0, 40), st.sampled_from(["linear", "minus_sqrt", "cosine"]))
def test_steps_and_tokens_are_two_words_for_one_length(batch: int, warmup: int, decay: int, shape: str) -> None:
    common = {"kind": "wsd", "decay": shape, "final_share": 0.1}
    in_steps = curve(100, batch, **common, warmup_steps=warmup, decay_steps=decay)
    in_tokens = curve(100, batch, **common, warmup_tokens=warmup * batch, decay_tokens=decay * batch)
    assert in_steps == in_tokens


@pytest.mark.parametrize(
    ("shape", "halfway", "three_quarters"),
    [("linear", 0.5, 0.25), ("minus_sqrt", 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)), ("cosine", 0.5, 0.14645)],
)
def test_shapes_of_the_decay(shape: str, halfway: float, three_quarters: float) -> None:
    rates = curve(100, kind="wsd", warmup_steps=0, decay_steps=40, decay=shape, final_share=0.0)
    assert rates[59] == PEAK
    assert rates[79] == pytest.approx(PEAK * halfway)
    assert rates[89] == pytest.approx(PEAK * three_quarters, rel=1e-4)


@pytest.mark.parametrize("settings", [{"kind": "wsd"}, {"kind": "wsd", "decay_tokens": 0}, {"kind": "constant"}])
def test_without_a_decay_the_plateau_lasts_to_the_end(settings: dict[str, Any]) -> None:
    assert curve(20, **settings, warmup_steps=4)[3:] == [PEAK] * 17


def test_the_default_warmup_is_100_steps() -> None:
    assert curve(200)[:2] == [PEAK / 100, PEAK / 50]
    assert curve(200)[99] == PEAK > curve(200)[98]


def test_cosine_is_that_of_torch() -> None:
    """Torch gives step n the rate of the curve at n, so its curve is ours one step later."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=PEAK)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.2)
    for rate in curve(50, kind="cosine", warmup_steps=0, final_share=0.1):
        optimizer.step()
        theirs.step()
        assert rate == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)


def test_a_branch_decays_from_where_the_plateau_was() -> None:
    """A run that is cut short for its decay is the longer run up to there: a branch needs only its own length."""
    long = curve(1000, kind="wsd", warmup_steps=10, decay_steps=0)
    branch = curve(600, kind="wsd", warmup_steps=10, decay_steps=100, decay="minus_sqrt", final_share=0.0)
    assert branch[:500] == long[:500]
    assert branch[-1] == 0.0


def test_examples_are_true() -> None:
    assert doctest.testmod(module).failed == 0
