"""TensorBoard, W&B, MLflow and trackio through accelerate, offline unless the user's environment says otherwise.

    accelerator = Accelerator(log_with=trackers.prepare(config.report, logs), project_dir=str(logs), ...)
    trackers.start(accelerator, config.name)                          # after the run's folder is made
    accelerator.log(trackers.scalars(row), step=row["step"])          # a line of logs/metrics.jsonl
    accelerator.log(trackers.held_out_scalars(row), step=row["step"])  # a line of logs/held_out.jsonl
    trackers.finish(accelerator)

The logs of a run are its own files, `logs/*.jsonl`; trackers are a copy for who works with them. accelerate leaves out
a tracker whose package is missing without a word: here that is an error before the start. Tried with accelerate 1.15
and no network: trackio 0.43, wandb 0.31, mlflow-skinny 3.17.
Refused for MLflow: its SQLite store, for which mlflow-skinny lacks SQLAlchemy and many cluster file systems lack locks.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from jpfm.core.errors import UsageError
from jpfm.train.settings import Report

PROJECT = "jpfm"
_INSTALL = {"mlflow": "mlflow-skinny"}


def prepare(report: Report, logs: Path) -> list[str]:
    """What to give to `Accelerator(log_with=...)`; environment variables that are not set get offline values.

    Args:
        logs: the run's `logs/`, where trackers write.
    Raises:
        UsageError: the package of a tracker is not installed.
    """
    for name in report.trackers:
        if importlib.util.find_spec(name) is None:
            raise UsageError(
                f"report.trackers: {name} is not installed",
                hint=f"pip install {_INSTALL.get(name, name)}, or take {name} out of report.trackers",
            )
        for variable, value in _offline(name, logs.absolute()).items():
            os.environ.setdefault(variable, value)
    return list(report.trackers)


def _offline(tracker: str, logs: Path) -> dict[str, str]:
    if tracker == "wandb":
        return {"WANDB_MODE": "offline", "WANDB_DIR": str(logs)}
    if tracker == "mlflow":
        here = {"MLFLOW_TRACKING_URI": (logs / "mlflow").as_uri(), "MLFLOW_DISABLE_TELEMETRY": "true"}
        # MLflow 3.17 refuses files without this; a user's own address of a server needs none
        return here if "MLFLOW_TRACKING_URI" in os.environ else here | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    if tracker == "trackio":
        return {"TRACKIO_DIR": str(logs / "trackio"), "GRADIO_ANALYTICS_ENABLED": "False"}
    return {}


def start(accelerator: Any, name: str) -> None:
    """Open the trackers: project `jpfm`, run `name`. What they print goes to stderr: stdout carries results only."""
    arguments = {
        "wandb": {"name": name},
        "mlflow": {"run_name": name},
        "trackio": {"name": name, "resume": "allow", "embed": False},
    }
    with redirect_stdout(sys.stderr):
        accelerator.init_trackers(PROJECT, init_kwargs=arguments)


def finish(accelerator: Any) -> None:
    """Close the trackers."""
    with redirect_stdout(sys.stderr):
        trackio = any(tracker.name == "trackio" for tracker in accelerator.trackers) and accelerator.is_main_process
        accelerator.end_training()
        if trackio:  # accelerate ends the run behind trackio's back, which ends it again at exit, with words on stdout
            importlib.import_module("trackio").finish()


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A line of logs/metrics.jsonl as numbers with names: train/loss, seconds/data, update_rms/matrices.

    >>> scalars({"step": 3, "tokens": 48, "loss": 2.5, "seconds": {"data": 0.1}, "skipped": "a spike", "mfu": None})
    {'train/tokens': 48.0, 'train/loss': 2.5, 'seconds/data': 0.1, 'train/skipped': 1.0}
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{part}": float(number) for part, number in value.items() if number is not None}
        elif name == "skipped":
            found["train/skipped"] = float(value is not None)
        elif isinstance(value, int | float) and name != "step":
            found[f"train/{name}"] = float(value)
    return found


def held_out_scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A line of logs/held_out.jsonl as numbers with names: held_out/aozora, held_out/overall.

    >>> held_out_scalars({"step": 3, "overall": 4.5, "bits_per_character": {"law": 4.5}, "chars": {"law": 90}})
    {'held_out/law': 4.5, 'held_out/overall': 4.5}
    """
    found = {f"held_out/{source}": float(value) for source, value in row["bits_per_character"].items()}
    return found | {"held_out/overall": float(row["overall"])}
