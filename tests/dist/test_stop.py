"""A signal saves; where a step does not end, the process goes after the grace period, and the checkpoint stays."""

import signal
import time
from pathlib import Path

import pytest
from tests.dist.processes import Processes, losses, until, write_config

from jpfm.core.artifact import Artifact, open_artifact, verify

pytestmark = pytest.mark.slow


def test_a_step_longer_than_the_grace_period_is_left(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    config = write_config(
        tokens, tmp_path / "train.yaml", batch_tokens=500 * 128, micro_batch_rows=2, steps=3, save={"every_steps": 1},
        guard={"grace_seconds": 0.3}, schedule={"warmup_steps": 1},
    )  # fmt: skip
    out = tmp_path / "model"
    steps = tmp_path / "model.partial" / "steps"
    run = processes.train(config, out, 1)
    until(lambda: (steps / "step-00000001" / "manifest.json").exists(), run.errors)
    run.send(0, signal.SIGTERM)
    began = time.monotonic()
    assert run.wait() == [75]
    assert time.monotonic() - began < 3
    assert "SIGTERM came 0.3 s ago" in run.text(0)
    assert "the last finished checkpoint is intact" in run.text(0)
    assert "Traceback" not in run.text(0)
    assert [path.name for path in steps.iterdir()] == ["step-00000001"]
    assert verify(steps / "step-00000001") == []
    processes.trained(config, out, 1)
    assert len(losses(out)) == 3


def test_a_process_that_waits_for_a_stopped_one_leaves_too(
    tokens: Artifact, processes: Processes, tmp_path: Path
) -> None:
    config = write_config(tokens, tmp_path / "train.yaml", steps=2000, guard={"grace_seconds": 1.0})
    run = processes.train(config, tmp_path / "model", 2, "parallel.replicate=null")
    run.wait_for_step(tmp_path / "model", 5)
    run.send(1, signal.SIGSTOP)
    run.send(0, signal.SIGUSR1)
    until(lambda: run.codes()[0] is not None, run.errors, 20)
    assert run.codes()[0] == 75
    run.end()
    assert "SIGUSR1 came 1 s ago and the state is not saved yet" in run.text(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on_bit_exactly(
    tokens: Artifact, processes: Processes, tmp_path: Path, number: signal.Signals
) -> None:
    config = write_config(
        tokens, tmp_path / "train.yaml", steps=60, save={"every_steps": 1000},
        schedule={"warmup_steps": 3, "decay_steps": 10},
    )  # fmt: skip
    straight = processes.trained(config, tmp_path / "straight", 1)
    out = tmp_path / "stopped"
    run = processes.train(config, out, 1)
    run.wait_for_step(out, 6)
    run.send(0, number)
    run.send(0, number)  # a launcher may send it again
    assert run.wait() == [75], run.errors()
    assert "the state is saved" in run.text(0)
    assert "Traceback" not in run.text(0)
    processes.trained(config, out, 1)
    assert losses(out) == losses(straight)
    assert open_artifact(out).id == open_artifact(straight).id
