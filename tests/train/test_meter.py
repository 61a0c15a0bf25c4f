"""The log of a run: what a kill undoes, what its time was spent on, and what is told of speed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jpfm.report.run.read import read_metrics as read_for_the_page
from jpfm.train import meter as meters
from jpfm.train.energy import EnergyCounter
from jpfm.train.meter import Meter, read_metrics
from jpfm.train.peak import Peak
from jpfm.train.plot import read_curve


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: made.now)
    return made


def _row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "tokens": step * 1024, "loss": 5.0 - step / 100, "lr": 1e-3, "grad_norm": 0.5} | more


def _write(meter: Meter, first: int, last: int) -> None:
    for step in range(first, last + 1):
        meter.write(_row(step), 1024)


def _steps(path: Path) -> list[int]:
    return [row["step"] for row in read_metrics(path)]


def test_lines_that_a_kill_undid_are_moved_away(tmp_path: Path) -> None:
    first = Meter(tmp_path, 0)
    _write(first, 1, 7)
    first.write_held_out(
        {"step": 4, "tokens": 4096, "overall": 4.5, "bits_per_character": {"青空": 4.5}, "chars": {"青空": 9}}
    )
    first.write_held_out(
        {"step": 6, "tokens": 6144, "overall": 4.0, "bits_per_character": {"青空": 4.0}, "chars": {"青空": 9}}
    )
    with (tmp_path / meters.METRICS).open("a", encoding="utf-8") as file:
        file.write('{"grad_norm": 0.5, "seconds": {"data": 0.1}')  # the kill: cut right behind a brace
    assert _steps(tmp_path / meters.METRICS) == list(range(1, 8))
    second = Meter(tmp_path, 5)
    _write(second, 6, 6)
    assert _steps(tmp_path / meters.METRICS) == [1, 2, 3, 4, 5, 6]
    assert _steps(tmp_path / meters.UNDONE) == [6, 7]
    assert [row["step"] for row in read_metrics(tmp_path / meters.HELD_OUT)] == [4]
    third = Meter(tmp_path, 0)  # no checkpoint was left
    assert _steps(tmp_path / meters.METRICS) == []
    assert _steps(tmp_path / meters.UNDONE) == [6, 7, 1, 2, 3, 4, 5, 6]
    _write(third, 1, 2)
    third.undo(1)  # a rewind within a process
    _write(third, 2, 3)
    assert _steps(tmp_path / meters.METRICS) == [1, 2, 3]


@given(steps=st.integers(0, 12), resume=st.integers(0, 14), cut=st.integers(0, 40))
def test_whatever_a_kill_leaves_the_log_goes_on(
    tmp_path_factory: pytest.TempPathFactory, steps: int, resume: int, cut: int
) -> None:
    logs = tmp_path_factory.mktemp("logs")
    _write(Meter(logs, 0), 1, steps)
    path = logs / meters.METRICS
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    whole = content[: len(content) - cut].count(b"\n")
    _write(Meter(logs, resume), resume + 1, resume + 2)
    assert _steps(path) == [*range(1, min(whole, resume) + 1), resume + 1, resume + 2]
    assert path.read_bytes()[-1:] == b"\n"


def test_a_line_that_a_disk_destroyed_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / meters.METRICS
    path.write_bytes(b'{"step": 1, "tokens": 10, "loss": 2.0}\n\x00\x00\x00\n{"step": 3, "tokens": 30, "loss": 1.0}\n')
    with caplog.at_level("WARNING", logger="jpfm"):
        assert _steps(path) == [1, 3]
    assert "metrics.jsonl: a line is no JSON" in caplog.text


def test_the_seconds_of_a_line_add_up_to_its_time(tmp_path: Path, clock: Clock) -> None:
    meter = Meter(tmp_path, 0)

    def loader() -> Iterator[int]:
        clock.wait(0.5)
        yield 1

    for _ in meter.waiting("data", loader()):
        for _ in range(2):  # micro-batches
            with meter.span("forward_backward"):
                clock.wait(1.5)
        with meter.span("optimizer"):
            clock.wait(0.25)
        with meter.span("reduce"):
            clock.wait(0.125)
        clock.wait(0.625)
    line = meter.write(_row(1), 900)
    assert line["seconds"] == {
        "data": 0.5, "forward_backward": 3.0, "optimizer": 0.25, "reduce": 0.125, "save": 0.0, "held_out": 0.0,
        "other": 0.625,
    }  # fmt: skip
    assert line["tokens_per_second"] == 200.0
    with meter.span("save"):
        clock.wait(2.0)
    with meter.span("forward_backward"):
        clock.wait(1.0)
    later = meter.write(_row(2), 900)
    assert later["seconds"] == dict.fromkeys(line["seconds"], 0.0) | {"save": 2.0, "forward_backward": 1.0}
    assert later["tokens_per_second"] == 900.0  # what is done at intervals is not the speed of training


def test_spans_do_not_overlap_and_close_on_errors() -> None:
    meter = Meter(None, 0)
    with (
        pytest.raises(RuntimeError, match="span reduce inside span optimizer"),
        meter.span("optimizer"),
        meter.span("reduce"),
    ):
        pass
    with pytest.raises(ZeroDivisionError), meter.span("save"):
        raise ZeroDivisionError
    with meter.span("reduce"):
        pass
    assert list(meter.waiting("data", iter([1, 2]))) == [1, 2]


class _Device:
    """A GPU's clock in milliseconds, and how far it has worked through its queue."""

    queued = 0.0
    done = 0.0
    made = 0

    @classmethod
    def event(cls, enable_timing: bool) -> "_Event":
        assert enable_timing
        cls.made += 1
        return _Event()


class _Event:
    def record(self) -> None:
        self.at = _Device.queued

    def query(self) -> bool:
        return self.at <= _Device.done

    def elapsed_time(self, end: "_Event") -> float:
        assert self.query()
        assert end.query(), "asking for the time of an event that is to come raises in torch"
        return end.at - self.at


def test_on_a_gpu_spans_are_read_when_the_gpu_has_reached_them(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(torch.cuda, "Event", _Device.event)
    monkeypatch.setattr(EnergyCounter, "open", lambda *_, **__: EnergyCounter(None))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    meter = Meter(None, 0, device=torch.device("cuda", 0))

    def step() -> None:
        for name, milliseconds in (("forward_backward", 300.0), ("optimizer", 50.0)):
            with meter.span(name):  # type: ignore[arg-type]
                _Device.queued += milliseconds
        with meter.span("save"):
            clock.wait(0.01)

    step()
    _Device.done = _Device.queued  # the step's one wait
    line = meter.write(_row(1), 10)
    assert line["seconds"]["forward_backward"] == pytest.approx(0.3)
    assert line["seconds"]["optimizer"] == pytest.approx(0.05)
    assert line["seconds"]["save"] == pytest.approx(0.01)
    assert line["memory_bytes"] == 123
    step()
    _Device.done += 300  # the optimizer still runs
    assert meter.write(_row(2), 10)["seconds"]["optimizer"] == 0
    step()
    _Device.done = _Device.queued
    assert meter.write(_row(3), 10)["seconds"]["optimizer"] == pytest.approx(0.1)
    assert _Device.made <= 8  # events are used again


def test_the_mean_leaves_the_first_steps_out(clock: Clock) -> None:
    meter = Meter(None, 0, flops_per_token=6.0, peak=Peak(6000.0, "a card"))
    clock.wait(29.0)  # a compiler
    speeds = []
    for step in range(1, meters.WARM_UP_STEPS + 5):
        clock.wait(1.0 if step <= meters.WARM_UP_STEPS + 2 else 0.5)
        assert (meter.tokens_per_second is None) == (step <= meters.WARM_UP_STEPS + 1)
        speeds.append(meter.write(_row(step), 300)["tokens_per_second"])
    assert speeds[0] == 10.0  # the first line is honest
    assert meter.tokens_per_second == pytest.approx(4 * 300 / 3.0)
    assert meter.mfu == pytest.approx(0.4)


def test_mfu_is_the_share_of_all_devices(tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with caplog.at_level("INFO", logger="jpfm"):
        meter = Meter(tmp_path, 0, world=4, flops_per_token=6e9, peak=Peak(1e15, "data sheet of a card"))
    assert caplog.messages == [
        "MFU: 6 (N_active - N_embeddings) + 12 L d s = 6e+09 FLOP a token, over 4 x 1e+15 FLOP/s (data sheet of a card)"
    ]
    clock.wait(0.05)
    line = meter.write(_row(1), 10_000)
    assert line["mfu"] == 0.3
    assert Meter(None, 0).write(_row(1), 10)["mfu"] is None
    assert line["energy_joules"] is None  # four processes, and nobody added them up


def test_hours_and_energy_go_on_over_resumes(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnergyCounter, "open", lambda *_, **__: EnergyCounter([]))

    def process(start: int, world: int, steps: int, joules: float | None) -> dict[str, Any]:
        meter = Meter(tmp_path, start, world=world)
        meter._cuda = True  # counts GPU hours; no span is measured here
        for step in range(start + 1, start + steps + 1):
            clock.wait(360)
            line = meter.write(_row(step), 10, joules=joules)
        return line

    assert process(0, 4, 10, 5000.0)["gpu_hours"] == pytest.approx(4.0)
    resumed = process(3, 2, 5, 700.0)  # seven steps were lost; their hours were not
    assert resumed["hours"] == pytest.approx(1.5)
    assert resumed["gpu_hours"] == pytest.approx(5.0)
    assert resumed["energy_joules"] == pytest.approx(5700.0)
    again = process(3, 2, 1, float("nan"))
    assert again["gpu_hours"] == pytest.approx(5.2)
    assert again["energy_joules"] is None
    assert process(4, 2, 1, 10.0)["energy_joules"] is None  # once unknown, the sum stays so


def test_lines_are_json_that_older_readers_read(tmp_path: Path) -> None:
    path = tmp_path / meters.METRICS
    path.write_text('{"grad_norm": 1.0, "loss": 6.0, "lr": 0.1, "step": 1, "tokens": 1024, "tokens_per_second": 9.0}\n')
    meter = Meter(tmp_path, 1)
    meter.write(_row(2, update_rms={"matrices": 0.7, "embeddings": float("inf")}), 1024)
    meter.write(_row(3, loss=float("nan"), grad_norm=float("inf"), skipped="loss is not finite"), 1024)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["loss"] for row in rows] == [6.0, 4.98, None]
    assert rows[1]["update_rms"] == {"matrices": 0.7, "embeddings": None}
    curve = read_curve(path)
    assert curve.tokens.tolist() == [1024, 2048]
    assert curve.num_left_out == 1
    page, unread = read_for_the_page(path)
    assert unread == 0
    assert page["loss"].to_list() == [6.0, 4.98, None]
    assert page["skipped"].to_list() == [None, None, "loss is not finite"]
    assert page["seconds_other"].null_count() == 1
    assert rows[1]["memory_bytes"] > 1e6


def test_a_process_without_a_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    meter = Meter(None, 3)
    assert meter.write(_row(4), 10)["step"] == 4
    meter.write_held_out({"step": 4})
    meter.undo(2)
    assert list(tmp_path.iterdir()) == []
