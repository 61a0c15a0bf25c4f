"""`jpfm submit` on a real Grid Engine: two hosts through `qrsh -inherit`, the clock, a chain, qdel, an array."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.age.conftest import Grid
from tests.conftest import tiny_training
from tests.slurm.test_data_array import RECIPE, text

from jpfm.core import config as configs
from jpfm.core.artifact import Artifact, open_artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.launch.attempt import Ledger

pytestmark = pytest.mark.slow
JPFM = Path(sys.executable).with_name("jpfm")
SITE = """
title: a cell
scheduler: age
queue: node_f
queues:
  node_f: {gpus_per_node: 0, cpus_per_node: 2, max_nodes: 3, max_hours: 1, request: ["-l node_f={nodes}"]}
remote: qrsh
requeue: false
scratch: ${TMPDIR:-$TMP}
node_local: [/dev/shm]
"""


@pytest.fixture(autouse=True)
def _nothing_left(grid: Grid) -> Iterator[None]:
    yield
    grid.clear()


@pytest.fixture
def config(tokens: Artifact, tmp_path: Path) -> Path:
    settings = tiny_training(
        tokens, steps=100_000, save={"every_steps": None}, parallel={"replicate": 1, "shard": None}
    )
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    return file


def submit(grid: Grid, config: Path, out: Path, *options: str) -> list[str]:
    told = grid.run(
        JPFM, "submit", config, "--out", out, "--site", config.with_name("site.yaml"), *options, cwd=config.parent,
        OMP_NUM_THREADS="1",
    )  # fmt: skip
    return [line for line in told.splitlines() if line.isdigit()]


def rows(out: Path) -> list[float]:
    file = out.with_name(out.name + ".partial") / "logs" / "metrics.jsonl"
    return [json.loads(line)["loss"] for line in file.read_text().splitlines()] if file.exists() else []


def log_of(out: Path) -> str:
    return "\n".join(file.read_text() for file in sorted(out.with_name(out.name + ".jobs").glob("logs/*")))


def outcomes(out: Path) -> list[str | None]:
    return [attempt.outcome for attempt in Ledger(out.with_name(out.name + ".jobs")).attempts()]


def wait_for(happens: Callable[[], object], out: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, log_of(out)
        time.sleep(0.3)


def test_a_chain_on_two_hosts(grid: Grid, config: Path, tmp_path: Path) -> None:
    """The clock ends the first job, the next one goes on; `jpfm submit stop` ends it for good."""
    out = tmp_path / "model"
    jobs = submit(grid, config, out, "--nodes", "2", "--time", "0:01:20", "--stop-before", "20", "--chain", "3")
    assert len(jobs) == 3
    wait_for(lambda: len(outcomes(out)) == 2, out)
    done = len(rows(out))
    assert outcomes(out) == ["stopped", None]
    assert "the end of the time limit: 1 processes are told to save and stop" in log_of(out)
    assert "FSDP2 over 2 processes" in log_of(out)
    wait_for(lambda: len(rows(out)) > done + 3, out)
    assert f"resuming after step {done}" in log_of(out)
    shown = grid.run(JPFM, "submit", "status", out, cwd=tmp_path)
    assert "running" in shown
    told = grid.run(JPFM, "submit", "stop", out, cwd=tmp_path)
    assert f"{jobs[1]} is told to save and end" in told
    assert f"{jobs[2]} is taken out of the queue" in told
    for job in jobs[:2]:
        grid.wait(job)
    assert outcomes(out) == ["stopped", "stopped"]
    shown = grid.run(JPFM, "submit", "status", out, cwd=tmp_path)
    assert "stopped" in shown
    assert not grid.jobs_processes()


def test_a_job_that_is_deleted_has_saved(grid: Grid, config: Path, tmp_path: Path) -> None:
    """qdel sends SIGUSR2 a while before it kills."""
    out = tmp_path / "model"
    (job,) = submit(grid, config, out, "--nodes", "2", "--time", "0:20", "--stop-before", "60")
    wait_for(lambda: len(rows(out)) > 3, out)
    grid.run("qdel", job)
    grid.wait(job)
    done = len(rows(out))
    assert (out.with_name("model.partial") / f"steps/step-{done:08d}/manifest.json").exists(), log_of(out)


def test_an_array_and_the_job_that_finishes(grid: Grid, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(120):
        (tmp_path / "raw" / f"{number:03d}.txt").write_text(text(number), encoding="utf-8")
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "corpus"
    recipe.write_text(RECIPE.replace("root: raw", f"root: {tmp_path}/raw"), encoding="utf-8")
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    made = build(configs.load(recipe, Recipe).config, tmp_path / "local")
    assert made is not None
    array, last = submit(grid, recipe, out, "--tasks", "3", "--cpus", "1")
    ends = grid.wait(last, 240)
    assert [end.exit_status for end in ends] == [0], log_of(out)
    assert open_artifact(out).id == made.id
    assert [end.task for end in grid.wait(array)] == [1, 2, 3]
