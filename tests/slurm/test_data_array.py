"""Data builds over a real cluster: one corpus id, whatever is stopped."""

from pathlib import Path

import pytest
from tests.slurm.conftest import SITE, Slurm, _until, go_on_at_once, log_of, submit

from jpfm.core import config
from jpfm.core.artifact import open_artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe

pytestmark = pytest.mark.slow
RECIPE = """
stage: data
name: small
root: raw
slice_bytes: 20000
sources:
  - {format: text, name: s, paths: ["*.txt"], rights: {licence: CC0-1.0}}
steps:
  - step: normalize
  - {step: frequent_lines, minimum_documents: 6}
  - step: exact_duplicates
  - step: near_duplicates
  - step: characters
  - {step: length, minimum_chars: 20}
"""
SUBJECTS = ("吾輩", "先生", "隣の猫", "駅長", "図書館の人", "老いた船長", "新任の教師", "町の医者")
PLACES = ("庭先", "川べり", "書斎", "停車場", "山道", "港", "寺の境内", "坂の上")
ACTS = (
    "静かに本を読んでいた",
    "ため息をついた",
    "長い手紙を書いた",
    "空を見上げた",
    "古い歌を口ずさんだ",
    "茶を飲んだ",
)


def text(number: int) -> str:
    """A small document: no two alike but for the planted ones (each fifth repeats an earlier one, nearly)."""
    seed = number - 2 if number % 5 == 4 else number
    lines = []
    for line in range(24):
        n = (seed * 7919 + line * 104729) % 99991
        lines.append(f"{SUBJECTS[n % 8]}は{n}日目の朝、{PLACES[n // 8 % 8]}で{ACTS[n // 64 % 6]}。")
    return "\n".join(["この頁の先頭へ戻る", *lines, "終わり" if seed != number else "", "著作権は著者にあります"])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe beside its raw files, in about ten shards."""
    (tmp_path / "raw").mkdir()
    for number in range(120):
        (tmp_path / "raw" / f"{number:03d}.txt").write_text(text(number), encoding="utf-8")
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.replace("root: raw", f"root: {tmp_path}/raw"), encoding="utf-8")
    return file


@pytest.fixture
def local_id(recipe: Path) -> str:
    """The corpus as one process makes it."""
    made = build(config.load(recipe, Recipe).config, recipe.with_name("local"))
    assert made is not None
    return made.id


def test_an_array_and_a_job_that_finishes(slurm: Slurm, recipe: Path, local_id: str, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    array, last = submit(slurm, recipe, out, "--tasks", "4", "--cpus", "1")
    assert slurm.wait(last) == ["COMPLETED"], log_of(out)
    assert slurm.wait(array) == ["COMPLETED"] * 4, log_of(out)
    assert open_artifact(out).id == local_id


def test_the_array_applies_the_decisions(slurm: Slurm, recipe: Path, local_id: str, tmp_path: Path) -> None:
    """Slices, decision, slices, ...: one of each for each step that needs all shards."""
    out = tmp_path / "corpus"
    jobs = submit(slurm, recipe, out, "--tasks", "2", "--cpus", "1", "--spread-decisions")
    assert len(jobs) == 1 + 2 * 3 + 1
    assert slurm.wait(jobs[-1]) == ["COMPLETED"], log_of(out)
    assert open_artifact(out).id == local_id


def test_a_task_that_is_preempted_goes_on(slurm: Slurm, recipe: Path, local_id: str, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    array, last = submit(slurm, recipe, out, "--tasks", "2", "--cpus", "1")
    _until(lambda: slurm.field(f"{array}_0", "JobState") == ["RUNNING"], "no start")
    slurm.run("scancel", "--batch", "--signal=USR1", f"{array}_0")
    go_on_at_once(slurm, f"{array}_0")
    assert slurm.wait(last) == ["COMPLETED"], log_of(out)
    assert open_artifact(out).id == local_id


def test_a_ray_cluster_over_two_nodes(slurm: Slurm, recipe: Path, local_id: str, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    (job,) = submit(slurm, recipe, out, "--nodes", "2", "--engine", "ray")
    assert slurm.wait(job) == ["COMPLETED"], log_of(out)
    assert "with 2 of 2 nodes, 4 CPUs" in log_of(out)
    assert open_artifact(out).id == local_id
    assert not list(out.with_name("corpus.jobs").rglob("ray")), "the token is still there"
