"""The pictures: the same bytes each time, and figures that add up."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.report.made import CORPUS_STATS, STEPS

from jpfm.core.errors import DataError
from jpfm.report.plots import funnel, funnel_bars, in_step_order
from jpfm.train.plot import loss_curve, read_curve, smoothed


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_a_curve_takes_the_last_line_of_a_step_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    file = write(
        tmp_path / "metrics.jsonl",
        [
            {"step": 1, "tokens": 10, "loss": 9.0},
            {"step": 2, "tokens": 20, "loss": 8.0},
            {"step": 2, "tokens": 20, "loss": 7.5},
            {"step": 3, "tokens": 30, "loss": float("nan")},
            {"step": 4, "held_out_loss": 7.0},
            '{"step": 5, "tok',
        ],
    )
    curve = read_curve(file)
    assert curve.tokens.tolist() == [10, 20]
    assert curve.loss.tolist() == [9.0, 7.5]
    assert curve.num_left_out == 3


def test_a_log_without_loss_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line holds"):
        read_curve(write(tmp_path / "m.jsonl", [{"step": 1}]))


@pytest.mark.parametrize("length", [1, 2, 79, 80, 400])
def test_smoothing_keeps_length_and_range(length: int) -> None:
    loss = np.abs(np.sin(np.arange(length, dtype=np.float64)))
    mean = smoothed(loss)
    assert mean.shape == loss.shape
    assert mean.min() >= loss.min() - 1e-9
    assert mean.max() <= loss.max() + 1e-9


@pytest.mark.parametrize("names", [None, ["(1) jpfm-8M", "(2) $\\frac{1}", "(3) 日本語\x00"]])
def test_loss_pictures_are_the_same_each_time(tmp_path: Path, names: list[str] | None) -> None:
    file = write(tmp_path / "m.jsonl", [{"step": n, "tokens": n * 64, "loss": 9 / n} for n in range(1, 200)])
    metrics = file if names is None else dict.fromkeys(names, file)
    for name in ("one.png", "two.png"):
        loss_curve(metrics, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert b"Software" not in (tmp_path / "one.png").read_bytes()


def test_one_step_can_be_drawn(tmp_path: Path) -> None:
    loss_curve(write(tmp_path / "m.jsonl", [{"step": 1, "tokens": 64, "loss": 9.0}]), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_funnel_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        funnel(CORPUS_STATS, tmp_path / name, steps=STEPS)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_an_empty_corpus_can_be_drawn(tmp_path: Path) -> None:
    total = {"read": 0, "kept": 0, "dropped": {}, "quarantined": {}}
    funnel({"total": total, "sources": {"a": total}}, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_the_funnel_adds_up_in_step_order() -> None:
    bars = funnel_bars(CORPUS_STATS["total"], STEPS)
    losses = [bar for bar in bars if bar.kind == "loss"]
    assert bars[0].count - sum(bar.count for bar in losses) == bars[-1].count
    assert [bar.label.split(":")[0] for bar in losses] == ["quarantined", "quarantined", *STEPS[1:]]
    for bar in bars:
        assert sum(bar.of(entry) for entry in CORPUS_STATS["sources"].values()) == bar.count


def test_many_reasons_are_joined_and_none_is_lost() -> None:
    dropped = {f"step:reason {n:03d}": n for n in range(1, 61)}
    total = {"read": 2000, "kept": 2000 - sum(dropped.values()), "dropped": dropped, "quarantined": {}}
    bars = funnel_bars(total, ["step"])
    assert "20 smaller reasons" in [bar.label for bar in bars]
    assert sum(bar.count for bar in bars if bar.kind == "loss") == sum(dropped.values())


def test_unknown_steps_come_last() -> None:
    assert in_step_order(["x:1", "b:2", "a:1", "b:1"], ["b", "a", "b"]) == ["b:1", "b:2", "a:1", "x:1"]
