"""`jpfm train --dry-run` plans a run on devices that are elsewhere, and says what the run itself would refuse."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import tiny_training
from typer.testing import CliRunner

from jpfm.cli.cli import app
from jpfm.cli.train_plan import train
from jpfm.core.artifact import Artifact
from jpfm.core.config import load
from jpfm.core.errors import ArtifactError, JpfmError, UsageError
from jpfm.train.config import TrainConfig
from jpfm.train.peak import known_devices, memory_bytes, published

RECIPES = Path(__file__).parents[2] / "configs" / "train"


def _recipe(name: str, **changes: Any) -> TrainConfig:
    return load(RECIPES / f"{name}.yaml", TrainConfig, [f"{key}={value}" for key, value in changes.items()]).config


def _plan(config: TrainConfig, vocabulary: int | None = None, on: str | None = None) -> str:
    return "\n".join(train(config, vocabulary, on))


def _refused(*arguments: object) -> JpfmError:
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert isinstance(done.exception, JpfmError), done.output
    assert "\n" not in done.exception.message
    return done.exception


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace(",", ""))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "on", "mesh", "device_hours"),
    [
        ("8B", "64 H100", "HSDP 8 x 8 over 64 processes", 78_000),
        ("32B", "256 H200", "HSDP 8 x 32 over 256 processes", 308_000),
    ],
)
def test_hours_are_those_that_the_recipe_says(name: str, on: str, mesh: str, device_hours: float) -> None:
    said = _plan(_recipe(name), 196_608, on)
    assert mesh in said
    assert "vocabulary taken" not in said
    assert "compiled blocks" in said
    assert "it fits: " in said
    assert _number(r"([\d,]+) device-hours", said) == pytest.approx(device_hours, rel=0.02)
    devices = int(on.split(maxsplit=1)[0])
    assert _number(r"time: about ([\d,]+) hours", said) == pytest.approx(device_hours / devices, rel=0.02)
    total, each = _number(r"; ([\d.e+]+) in all", said), _number(r"operations: ([\d.e+]+) FLOPs a token", said)
    assert total == pytest.approx(each * 1_000_000 * 2_097_152, rel=0.01)


@pytest.mark.parametrize("on", [None, "8 A100", "16 H100 NVL", "512 B200"])
@pytest.mark.parametrize("name", ["8B", "30B-A3B"])
def test_parts_of_memory_add_up(name: str, on: str | None) -> None:
    said = next(line for line in train(_recipe(name, **{"parallel.shard": 8}), 50_000, on) if "memory of" in line)
    total, parts = said.partition(";")[0].split(" = ")
    numbers = [float(part.split()[-1]) for part in parts.split(" + ")]
    assert len(numbers) == 5
    assert sum(numbers) == pytest.approx(_number(r"([\d,.]+) GB", total), abs=1e-6)


def test_more_devices_take_less_time_and_no_more_memory() -> None:
    few, many = (_plan(_recipe("8B"), 196_608, on) for on in ("8 H100", "64 x H100"))
    hours = r"time: about ([\d,]+) hours"
    assert _number(hours, few) == pytest.approx(8 * _number(hours, many), rel=0.01)
    memory = r"memory of a process: ([\d.]+) GB"
    assert _number(memory, few) == _number(memory, many)


def test_a_device_with_too_little_memory() -> None:
    said = _plan(_recipe("8B"), 196_608, "64 A100 40GB")
    assert "too little memory: this run takes about 68.1 GB a process" in said
    assert "42.9 GB is what one A100 40GB has" in said
    assert "set micro_batch_rows to 1" in said
    assert "it fits" not in said
    assert "it fits" in _plan(_recipe("8B"), 196_608, "64 A100-SXM4-80GB")


@pytest.mark.parametrize(
    ("on", "words", "hint"),
    [
        ("24 H100", "512 rows; 24 processes cannot share them evenly", "or use 16 processes"),
        ("60 H100", "shard 8 x tensor 1 does not fit 60 processes", "takes the rest"),
        ("64 H900", "the peak of H900 is not known", "H100 NVL"),
        ("H100", "no number", '--on "64 H100"'),
        ("0 H100", "no number", '--on "64 H100"'),
    ],
)
def test_devices_that_do_not_do(on: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as found:
        _plan(_recipe("8B"), 196_608, on)
    assert hint in found.value.hint


def test_a_precision_the_device_has_not() -> None:
    with pytest.raises(UsageError, match="has no fp8 units"):
        _plan(_recipe("8B", precision="fp8"), 196_608, "64 A100")


def test_every_known_name_is_found() -> None:
    for name in known_devices():
        assert published(name, "bf16") is not None, name
        assert (memory_bytes(name) or 0) >= 20 * 2**30, name
    assert memory_bytes("NVIDIA GH200 480GB") == 96 * 2**30, "480 GB are the processor's"
    assert memory_bytes("NVIDIA A100-PCIE-40GB") == 40 * 2**30
    assert memory_bytes("Tesla V100") is None


def test_this_machine_is_told_what_it_cannot_do() -> None:
    said = _plan(_recipe("32B"))
    assert "vocabulary taken as 32,000 pieces: set --vocabulary or tokens=DIR" in said
    assert "does not fit 1 processes" in said
    assert "FSDP2 over 32 processes" in said
    assert "too little memory" in said
    assert '--on "64 H100"' in said


def test_a_run_that_fits_this_machine(tokens: Artifact) -> None:
    said = _plan(tiny_training(tokens))
    assert "it fits" in said
    assert "refused" not in said
    assert "one process" in said
    assert re.search(r"data: [\d.]+ times the [\d,]+ tokens", said)
    assert "minutes on this machine" in said


def test_findings_of_the_lint(tokens: Artifact) -> None:
    doubtful: dict[str, Any] = {"optimizer": {"kind": "adamw", "epsilon": 1e-3}}
    said = _plan(tiny_training(tokens, **doubtful, lint="warn"), on="1 H100")
    assert re.search(r"lint: optimizer\.epsilon: .* Mend: ", said)
    assert "would be refused" not in said
    assert "would be refused" in _plan(tiny_training(tokens, **doubtful, lint="refuse"), on="1 H100")
    assert "epsilon" not in _plan(tiny_training(tokens, **doubtful, lint="off"), on="1 H100")


@pytest.mark.usefixtures("no_network")
def test_a_base_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    no_model = ["model=null", "--dry-run"]
    recipe = RECIPES / "150M.yaml"
    missing = _refused(RECIPES / "continual-swallow.yaml", "--dry-run")
    assert "out/extended is no folder" in missing.message
    assert "is no folder" in _refused(recipe, f"init_from={tmp_path / 'none'}", *no_model).message
    assert "does not exist" in _refused(recipe, f"branch_from={tmp_path / 'none'}", "branch_at=5", *no_model).message
    assert "has no config.json" in _refused(recipe, f"init_from={tmp_path}", *no_model).message
    (tmp_path / "config.json").write_text('{"model_type": "no such family"}')
    found = _refused(recipe, f"init_from={tmp_path}", *no_model)
    assert isinstance(found, ArtifactError)
    assert "transformers does not read" in found.message


@pytest.mark.usefixtures("no_network")
def test_a_base_that_is_there(checkpoint: Artifact) -> None:
    config = _recipe("quickstart", init_from=checkpoint.path, model="null")
    assert "model: " in _plan(config, on="2 H100")


def test_options_of_a_plan_need_a_plan(tmp_path: Path) -> None:
    recipe = RECIPES / "150M.yaml"
    for option in (["--on", "64 H100"], ["--vocabulary", "99"]):
        assert "starts none" in _refused(recipe, "--out", tmp_path / "out", *option).message
    given = _refused(recipe, "--dry-run", "--vocabulary", "99", f"init_from={tmp_path}", "model=null")
    assert "a vocabulary of their own" in given.message
    done = CliRunner().invoke(app, ["train", str(recipe), "--dry-run", "--on", "8 L40S", "--vocabulary", "64000"])
    assert done.exit_code == 0, done.output
    assert "# time: about" in done.output
    assert f"{64_000 * 768:,} of them the input embedding" in done.output


def test_a_file_of_changes_is_not_a_run(tmp_path: Path) -> None:
    found = _refused(RECIPES / "anneal.yaml", "--out", tmp_path / "out")
    assert "a file of changes to a run" in found.message
    assert "jpfm train branch RUN --at STEP --config" in found.hint


def test_branch_lists_the_steps_there_are(checkpoint: Artifact) -> None:
    found = _refused("branch", checkpoint.path)
    there = re.search(r"there are: ([\d, ]+)", found.message)
    assert there, found.message
    step = there[1].split(",")[-1].strip()
    done = CliRunner().invoke(
        app, ["train", "branch", str(checkpoint.path), "--at", step, "steps=500", "--dry-run", "--on", "1 H100"]
    )
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"{500 - int(step)} steps behind the {step} of the run" in done.output
