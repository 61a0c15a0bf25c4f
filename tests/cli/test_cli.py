"""Commands as a user types them: what they print, and the exit code of each mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jpfm.core.artifact import Artifact

ROOT = Path(__file__).parents[2]


def jpfm(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jpfm", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=cwd, timeout=300, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip


def assert_one_sentence(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"], ["data", "build", "--help"], ["--version"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['jpfm', *sys.argv[1:]]\n"
        "from jpfm.cli.cli import _guarded\n"
        "code = _guarded()\n"
        "assert not {'torch', 'transformers', 'numba', 'pyarrow'} & set(sys.modules), 'heavy import'\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_data_build_imports_no_torch(tmp_path: Path, recipe_file: Path) -> None:
    code = (
        "import sys; sys.argv = ['jpfm', *sys.argv[1:]]\n"
        "from jpfm.cli.cli import _guarded\n"
        "code = _guarded()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'torch was imported'\n"
        "sys.exit(code)"
    )
    arguments = ["data", "build", str(recipe_file), "--out", str(tmp_path / "corpus"), "--workers", "1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "corpus")


def test_a_missing_config(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("stage: train\n")
    assert_one_sentence(jpfm("train", tmp_path / "trian.yaml"), 2, "no such file", "did you mean", "train.yaml")


def test_every_problem_of_a_config_at_once(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("stage: train\nmodel:\n  size: 9M\nstep: 10\nsteps: many\nlearning_rate: 3e-4\n", encoding="utf-8")
    done = jpfm("train", file, "--out", tmp_path / "out")
    assert_one_sentence(
        done, 2, "3 problems", f"{file}:3: model.size", f"{file}:4: step: unknown field; did you mean 'steps'?",
        f"{file}:5: steps: expected a valid integer",
    )  # fmt: skip
    assert "learning_rate" not in done.stderr


def test_a_check_over_several_fields_points_at_the_one_to_change(tmp_path: Path) -> None:
    done = jpfm("train", "configs/train/japanese-open.yaml", "steps=4", "--out", tmp_path / "out", cwd=ROOT)
    assert_one_sentence(done, 2, "command line: steps 4 are fewer than the schedule's warm-up of 100", "schema train")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "stage: data\nname: r\nsources:\n  - {format: text, name: a, paths: [a], rights: {licence: CC0-1.0}}\n"
        "steps:\n  - step: normalize\n  - step: split\n",
        encoding="utf-8",
    )
    done = jpfm("data", "build", recipe, "--out", tmp_path / "out")
    assert_one_sentence(done, 2, f"{recipe}:7: steps.1 (split) needs column 'num_chars'; put `- step: characters`")


def test_a_missing_benchmark_file_is_said_before_training(tmp_path: Path) -> None:
    config = tmp_path / "p.yaml"
    text = (ROOT / "configs" / "quickstart.yaml").read_text(encoding="utf-8")
    text = text.replace("extends: train", f"extends: {ROOT / 'configs' / 'train'}")
    config.write_text(
        text.replace("- task: sample_questions", "- task: jcommonsenseqa\n      path: nope.json"), "utf-8"
    )
    done = jpfm("run", config, "--out", tmp_path / "out")
    assert_one_sentence(done, 3, "nope.json: no such file", "tasks.0.path=FILE")
    assert not (tmp_path / "out").exists()


def test_a_config_of_another_stage(recipe_file: Path) -> None:
    assert_one_sentence(jpfm("train", recipe_file), 2, "this is a 'data' config")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], ["nonsense"]),
        (["train"], ["jpfm train CONFIG"]),
        (["config", "schema", "nothing"], ["no settings are called"]),
        (["data", "build", "{recipe}"], ["--out is missing"]),
        (["data", "build", "{recipe}", "--out", "x", "--slice", "4/4"], ["--slice 4/4"]),
        (["data", "build", "{recipe}", "nonsense", "--out", "x"], ["override 'nonsense'"]),
        (["data", "build", "{recipe}", "root=/nowhere/at/all", "--out", "x"], ["is no folder"]),
        (["tokenizer", "train", "configs/tokenizer/16k.yaml", "--out", "x"], ["corpus: this field is required"]),
    ],
)
def test_usage_mistakes(arguments: list[str], words: list[str], recipe_file: Path) -> None:
    assert_one_sentence(jpfm(*[a.format(recipe=recipe_file) for a in arguments], cwd=ROOT), 2, *words)


def test_an_empty_corpus(recipe_file: Path, tmp_path: Path) -> None:
    done = jpfm("data", "build", recipe_file, "steps.5.minimum_chars=100000000", "--out", tmp_path / "corpus")
    assert_one_sentence(done, 3, "the corpus is empty", "too_short")
    assert not (tmp_path / "corpus").exists()


def test_no_file_matches(recipe_file: Path, tmp_path: Path) -> None:
    done = jpfm("data", "build", recipe_file, "sources.0.paths=['nothing/*.txt']", "--out", tmp_path / "corpus")
    assert_one_sentence(done, 3, "no file matches")


@pytest.mark.parametrize("command", ["why", "verify"])
def test_a_folder_that_is_no_artifact(command: str, tmp_path: Path) -> None:
    assert_one_sentence(jpfm(command, tmp_path), 4, "no manifest.json")


def test_an_artifact_of_another_kind(tokenizer: Artifact, tmp_path: Path) -> None:
    done = jpfm("data", "stats", tokenizer.path)
    assert_one_sentence(done, 4, "is a tokenizer artifact, not a corpus artifact")


def test_a_folder_made_with_other_settings(recipe_file: Path, corpus: Artifact) -> None:
    done = jpfm("data", "build", recipe_file, "steps.5.minimum_chars=61", "--out", corpus.path)
    assert_one_sentence(done, 4, "minimum_chars: 60 there, 61 asked")


def test_a_full_disk(recipe_file: Path, small_disk: "object") -> None:
    disk = small_disk("200k")  # type: ignore[operator]
    done = jpfm("data", "build", recipe_file, "--out", disk / "corpus")
    assert_one_sentence(done, 5, "No space left on device", "free space")
    small_disk("50m")  # type: ignore[operator]
    again = jpfm("data", "build", recipe_file, "--out", disk / "corpus")
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stderr


def test_verify_and_why(corpus: Artifact, tokens: Artifact, tmp_path: Path, sample: Path) -> None:
    tree = jpfm("why", tokens.path)
    assert tree.returncode == 0
    for word in (tokens.id, corpus.id, "licence CC0-1.0", "aozora/001_akegata_no_eki.txt"):
        assert word in tree.stdout
    copy = tmp_path / "corpus"
    shutil.copytree(corpus.path, copy)
    assert jpfm("verify", copy, "--raw", sample).returncode == 0
    shard = sorted((copy / "documents").iterdir())[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    done = jpfm("verify", copy)
    assert_one_sentence(done, 4, "1 difference")
    assert shard.name in done.stdout


def test_looking_at_a_corpus(corpus: Artifact) -> None:
    table = jpfm("data", "stats", corpus.path)
    assert "near_duplicate" in table.stdout
    assert "kept" in table.stdout
    kept = jpfm("data", "show", corpus.path, "-n", 3)
    assert kept.stdout.count("● ") == 3
    dropped = jpfm("data", "show", corpus.path, "--dropped", "repetitive")
    assert "spam" in dropped.stdout or "faults.jsonl" in dropped.stdout
    broken = jpfm("data", "show", corpus.path, "--dropped", "decode")
    assert "900_kowareta.txt" in broken.stdout
    assert_one_sentence(jpfm("data", "show", corpus.path, "--dropped", "ugly"), 2, "near_duplicate")


def test_config_show_loads_back_equal(tmp_path: Path) -> None:
    shown = jpfm("config", "show", "configs/japanese-open.yaml", "train.steps=2000", cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    assert "steps: 2000  # command line" in shown.stdout
    file = tmp_path / "again.yaml"
    file.write_text(shown.stdout, encoding="utf-8")
    again = jpfm("config", "show", file)
    strip = [line.split("  # ")[0] for line in shown.stdout.splitlines()]
    assert [line.split("  # ")[0] for line in again.stdout.splitlines()] == strip


@pytest.mark.parametrize("stage", ["data", "tokenizer", "tokens", "train", "eval", "pipeline"])
def test_schemas_are_json(stage: str) -> None:
    assert json.loads(jpfm("config", "schema", stage).stdout)["properties"]["stage"]["const"] == stage


def test_dry_run_touches_nothing(tmp_path: Path) -> None:
    done = jpfm("quickstart", "--dry-run", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "source office" in done.stdout
    assert "parameters" in done.stdout
    assert not list(tmp_path.iterdir())


def test_doctor() -> None:
    done = jpfm("doctor")
    assert done.returncode == 0, done.stdout
    assert "matrix products" in done.stdout
    assert "PROBLEM" not in done.stdout
