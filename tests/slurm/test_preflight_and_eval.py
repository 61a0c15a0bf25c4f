"""The preflight of two nodes as a job, and evaluation as an array that follows a run."""

import json
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training
from tests.slurm.conftest import SITE, Slurm, log_of, submit

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.model.checkpoints import checkpoints_of

pytestmark = pytest.mark.slow
FEW_FILES = '[ "${SLURMD_NODENAME:-}" != n2 ] || ulimit -n 600'


def preflight(slurm: Slurm, folder: Path, *options: str) -> tuple[str, Path]:
    out = folder / "preflight"
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    job = slurm.run(
        slurm.environ()["JPFM"], "doctor", "--cluster", "--site", folder / "site.yaml", "--nodes", "2", "--out", out,
        *options, cwd=folder,
    )  # fmt: skip
    return job, out


def test_two_good_nodes(slurm: Slurm, tmp_path: Path) -> None:
    job, out = preflight(slurm, tmp_path)
    assert slurm.wait(job) == ["COMPLETED"], log_of(out)
    assert (out / "bad_nodes").read_text() == ""
    found = json.loads((out / "cluster.json").read_text(encoding="utf-8"))
    assert found["facts"]["nodes"] == ["n1", "n2"]
    assert "no problems" in log_of(out)


def test_a_bad_node_is_named_and_left_out(slurm: Slurm, tmp_path: Path) -> None:
    """The second node allows few open files."""
    job, out = preflight(slurm, tmp_path, "--set", f"setup={json.dumps([FEW_FILES])}")
    assert slurm.wait(job) == ["FAILED"], log_of(out)
    assert slurm.field(job, "Restarts") == ["0"]
    assert (out / "bad_nodes").read_text() == "n2\n", log_of(out)
    assert "bad nodes: n2" in log_of(out)
    again = slurm.run(
        slurm.environ()["JPFM"], "doctor", "--cluster", "--site", tmp_path / "site.yaml", "--out", tmp_path / "other",
        "--exclude", out / "bad_nodes", "--print", cwd=tmp_path,
    )  # fmt: skip
    assert "#SBATCH --exclude=n2\n" in again


def test_two_tasks_follow_a_run(slurm: Slurm, tokens: Artifact, tmp_path: Path) -> None:
    """Handed in before the run is: they wait for it, share its checkpoints, and end with it."""
    run, scores = tmp_path / "model", tmp_path / "scores"
    settings = tiny_training(tokens, steps=40, save={"every_steps": 10, "keep_last": 5})
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    (tmp_path / "eval.yaml").write_text("stage: eval\ntasks:\n  - {task: bits_per_character}\n", encoding="utf-8")
    (array,) = submit(slurm, tmp_path / "eval.yaml", scores, "--follow", run, "--tasks", "2", "--cpus", "1")
    (job,) = submit(slurm, tmp_path / "train.yaml", run, "--nodes", "1", "--cpus", "1", "--time", "0:20")
    assert slurm.wait(job) == ["COMPLETED"], log_of(run)
    assert slurm.wait(array) == ["COMPLETED"] * 2, log_of(scores)
    assert sorted(path.name for path in scores.iterdir() if path.is_dir()) == [
        f"step-{step:08d}" for step in (10, 20, 30, 40)
    ]
    for step, checkpoint in checkpoints_of(run).items():
        made = open_artifact(scores / f"step-{step:08d}", "scores")
        assert made.manifest.parents[0] == open_artifact(checkpoint).id
