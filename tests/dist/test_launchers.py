"""The same line under each launcher is one run: torchrun, and accelerate launch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.dist.conftest import Launch
from tests.dist.processes import free_port, losses, write_config

from jpfm.core.artifact import Artifact

pytestmark = pytest.mark.slow


def test_torchrun(tokens: Artifact, checkpoint: Artifact, launch: Launch, tmp_path: Path) -> None:
    out = tmp_path / "two"
    done = launch(
        write_config(tokens, tmp_path / "train.yaml"), out, 2, "parallel.replicate=null", "micro_batch_rows=1"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == str(out)
    assert losses(out) == pytest.approx(losses(checkpoint.path), rel=1e-5)
    again = launch(tmp_path / "train.yaml", out, 2)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr


def test_accelerate_launch(tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    config, out = write_config(tokens, tmp_path / "train.yaml"), tmp_path / "two"
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes=2",
         "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={free_port()}", "-m",
         "jpfm", "train", str(config), "parallel.replicate=1", "parallel.shard=null", "--out", str(out)],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "FSDP2 over 2 processes" in done.stderr
    assert losses(out) == pytest.approx(losses(checkpoint.path), rel=1e-5)
