"""A run that is stopped goes on with another number of processes and another mesh, as if nothing had been."""

import re
import signal
from pathlib import Path

import pytest
from tests.dist.processes import Processes, losses, norms, write_config
from tests.dist.test_arms import DDP, FSDP, HSDP, TENSOR

from jpfm.core.artifact import Artifact, open_artifact

pytestmark = pytest.mark.slow
CHAIN: list[tuple[int, tuple[str, ...], int, signal.Signals, int]] = [
    (4, FSDP, 2, signal.SIGUSR1, 5),
    (2, FSDP, 0, signal.SIGTERM, 13),
    (3, DDP, 2, signal.SIGUSR1, 21),
    (4, HSDP, 1, signal.SIGINT, 29),
]
"""Processes, mesh, the one that gets the signal, the signal, and after which step."""
LAST: tuple[int, tuple[str, ...]] = (4, TENSOR)


@pytest.mark.parametrize("optimizer", [{"kind": "adamw"}, {"kind": "muon"}], ids=lambda value: value["kind"])
def test_a_signal_to_one_process_stops_all_and_another_mesh_goes_on(
    tokens: Artifact, processes: Processes, tmp_path: Path, optimizer: dict[str, object]
) -> None:
    config = write_config(
        tokens, tmp_path / "train.yaml", batch_tokens=12 * 128, steps=44, optimizer=optimizer,
        save={"every_steps": None}, schedule={"warmup_steps": 3, "decay_steps": 10},
    )  # fmt: skip
    straight = processes.trained(config, tmp_path / "straight", 1)
    out = tmp_path / "model"
    stopped_at = [0]
    for size, mesh, rank, number, after in CHAIN:
        run = processes.train(config, out, size, *mesh)
        run.wait_for_step(out, after)
        run.send(rank, number)
        assert run.wait() == [75] * size, run.errors()
        (step,) = {
            int(re.findall(r"at step (\d+) of 44; the state is saved", run.text(rank))[0]) for rank in range(size)
        }
        assert step >= max(after, stopped_at[-1] + 1)
        assert f"resuming after step {stopped_at[-1]}" in run.text(0) or not stopped_at[-1]
        stopped_at.append(step)
        assert len(losses(out)) == step
    processes.trained(config, out, LAST[0], *LAST[1])
    assert losses(out) == pytest.approx(losses(straight), rel=1e-5)
    assert norms(out) == pytest.approx(norms(straight), rel=1e-4)
    found, expected = (open_artifact(folder).manifest.stats for folder in (out, straight))
    assert found["epochs_by_source"] == expected["epochs_by_source"]
    assert found["tokens"] == expected["tokens"] == 44 * 12 * 128
