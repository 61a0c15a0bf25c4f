"""Tasks with models whose answers are known: a task must give an oracle 1, a fool 0, and count what it cannot score."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.eval.run import EvalConfig, evaluate, summary
from jpfm.eval.task import Context, LogLikelihood
from jpfm.eval.tasks.choice import JCommonsenseQA, SampleQuestions, load_items
from jpfm.eval.tasks.era_dates import EraDates

NOWHERE = Context(None)


class Chooser:
    """Prefers the continuations in `liked`, answers every prompt with `say`."""

    def __init__(self, liked: set[str], say: str = "") -> None:
        self.liked, self.say = liked, say

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        return [LogLikelihood(-1.0 if continuation in self.liked else -9.0, 1) for _, continuation in pairs]

    def document_loglikelihood(self, texts: Sequence[str]) -> list[LogLikelihood]:
        return [LogLikelihood(-float(len(text)), len(text)) for text in texts]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return [self.say for _ in prompts]


def test_an_oracle_scores_one_and_its_opposite_zero() -> None:
    task = SampleQuestions(task="sample_questions")
    items, examples = task.items_and_examples()
    gold = {str(item[f"choice{item['label']}"]) for item in items}
    wrong = {str(item[f"choice{n}"]) for item in items for n in range(5) if n != item["label"]} - gold
    right = summary(task, task.run(Chooser(gold - wrong), NOWHERE))
    assert right["value"] > 0.9  # some right choices are wrong ones elsewhere
    assert summary(task, task.run(Chooser(wrong), NOWHERE))["value"] < 0.1
    assert len(items) == 197
    assert not {e["q_id"] for e in examples} & {item["q_id"] for item in items}


def test_no_preference_is_near_chance_and_baselines_say_so() -> None:
    task = SampleQuestions(task="sample_questions")
    entry = summary(task, task.run(Chooser(set()), NOWHERE))  # always the first choice
    assert entry["low"] < entry["baselines"]["random"] < entry["high"]
    assert entry["baselines"]["majority"] >= 0.2


def test_a_model_that_says_nothing_fails_by_format_and_stays_in_the_count() -> None:
    task = EraDates(task="era_dates", levels=(2, 3), items_per_level=20)
    entry = summary(task, task.run(Chooser(set()), NOWHERE))
    assert entry["value"] == 0.0
    assert entry["num_format_failures"] == entry["num_items"] == entry["num_scored"] == 40
    assert entry["errors"] == {"format": 40}


def test_majority_and_item_hashes_depend_on_the_items() -> None:
    first = summary(t := SampleQuestions(task="sample_questions"), t.run(Chooser(set()), NOWHERE))
    part = summary(t := SampleQuestions(task="sample_questions", max_items=50), t.run(Chooser(set()), NOWHERE))
    assert part["num_items"] == 50
    assert first["items_sha256"] != part["items_sha256"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no items"),
        ('{"q_id": 1}\n{oops}\n', "not JSON Lines: line 2"),
        ('{"q_id": 1, "question": "?"}\n', "no field"),
        (json.dumps({"q_id": 1, "question": "?", **{f"choice{n}": "a" for n in range(5)}, "label": 5}), "label 5"),
    ],
)  # fmt: skip
def test_a_broken_question_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        load_items(str(file))


def test_another_version_of_the_benchmark_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "valid-v1.3.json"
    file.write_text('{"q_id": 1}\n', encoding="utf-8")
    task = JCommonsenseQA(task="jcommonsenseqa", path=str(file), num_fewshot=0)
    with pytest.raises(DataError, match="not the version"):
        task.run(Chooser(set()), NOWHERE)


def test_the_real_benchmark_loads_and_is_balanced(shared_data: Path) -> None:
    folder = shared_data / "bench" / "jglue" / "jcommonsenseqa-v1.3"
    task = JCommonsenseQA(
        task="jcommonsenseqa", path=str(folder / "valid-v1.3.json"), train_path=str(folder / "train-v1.3.json.gz")
    )
    entry = summary(task, task.run(Chooser(set()), NOWHERE))
    assert entry["num_items"] == 1119
    assert entry["low"] < 0.2 < entry["high"]


def _config(checkpoint: Artifact) -> EvalConfig:
    return EvalConfig.model_validate(
        {
            "stage": "eval", "model": str(checkpoint.path),
            "tasks": [
                {"task": "sample_questions", "max_items": 10},
                {"task": "era_dates", "items_per_level": 3},
                {"task": "bits_per_character"},
            ],
        }
    )  # fmt: skip


def test_a_checkpoint_is_scored_and_the_rows_are_kept(checkpoint: Artifact, tmp_path: Path) -> None:
    scores = evaluate(_config(checkpoint), tmp_path / "scores")
    document = json.loads((scores.path / "scores.json").read_text(encoding="utf-8"))
    assert document["model"]["id"] == checkpoint.id
    assert [task["task"] for task in document["tasks"]] == ["sample_questions", "era_dates", "bits_per_character"]
    for task in document["tasks"]:
        rows = pl.read_parquet(scores.path / "items" / f"{task['task']}.parquet")
        assert len(rows) == task["num_items"] == task["num_scored"]
        assert task["low"] <= task["value"] <= task["high"]
        assert task["licence"]
        assert task["source"]
    again = evaluate(_config(checkpoint), tmp_path / "again")
    assert again.id == scores.id


def test_a_checkpoint_without_manifest_is_refused(checkpoint: Artifact, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint.path, bare)
    (bare / "manifest.json").unlink()
    config = _config(checkpoint).model_copy(update={"model": str(bare)})
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        evaluate(config, tmp_path / "scores")
