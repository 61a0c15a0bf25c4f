"""Trackers: TensorBoard for real, offline defaults, and a refusal where accelerate would be silent."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from jpfm.core.errors import UsageError
from jpfm.train import trackers
from jpfm.train.settings import Report

ROW = {
    "step": 7, "tokens": 7168, "loss": 3.25, "lr": 1e-3, "grad_norm": None, "mfu": 0.41,
    "seconds": {"data": 0.01, "save": 0.0}, "update_rms": {"matrices": 0.9},
}  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_", "GRADIO_")):
            monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    GradientState._reset_state()


def test_tensorboard_holds_what_was_logged(tmp_path: Path) -> None:
    names = trackers.prepare(Report(), tmp_path)
    accelerator = Accelerator(cpu=True, log_with=names, project_dir=str(tmp_path))
    trackers.start(accelerator, "小さなモデル")
    accelerator.log(trackers.scalars(ROW), step=7)
    accelerator.log(trackers.held_out_scalars({"step": 7, "overall": 4.0, "bits_per_character": {"青空": 4.0}}), step=7)
    trackers.finish(accelerator)
    events = EventAccumulator(str(tmp_path / trackers.PROJECT)).Reload()
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    expected = {
        "train/tokens": 7168.0, "train/loss": 3.25, "train/lr": 1e-3, "train/mfu": 0.41, "seconds/data": 0.01,
        "seconds/save": 0.0, "update_rms/matrices": 0.9, "held_out/青空": 4.0, "held_out/overall": 4.0,
    }  # fmt: skip
    assert found == {name: [(7, pytest.approx(value))] for name, value in expected.items()}


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("mlflow", "mlflow-skinny"), ("trackio", "trackio")])
def test_a_missing_package_is_refused(name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda wanted: None)
    with pytest.raises(UsageError, match=rf"report\.trackers: {name} is not installed") as caught:
        trackers.prepare(Report.model_validate({"trackers": [name]}), tmp_path)
    assert f"pip install {package}" in caught.value.hint


def test_offline_unless_the_environment_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb", "mlflow", "trackio"):  # packages that are there, with nothing in them
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.jp")
    report = Report(trackers=("wandb", "mlflow", "trackio"))
    assert trackers.prepare(report, tmp_path / "logs") == ["wandb", "mlflow", "trackio"]
    assert os.environ["WANDB_MODE"] == "offline"
    assert os.environ["MLFLOW_TRACKING_URI"] == "https://mlflow.example.jp"
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    assert os.environ["TRACKIO_DIR"] == str(tmp_path / "logs" / "trackio")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("WANDB_MODE", "online")
    trackers.prepare(report, tmp_path / "logs")
    assert os.environ["WANDB_MODE"] == "online"
    assert os.environ["MLFLOW_TRACKING_URI"] == (tmp_path / "logs" / "mlflow").as_uri()
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"


def test_what_trackers_print_is_no_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Chatty:
        trackers = ()

        def init_trackers(self, project: str, init_kwargs: object) -> None:
            print("* Trackio project initialized:", project)

        def end_training(self) -> None:
            print("* Run finished.")

    trackers.start(Chatty(), "model")
    trackers.finish(Chatty())
    out, err = capfd.readouterr()
    assert out == ""
    assert "Trackio project initialized: jpfm" in err
