"""What a user can get wrong: one sentence and the mend, from each process, and never a traceback."""

import importlib.util
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.dist.processes import Processes, Run, losses, until, write_config
from tests.dist.test_arms import EXPERTS, FSDP

from jpfm.core.artifact import Artifact, open_artifact

pytestmark = pytest.mark.slow
MISTAKES: dict[str, tuple[int, Sequence[str], int, tuple[str, ...]]] = {
    "processes that do not divide the rows": (
        3, ("parallel.replicate=null",), 2,
        ("batch_tokens 1024 is 8 rows; 3 processes cannot share them evenly", "set batch_tokens to a multiple of 384"),
    ),
    "a mesh that does not fit": (
        2, ("parallel.replicate=1", "parallel.shard=3"), 2,
        ("replicate 1 x shard 3 x tensor 1 does not fit 2 processes", "set one of replicate and shard to null"),
    ),
    "one copy on two processes": (
        2, ("parallel.replicate=1", "parallel.shard=1"), 2, ("does not fit 2 processes",),
    ),
    "tensor parallel copies": (
        4, ("parallel.tensor=2", "parallel.replicate=null"), 2,
        ("tensor 2 with 2 plain copies (DDP) is not possible", "replicate: 1, shard: null"),
    ),
    "heads that do not divide": (
        3, ("parallel.tensor=3", *FSDP, "batch_tokens=1536"), 2, ("num_attention_heads 4 is not a multiple of 3",),
    ),
    "a model larger than the memory": (
        2, ("model={size: 32B}",), 5,
        ("GB are free",),
    ),
    "an attention of other machines": (1, ("attention=flex",), 2, ("flex", "attention")),
    "a kernel of other machines": (1, ("loss=liger",), 2, ("loss: liger runs on a GPU only", "set loss=chunked")),
    "keep_best without text to score": (1, ("save.keep_best=1",), 2, ("save.keep_best", "held_out")),
    "a size that nobody knows": (1, ("model.size=9M",), 2, ("9M", "8M")),
    "a size in the wrong case": (1, ("model.size=8m",), 2, ("8m", "8M")),
    "a batch that is no multiple": (1, ("batch_tokens=1000",), 2, ("1000 is not a multiple of seq_len 128",)),
    "steps fewer than the warm-up": (1, ("steps=5",), 2, ("fewer than the schedule's warm-up of 3 and decay of 4 together",)),
    "a sum of two lengths": (1, ("total_tokens=4096",), 2, ("one of the two",)),
    "no tokens": (1, ("tokens=/nowhere",), 4, ("/nowhere",)),
    "no tokenizer": (1, ("tokenizer=/nowhere",), 4, ("/nowhere",)),
}  # fmt: skip


def assert_one_sentence(run: Run, code: int, *words: str) -> None:
    assert run.wait(60) == [code] * run.size, run.errors()
    for rank in range(run.size):
        text = run.text(rank)
        assert "Traceback" not in text, text
        label = "error: " if rank == 0 else f"process {rank}: error: "
        assert label in text, text
        assert "  hint: " in text
        for word in words:
            assert word in text, text


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_sentence(tokens: Artifact, processes: Processes, tmp_path: Path, name: str) -> None:
    size, overrides, code, words = MISTAKES[name]
    run = processes.train(write_config(tokens, tmp_path / "train.yaml"), tmp_path / "model", size, *overrides)
    assert_one_sentence(run, code, *words)
    assert not (tmp_path / "model").exists()


def test_a_tracker_that_is_not_there(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    missing = [name for name in ("mlflow", "wandb", "trackio") if importlib.util.find_spec(name) is None]
    if not missing:
        pytest.skip("all trackers are installed")
    config = write_config(tokens, tmp_path / "train.yaml", report={"trackers": missing[:1]})
    run = processes.train(config, tmp_path / "model", 2, *FSDP)
    assert_one_sentence(run, 2, f"report.trackers: {missing[0]} is not installed", "pip install")


def test_experts_are_not_split(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    config = write_config(tokens, tmp_path / "train.yaml", model=EXPERTS)
    run = processes.train(config, tmp_path / "model", 2, "parallel.tensor=2", *FSDP)
    assert_one_sentence(run, 2, "parallel.tensor: Qwen3MoeForCausalLM cannot be split", "set tensor: 1")


@pytest.fixture
def stopped(tokens: Artifact, processes: Processes, tmp_path: Path) -> tuple[Path, Path]:
    """A config, and where its run was stopped with checkpoints of steps 4 and 8, and one of the stop."""
    config = write_config(tokens, tmp_path / "train.yaml", steps=400, save={"every_steps": 4, "keep_last": 3})
    run = processes.train(config, tmp_path / "model", 2, *FSDP)
    run.wait_for_step(tmp_path / "model", 9)
    run.send(1, signal.SIGTERM)
    assert run.wait() == [75, 75], run.errors()
    steps = sorted((tmp_path / "model.partial" / "steps").iterdir())
    assert len(steps) == 3
    return config, tmp_path / "model"


@pytest.mark.parametrize(
    ("changes", "words"),
    [(("seed=7",), ("seed",)), (("model.num_layers=3",), ("model",)), (("optimizer={kind: muon}",), ("optimizer",))],
    ids=lambda value: value[0],
)
def test_other_settings_in_the_folder_of_a_run(
    processes: Processes, stopped: tuple[Path, Path], changes: tuple[str, ...], words: tuple[str, ...]
) -> None:
    config, out = stopped
    assert_one_sentence(processes.train(config, out, 2, *FSDP, *changes), 4, *words)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink], ids=["truncated", "changed", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer/shard-00002-model-00001-of-00001.safetensors"])
def test_a_damaged_checkpoint_and_the_one_before(
    processes: Processes, stopped: tuple[Path, Path], damage: Callable[[Path], None], name: str
) -> None:
    """Named, with the mend; and the mend works."""
    config, out = stopped
    before, last = sorted((out.with_name("model.partial") / "steps").iterdir())[-2:]
    damage(last / name)
    assert_one_sentence(
        processes.train(config, out, 2, *FSDP), 4, f"checkpoint {last} is damaged", name,
        f"delete that folder and run the same command again: it resumes from {before.name}",
    )  # fmt: skip
    shutil.rmtree(last)
    again = processes.train(config, out, 2, *FSDP)
    step = int(before.name.removeprefix("step-"))
    until(lambda: f"resuming after step {step}" in again.text(0), again.errors)
    again.end()


def test_a_missing_token_file(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tokens.path, tmp_path / "tokens"))
    tokenizer = tokens.path.parent / "tokenizer"
    config = write_config(open_artifact(copy), tmp_path / "train.yaml", tokenizer=str(tokenizer))
    file = next(iter(sorted(copy.rglob("*.bin"))))
    file.unlink()
    assert_one_sentence(processes.train(config, tmp_path / "model", 2, *FSDP), 4, file.name)


def test_a_disk_that_is_full_inside_a_save(
    tokens: Artifact, processes: Processes, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    """The error comes out of the writing thread; with room again, the same line goes on from the last checkpoint."""
    disk = small_disk("6500k")  # the state has 2.2 MB: two checkpoints, and a part of the third
    config = write_config(tokens, tmp_path / "train.yaml", steps=40, save={"every_steps": 4, "keep_last": 3})
    out = disk / "model"
    run = processes.train(config, out, 1)
    assert_one_sentence(run, 5, "space")
    found = sorted((disk / "model.partial" / "steps").glob("step-*/manifest.json"))
    assert found, "no checkpoint survived"
    small_disk("64m")
    again = processes.train(config, out, 1)
    assert again.wait() == [0], again.errors()
    assert f"resuming after step {int(found[-1].parent.name.removeprefix('step-'))}" in again.text(0)
    assert len(losses(out)) == 40


def test_a_run_that_goes_on_elsewhere(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    """Two runs into one folder: the second is refused, the first does not notice."""
    config = write_config(tokens, tmp_path / "train.yaml", steps=2000)
    first = processes.train(config, tmp_path / "model", 2, *FSDP)
    first.wait_for_step(tmp_path / "model", 3)
    second = processes.train(config, tmp_path / "model", 2, *FSDP)
    assert second.wait(60) == [second.codes()[0]] * 2, second.errors()
    assert "Traceback" not in second.errors()
    assert "error: " in second.text(0)
    first.send(0, signal.SIGTERM)
    assert first.wait() == [75, 75], first.errors()
