"""`srun jpfm train` on two nodes of a real cluster: no torchrun, one run; scancel's signal saves it."""

import json
import os
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training
from tests.slurm.conftest import Slurm, _free_ports, _until

from jpfm.core.artifact import Artifact, open_artifact

pytestmark = pytest.mark.slow
JOB = """#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=1
export MASTER_ADDR=127.0.0.1 {port}
srun --kill-on-bad-exit=0 bash -c 'trap : USR1; "$JPFM" train {config} --out {out}; echo "task $SLURM_PROCID exit $?"'
"""


def rows(out: Path) -> list[float]:
    for folder in (out, out.with_name(out.name + ".partial")):
        if (file := folder / "logs" / "metrics.jsonl").exists():
            return [json.loads(line)["loss"] for line in file.read_text(encoding="utf-8").splitlines()]
    return []


def submit(slurm: Slurm, folder: Path, config: Path, out: Path, *, own_port: bool) -> str:
    port = f"MASTER_PORT={_free_ports(1)[0]}" if own_port else ""
    script = folder / "job.sbatch"
    script.write_text(JOB.format(config=config, out=out, port=port), encoding="utf-8")
    return slurm.run(
        "sbatch", "--parsable", f"--output={folder}/%j.log", "--export=ALL", script, cwd=folder, OMP_NUM_THREADS="1"
    )


def test_two_nodes_without_a_launcher(slurm: Slurm, tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    """Rank, world and port come from Slurm; SIGUSR1 saves on both nodes; the next job goes on."""
    settings = tiny_training(
        tokens, steps=200, schedule={"warmup_steps": 3, "decay_steps": 4}, save={"every_steps": 1000},
        parallel={"replicate": 1, "shard": None},
    )  # fmt: skip
    config, out = tmp_path / "train.yaml", tmp_path / "model"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    first = submit(slurm, tmp_path, config, out, own_port=True)
    log = tmp_path / f"{first}.log"
    _until(lambda: len(rows(out)) > 8, "no steps", 120)
    slurm.run("scancel", "--signal=USR1", first)  # to the tasks of the steps
    slurm.wait(first)
    text = log.read_text(encoding="utf-8")
    assert "FSDP2 over 2 processes" in text
    assert {"task 0 exit 75", "task 1 exit 75"} <= set(text.splitlines()), text
    assert rows(out)[:8] == pytest.approx(rows(checkpoint.path)[:8], rel=1e-5)
    done = len(rows(out))
    second = submit(slurm, tmp_path, config, out, own_port=False)
    assert slurm.wait(second) == ["COMPLETED"], (tmp_path / f"{second}.log").read_text()
    assert f"resuming after step {done}" in (tmp_path / f"{second}.log").read_text(encoding="utf-8")
    assert len(rows(out)) == 200
    assert open_artifact(out).manifest.stats["tokens"] == 200 * 1024
    assert "SLURM_JOB_ID" not in os.environ
