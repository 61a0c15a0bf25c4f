"""What is refused before a job is handed in, each with its mend; by the command a user runs."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training

from jpfm.cli.cli import main
from jpfm.cli.interrupt import SIGNALS
from jpfm.core import config as configs
from jpfm.core.artifact import Artifact, canonical_json
from jpfm.train.config import TrainConfig

SITE = """
title: a small cluster
scheduler: pbs
queue: gpu
queues:
  gpu: {gpus_per_node: 4, cpus_per_node: 32, max_nodes: 4, max_hours: 24}
  big: {gpus_per_node: 8, cpus_per_node: 64, max_nodes: 64, max_hours: 24}
  cpu: {gpus_per_node: 0, cpus_per_node: 16, max_nodes: 8, max_hours: 2}
remote: ssh
scratch: /dev/shm
node_local: [/dev/shm, NODE_LOCAL]
"""


@pytest.fixture
def folder(tokens: Artifact, tmp_path: Path) -> Path:
    """A folder with a config and a site in it."""
    settings = tiny_training(tokens, batch_tokens=128 * 64, parallel={"replicate": 1, "shard": None})
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    (tmp_path / "site.yaml").write_text(SITE.replace("NODE_LOCAL", str(tmp_path / "local")), encoding="utf-8")
    return tmp_path


Submit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def submit(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Submit:
    """The command, in this process: exit code, stdout, stderr. No scheduler is in PATH."""

    def run(*words: str, out: str = "runs/model") -> tuple[int, str, str]:
        line = ["jpfm", "submit", "train.yaml", "--out", out, "--site", "site.yaml", *words]
        monkeypatch.setattr(sys, "argv", line)
        before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
        with pytest.raises(SystemExit) as ended:
            main()
        for number, handler in before.items():
            signal.signal(number, handler)
        told = capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err

    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(folder))
    return run


REFUSED = [
    (["--site", "abci4"], 2, "neither a file nor a site that jpfm knows; did you mean 'abci3'?", "known: abci3, "),
    (["--queue", "gup"], 2, "no queue 'gup'; did you mean 'gpu'?", "queues of this site: gpu, big, cpu"),
    (["--nodes", "5"], 2, "5 nodes (20 GPUs): gpu of a small cluster gives a job 4 at most",
     "big (64 nodes with 8 GPUs)"),
    (["--gpus", "8"], 2, "8 GPUs a node: gpu of a small cluster has 4", "--gpus 4 with more --nodes"),
    (["--cpus", "33"], 2, "33 cores a node: gpu of a small cluster has 32", "--cpus 32 at most"),
    (["--time", "48:00"], 2, "--time 48:00:00: gpu of a small cluster allows 24 hours", "--time 24:00:00 --chain 2"),
    (["--time", "0:05"], 2, "told to save 300 s before its limit", "--time 0:24:00 or more"),
    (["--time", "a day"], 2, "--time a day: this is no time", "24:00 or 0:30"),
    (["--stop-before", "10", "--set", "write_gb_per_second=0.00001"], 2, "a checkpoint is not on disk by then", "GB/s"),
    (["--set", "container.kind=apptainer", "--set", "container.image=no.sif"], 5, "the container image no.sif is not",
     "container.image=FILE"),
    (["--set", "account=required"], 2, "wants to know who pays", "--account GROUP"),
    (["--set", "environment.A-B={value: x, why: y}"], 2, "'A-B' is no name of a variable", ""),
    (["--set", "queue=none"], 2, "'none' is none of the queues: gpu, big, cpu", ""),
    (["--set", "requests=1"], 2, "unknown field", ""),
    (["--scheduler", "slurm"], 2, "--scheduler slurm: a small cluster has pbs", "leave --scheduler out"),
    (["--exclude", "n1,n2"], 2, "PBS cannot leave nodes out of a job", "operators"),
    (["--exclude", "no/such/file"], 2, "--exclude no/such/file: no such file", "one a line"),
    (["--tasks", "3"], 2, "--tasks: not for this train job", "use --nodes"),
    (["--follow", "x"], 2, "--follow: not for this train job", "leave it out"),
    (["--engine", "ray"], 2, "--engine ray: not for this train job", "--nodes"),
    (["parallel.shard=5"], 2, "does not fit 4 processes", "their product"),
    (["stage=tokenizer"], 2, "this is a 'tokenizer' config", ""),
    (["learning_rat=1"], 2, "did you mean 'learning_rate'?", ""),
    (["--exclude", "n1 -w n2"], 2, "' ' is in no name of a node", "n1,n2 or n[1-4]"),
    (["--wait", "5"], 2, "--wait: not for this train job", "--follow RUN"),
    (["--set", "queues.gpu.request=['-l x={gpu}']"], 2, "what stands in braces is one of {nodes}", ""),
    (["--set", "account_option=-A {group}"], 2, "what stands in braces is one of {account}", ""),
    (["tokens=null"], 2, "tokens: this field is required", "tokens=FOLDER"),
    (["tokens=gone"], 4, "gone does not exist", ""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "message", "mend"), REFUSED)
def test_refused_with_the_mend(
    folder: Path, submit: Submit, words: list[str], code: int, message: str, mend: str
) -> None:
    returned, out, told = submit(*words)
    assert (returned, out) == (code, ""), told
    assert message in told.partition("hint:")[0]
    assert mend in told
    assert not (folder / "runs").exists(), "nothing is left of what was refused"


def test_an_output_on_a_nodes_own_disk(folder: Path, submit: Submit) -> None:
    returned, _, told = submit(out="local/model")
    assert returned == 2
    assert f"lies in {folder}/local, a node's own disk: other nodes do not see it" in told
    assert "change node_local in the site file" in told


def test_a_link_to_a_nodes_own_disk(folder: Path, submit: Submit) -> None:
    (folder / "local").mkdir()
    (folder / "link").symlink_to("local")
    returned, _, told = submit(out="link/model")
    assert returned == 2
    assert "a node's own disk" in told


def test_a_folder_of_somebody_else(folder: Path, submit: Submit) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (folder / "theirs").mkdir(mode=0o500)
    returned, _, told = submit(out="theirs/model")
    assert returned == 5
    assert "is not yours to write to" in told


def test_no_scheduler_on_this_machine(folder: Path, submit: Submit) -> None:
    returned, out, told = submit()
    assert (returned, out) == (5, "")
    assert "qsub is not a command here" in told
    assert "run this on a login node of the cluster, or use --print" in told


def test_print_needs_no_scheduler_and_writes_nothing(folder: Path, submit: Submit) -> None:
    returned, out, told = submit("--print", "--nodes", "2")
    assert returned == 0, told
    assert "#PBS -l select=2:ncpus=32:ngpus=4:mpiprocs=1" in out
    assert not (folder / "runs").exists()


def test_a_gpu_that_is_known_is_planned_for(folder: Path, submit: Submit) -> None:
    """The same refusals and the same hours as `jpfm train --dry-run --on`."""
    returned, _, told = submit("--print", "--set", "queues.gpu.gpu=H100", "--nodes", "2")
    assert returned == 0, told
    assert "on 8 H100" in told
    returned, _, told = submit("--print", "--set", "queues.gpu.gpu=H100", "--nodes", "3")
    assert returned == 2
    assert "12 processes cannot share" in told
    large = ("model={size: 32B}", "parallel.shard=1", "parallel.replicate=null")
    returned, _, told = submit("--print", "--set", "queues.gpu.gpu=H100", *large)
    assert returned == 5
    assert "this run takes about" in told


def test_a_large_checkpoint_is_told_earlier(folder: Path, submit: Submit) -> None:
    """Twice what writing takes, and a minute."""
    returned, out, _ = submit("--print", "--set", "write_gb_per_second=0.00001")
    assert returned == 0
    until = next(line for line in out.splitlines() if line.startswith("until="))
    left = int(until.partition("+ ")[2].partition("))")[0])
    assert 24 * 3600 - 1200 < left < 24 * 3600 - 500


@pytest.mark.parametrize("name", ["my runs/model", "runs/%j", "runs/$HOME", "runs/it's"])
def test_an_output_whose_path_means_something_to_schedulers(folder: Path, submit: Submit, name: str) -> None:
    returned, _, told = submit(out=name)
    assert returned == 2
    assert "means something else to a scheduler" in told


def test_a_run_that_is_finished(folder: Path, submit: Submit) -> None:
    (folder / "runs" / "model").mkdir(parents=True)
    (folder / "runs" / "model" / "manifest.json").write_text("{}")
    returned, _, told = submit()
    assert returned == 4
    assert "is finished: nothing to do" in told


def test_a_run_that_began_with_other_settings(folder: Path, submit: Submit) -> None:
    """What speed alone depends on may change, what the result depends on may not."""
    began = configs.load(folder / "train.yaml", TrainConfig).config.identity()
    (folder / "runs" / "model.partial").mkdir(parents=True)
    (folder / "runs" / "model.partial" / "plan.json").write_text(canonical_json({"config": began}))
    returned, _, told = submit("learning_rate=0.5", "seed=3")
    assert returned == 4
    assert "began with other settings: learning_rate, seed" in told
    assert "jpfm train branch" in told
    returned, _, told = submit("micro_batch_rows=2", "--print")
    assert returned == 0, told


OTHERS = {
    "data": ("stage: data\nname: d\nroot: nowhere\nsources:\n  - {format: text, name: s, paths: ['*'], "
             "rights: {licence: CC0-1.0}}\nsteps: [{step: normalize}]\n", [], 2, "its root nowhere is no folder"),
    "tokens": ("stage: tokens\n", ["corpus=nowhere", "tokenizer=nowhere"], 4, "nowhere does not exist"),
    "eval without a model": ("stage: eval\ntasks: [{task: bits_per_character}]\n", [], 2, "--follow RUN"),
    "eval with two": (
        "stage: eval\ntasks: [{task: bits_per_character}]\n", ["model=x", "--follow", "y"], 2, "--follow RUN",
    ),
    "eval of nothing": ("stage: eval\ntasks: [{task: bits_per_character}]\n", ["model=nowhere"], 4, "nowhere does not"),
    "no stage": ("name: x\n", [], 2, "stage 'None' is none that can be submitted"),
    "another stage": ("stage: tokenizer\n", [], 2, "those can: train, data, tokens, eval"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_inputs_that_are_not_there(folder: Path, submit: Submit, case: str) -> None:
    text, words, code, message = OTHERS[case]
    (folder / "train.yaml").write_text(text, encoding="utf-8")
    returned, out, told = submit(*words, "--queue", "cpu", "--print")
    assert (returned, out) == (code, ""), told
    assert message in told


def test_an_input_on_a_nodes_own_disk(folder: Path, submit: Submit, tokens: Artifact) -> None:
    shutil.copytree(tokens.path, folder / "local" / "tokens")
    returned, _, told = submit("tokens=local/tokens", "--print")
    assert returned == 2
    assert "tokens local/tokens lies in" in told


def test_times(folder: Path, submit: Submit) -> None:
    for given, expected in (("2:00", "2:00:00"), ("0:30:30", "0:30:30"), ("0-12:00", "12:00:00")):
        _, out, told = submit("--time", given, "--print")
        assert f"#PBS -l walltime={expected}\n" in out, told
