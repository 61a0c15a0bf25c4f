"""`jpfm data ...` as a user types it: benchmark items, contamination of a corpus, and no torch in any of it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jpfm.cli import data_commands
from jpfm.cli.cli import app
from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.errors import UsageError

QUESTIONS = [
    "校庭の真ん中にある百年前からの井戸は、どの季節に水が最も冷たくなるでしょうか。",
    "駅前の時計台を直した職人は、三日のうち何時間を歯車の掃除に使いましたか。",
]
"""Written for this test."""
NO_TORCH = """
import sys
sys.argv = ['jpfm', '-q', *sys.argv[1:]]
from jpfm.cli.cli import _guarded
code = _guarded()
heavy = {'torch', 'transformers', 'accelerate'} & set(sys.modules)
assert not heavy, f'imported: {heavy}'
sys.exit(code)
"""


def _run(arguments: Sequence[object]) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, which fails where it imports torch."""
    return subprocess.run(
        [sys.executable, "-c", NO_TORCH, *map(str, arguments)], capture_output=True, text=True, check=False,
        timeout=300, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An eval config over a file of questions, the items it has, and a corpus that was searched for them."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"q_id": n, "question": question, **{f"choice{k}": f"{k}つ" for k in range(5)}, "label": n}
        for n, question in enumerate(QUESTIONS)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "questions.json").write_text(lines, encoding="utf-8")
    task = {"task": "sample_questions", "path": str(folder / "questions.json"), "num_fewshot": 0}
    config = {"stage": "eval", "tasks": [task, {"task": "era_dates"}]}
    (folder / "eval.yaml").write_text(json.dumps(config), encoding="utf-8")
    (folder / "raw").mkdir()
    texts = [
        f"先生はまず{QUESTIONS[0]}と尋ねた。",
        "雨の日は本を読み、晴れた日は川まで歩いた。",
        f"二問目。{QUESTIONS[1]}",
    ]
    for n, text in enumerate(texts):
        (folder / "raw" / f"{n}.txt").write_text(text, encoding="utf-8")
    exam = {"name": "exam", "path": str(folder / "items.jsonl"), "name_field": "benchmark", "id_field": "item"}
    source = {"format": "text", "name": "s", "paths": ["*.txt"], "rights": {"licence": "CC0-1.0"}}
    steps = [{"step": "decontaminate", "benchmarks": [exam]}, {"step": "characters"}, {"step": "near_duplicates"}]
    recipe = {"stage": "data", "name": "clean", "root": str(folder / "raw"), "sources": [source], "steps": steps}
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    items = CliRunner().invoke(app, ["data", "items", str(folder / "eval.yaml"), "--out", str(folder / "items.jsonl")])
    assert (items.exit_code, items.stdout.strip()) == (0, str(folder / "items.jsonl"))
    made = CliRunner().invoke(app, ["data", "build", str(folder / "recipe.yaml"), "--out", str(folder / "corpus")])
    assert made.exit_code == 0, made.output
    return folder


def test_items_are_the_questions_that_the_config_asks(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [{"benchmark": "sample_questions", "item": str(n), "text": text} for n, text in enumerate(QUESTIONS)]


def test_items_need_a_place_and_a_config_that_has_some(folder: Path, tmp_path: Path) -> None:
    config = folder / "eval.yaml"
    for options, words in (
        ([config], "--out"),
        ([config, "--out", tmp_path], "not a file that can be written"),
        ([config, "tasks=[{task: era_dates}]", "--out", tmp_path / "none.jsonl"], "no task of this config has items"),
    ):
        done = _run(["data", "items", *options])
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "hint: " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_contamination_is_a_table_with_examples(folder: Path) -> None:
    done = CliRunner().invoke(app, ["data", "contamination", str(folder / "corpus")])
    assert done.exit_code == 0, done.output
    head, row = (line.split() for line in done.stdout.splitlines() if line.strip())
    assert dict(zip(head, row, strict=True)) == {
        "benchmark": "sample_questions", "items": "2", "searchable": "2", "found": "2", "documents": "2",
        "dropped": "2", "cut": "·", "marked": "·",
    }  # fmt: skip
    done = CliRunner().invoke(app, ["data", "contamination", str(folder / "corpus"), "-n", "1"])
    assert done.stdout.count("● sample_questions") == 1
    assert QUESTIONS[0][:12] in done.stdout
    assert open_artifact(folder / "corpus").manifest.stats["total"]["kept"] == 1


def test_a_corpus_that_was_not_searched_says_so(corpus: Artifact) -> None:
    done = CliRunner().invoke(app, ["data", "contamination", str(corpus.path)])
    assert isinstance(done.exception, UsageError)
    assert "does not look for benchmarks" in str(done.exception)


def _lines(folder: Path, out: Path) -> dict[str, list[list[object]]]:
    """Every command of `jpfm data` in each of its ways."""
    corpus = folder / "corpus"
    return {
        "build": [["build", folder / "recipe.yaml", "--out", out / "again", "--workers", 1]],
        "show": [
            ["show", corpus],
            ["show", corpus, "--dropped", "contaminated"],
            ["show", corpus, "--html", out / "a"],
        ],
        "judge": [["judge", corpus, "length"]],
        "stats": [["stats", corpus]],
        "signatures": [["signatures", corpus, "--out", out / "signatures", "--workers", 1]],
        "contamination": [["contamination", corpus, "-n", 1]],
        "items": [["items", folder / "eval.yaml", "--out", out / "items.jsonl"]],
    }


COMMANDS = [str(one.name or one.callback.__name__) for one in data_commands.app.registered_commands if one.callback]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_data_command_imports_torch(folder: Path, tmp_path: Path, command: str) -> None:
    """It takes 3 s to import, and a machine that only builds corpora need not have it."""
    for line in _lines(folder, tmp_path)[command]:
        done = _run(["data", *line])
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
