"""A process that hangs ends the run with a line that names it and the step."""

import re
import signal
from pathlib import Path

import pytest
from tests.dist.processes import Processes, metrics, until, write_config
from tests.dist.test_arms import DDP, FSDP

from jpfm.core.artifact import Artifact

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("mesh", "stopped"), [(DDP, 1), (FSDP, 2), (DDP, 0)], ids=["ddp-1", "fsdp-2", "ddp-0"])
def test_a_stopped_process_is_named(
    tokens: Artifact, processes: Processes, tmp_path: Path, mesh: tuple[str, ...], stopped: int
) -> None:
    """Also where it is the first one, which keeps the store that the others read."""
    config = write_config(
        tokens, tmp_path / "train.yaml", batch_tokens=12 * 128, steps=5000, guard={"collective_timeout_seconds": 4}
    )
    run = processes.train(config, tmp_path / "model", 3, *mesh)
    run.wait_for_step(tmp_path / "model", 4)
    run.send(stopped, signal.SIGSTOP)
    others = [rank for rank in range(3) if rank != stopped]
    try:
        until(lambda: all(run.codes()[rank] is not None for rank in others), run.errors, 30)
    finally:
        last = len(metrics(tmp_path / "model"))
        run.end()
    first_word = [f"no sign of life from process {stopped}" in run.text(rank) for rank in others]
    assert any(first_word), run.errors()
    for rank in others:
        assert run.codes()[rank] == 6, run.errors()
    (text,) = re.findall(r"step (\d+): nothing moved for 4 s", run.text(others[first_word.index(True)]))
    assert int(text) in (last, last + 1, last + 2)
