"""`jpfm submit` on a real cluster of two nodes: signals, lost nodes, chains, crash loops; the losses stay the same."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training
from tests.slurm.conftest import SITE, Slurm, _until, go_on_at_once, log_of, submit

from jpfm.core import config as configs
from jpfm.core.artifact import Artifact, canonical_json, open_artifact
from jpfm.launch.attempt import Ledger
from jpfm.launch.status import Line, status
from jpfm.train.config import TrainConfig

pytestmark = pytest.mark.slow
STEPS = 150


def write_config(tokens: Artifact, folder: Path) -> Path:
    """A run of some ten seconds, and the site."""
    settings = tiny_training(
        tokens, steps=STEPS, schedule={"warmup_steps": 3, "decay_steps": 4}, save={"every_steps": 1000},
        parallel={"replicate": 1, "shard": None},
    )  # fmt: skip
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    return file


@pytest.fixture
def config(tokens: Artifact, tmp_path: Path) -> Path:
    return write_config(tokens, tmp_path)


@pytest.fixture(scope="session")
def undisturbed(slurm: Slurm, tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses of a job that nobody disturbs, on the same two nodes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    out = folder / "model"
    job = two_nodes(slurm, write_config(tokens, folder), out)
    assert slurm.wait(job) == ["COMPLETED"], log_of(out)
    assert "FSDP2 over 2 processes" in log_of(out)
    assert outcomes(out) == ["finished"]
    assert len(rows(out)) == STEPS
    return rows(out)


def rows(out: Path) -> list[float]:
    for folder in (out, out.with_name(out.name + ".partial")):
        if (file := folder / "logs" / "metrics.jsonl").exists():
            return [json.loads(line)["loss"] for line in file.read_text(encoding="utf-8").splitlines()]
    return []


def until_steps(out: Path, number: int) -> None:
    _until(lambda: len(rows(out)) > number, "no steps", 120)


def until_starts(out: Path, number: int) -> None:
    _until(lambda: len(outcomes(out)) >= number, "no start", 120)


def two_nodes(slurm: Slurm, config: Path, out: Path, *options: str) -> str:
    (job,) = submit(slurm, config, out, "--nodes", "2", "--time", "0:20", "--stop-before", "60", *options)
    return job


def line(slurm: Slurm, out: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("SLURM_CONF", slurm.environ()["SLURM_CONF"])
    return status(out)


def outcomes(out: Path) -> list[str | None]:
    return [attempt.outcome for attempt in Ledger(out.with_name(out.name + ".jobs")).attempts()]


def test_a_signal_saves_requeues_and_resumes(
    slurm: Slurm, config: Path, undisturbed: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    job = two_nodes(slurm, config, out)
    until_steps(out, 8)
    assert line(slurm, out, monkeypatch).state == "running"
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    go_on_at_once(slurm, job)
    assert slurm.wait(job) == ["COMPLETED"], log_of(out)
    assert "resuming after step" in log_of(out)
    assert outcomes(out) == ["stopped", "finished"]
    assert rows(out) == undisturbed
    done = line(slurm, out, monkeypatch)
    assert (done.state, done.step, done.steps, done.error) == ("finished", STEPS, STEPS, "")
    assert open_artifact(out).manifest.stats["tokens"] == STEPS * 1024


def test_a_lost_node(slurm: Slurm, config: Path, undisturbed: list[float], tmp_path: Path) -> None:
    """Slurm requeues what ran on it; the run goes on from its last checkpoint."""
    out = tmp_path / "model"
    (job,) = submit(slurm, config, out, "--nodes", "2", "--time", "0:20", "--stop-before", "60", "save.every_steps=20")
    until_steps(out, 25)
    slurm.run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    _until(lambda: slurm.field(job, "Restarts") == ["1"], "no requeue", 60)
    slurm.run("scontrol", "update", "nodename=n2", "state=idle")
    go_on_at_once(slurm, job)
    assert slurm.wait(job) == ["COMPLETED"], log_of(out)
    assert outcomes(out)[0] in ("lost", "stopped")  # as the node's last seconds went
    assert outcomes(out)[1:] == ["finished"]
    assert "resuming after step" in log_of(out)
    assert rows(out) == undisturbed


def test_a_job_that_is_cancelled_has_saved(
    slurm: Slurm, config: Path, undisturbed: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    job = two_nodes(slurm, config, out)
    until_steps(out, 8)
    slurm.run("scancel", job)
    assert slurm.wait(job) == ["CANCELLED"]
    done = len(rows(out))
    assert (out.with_name("model.partial") / f"steps/step-{done:08d}/manifest.json").exists(), log_of(out)
    assert line(slurm, out, monkeypatch).state == "cancelled"
    again = two_nodes(slurm, config, out)
    assert slurm.wait(again) == ["COMPLETED"], log_of(out)
    assert f"resuming after step {done}" in log_of(out)
    assert rows(out) == undisturbed


def test_stopped_for_good(slurm: Slurm, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model"
    job = two_nodes(slurm, config, out, "steps=100000")
    until_steps(out, 8)
    refused = subprocess.run(
        [slurm.environ()["JPFM"], "submit", config, "steps=100000", "--out", out, "--site", tmp_path / "site.yaml"],
        cwd=tmp_path, env=slurm.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 4
    assert f"job {job} is still there" in refused.stderr
    assert slurm.run(slurm.environ()["JPFM"], "submit", "stop", out) == f"{job} is told to save and end"
    slurm.wait(job)
    assert slurm.field(job, "Restarts") == ["0"]
    found = line(slurm, out, monkeypatch)
    assert (found.state, found.step) == ("stopped", len(rows(out)))
    assert (out.with_name("model.partial") / f"steps/step-{len(rows(out)):08d}/manifest.json").exists()


def test_a_chain_of_short_jobs(slurm: Slurm, config: Path, undisturbed: list[float], tmp_path: Path) -> None:
    """Each stops at a signal, the next one goes on; none begins again by itself."""
    out = tmp_path / "model"
    jobs = submit(
        slurm, config, out, "--nodes", "2", "--time", "0:20", "--stop-before", "60", "--chain", "3", "steps=150"
    )
    assert len(jobs) == 3
    for number, job in enumerate(jobs):
        if number < 2:
            until_starts(out, number + 1)
            until_steps(out, 8 + 40 * number)
            slurm.run("scancel", "--batch", "--signal=USR1", job)
        slurm.wait(job)
        assert slurm.field(job, "Restarts") == ["0"]
    assert outcomes(out) == ["stopped", "stopped", "finished"], log_of(out)
    assert rows(out) == undisturbed


def test_the_time_limit(slurm: Slurm, config: Path, tmp_path: Path) -> None:
    """Nobody sends the signal but Slurm."""
    out = tmp_path / "model"
    (job,) = submit(slurm, config, out, "--nodes", "2", "--time", "0:02", "--stop-before", "45", "steps=100000")
    began = time.monotonic()
    _until(lambda: outcomes(out)[:1] == ["stopped"], "no signal", 120)
    assert time.monotonic() - began < 120
    slurm.run("scancel", job)
    assert "SIGUSR1: 1 processes are told to save and stop" in log_of(out)


def test_a_mistake_is_told_and_not_tried_again(
    slurm: Slurm, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the job itself finds out stands in the table."""
    out = tmp_path / "model"
    identity = configs.load(config, TrainConfig).config.identity()
    out.with_name("model.partial").mkdir()
    began = {"kind": "checkpoint", "version": 1, "config": identity, "parents": []}  # by a jpfm of long ago
    (out.with_name("model.partial") / "plan.json").write_text(canonical_json(began))
    job = two_nodes(slurm, config, out)
    assert slurm.wait(job) == ["FAILED"]
    found = line(slurm, out, monkeypatch)
    assert found.state == "failed"
    assert "was started with other settings" in found.error
    assert "take another --out" in found.hint
    assert outcomes(out) == ["failed"]


def test_a_crash_loop_ends(slurm: Slurm, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spike fails at the same step each time; three times are enough."""
    out = tmp_path / "model"
    (job,) = submit(
        slurm, config, out, "--nodes", "2", "--time", "0:20", "--stop-before", "60", "faults.action=stop",
        "faults.spike_sigma=0.001", "faults.window_steps=8",
    )  # fmt: skip
    for number in (1, 2):
        go_on_at_once(slurm, job, number)
        until_starts(out, number + 1)
    assert slurm.wait(job) == ["FAILED"], log_of(out)
    assert outcomes(out) == ["failed"] * 3
    assert line(slurm, out, monkeypatch).state.startswith("crash loop: 3 failures in a row at step")
