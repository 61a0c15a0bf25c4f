"""The items of an eval config as a file that decontamination reads."""

import json
from pathlib import Path

import pytest

from jpfm.core.errors import DataError, UsageError
from jpfm.data.benchmarks import Benchmark
from jpfm.data.document import Document, to_batch
from jpfm.data.steps.decontaminate import Decontaminate
from jpfm.eval.items import write_items
from jpfm.eval.tasks.choice import JCommonsenseQA, SampleQuestions
from jpfm.eval.tasks.era_dates import EraDates
from jpfm.eval.tasks.modelling import BitsPerCharacter

SAMPLE = SampleQuestions(task="sample_questions")
NONE = (EraDates(task="era_dates"), BitsPerCharacter(task="bits_per_character"))


def test_the_questions_that_are_scored_are_written(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    assert write_items([SAMPLE, *NONE], path) == {"sample_questions": 197, "era_dates": 0, "bits_per_character": 0}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    items, examples = SAMPLE.items_and_examples()
    assert [(row["benchmark"], row["item"], row["text"]) for row in rows] == [
        ("sample_questions", str(item["q_id"]), item["question"]) for item in items
    ]
    assert not {str(example["q_id"]) for example in examples} & {row["item"] for row in rows}
    few = SampleQuestions(task="sample_questions", max_items=5)  # another run may draw others
    assert write_items([few], tmp_path / "few.jsonl") == {"sample_questions": 197}
    assert (tmp_path / "few.jsonl").read_bytes() == path.read_bytes()


def test_the_step_finds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_items([SAMPLE], path)
    benchmark = Benchmark(name="eval", path=str(path), name_field="benchmark", id_field="item")
    step = Decontaminate(step="decontaminate", benchmarks=(benchmark,))
    asked = next(one for one in benchmark.texts() if len(one.text) > 15)
    batch = to_batch([Document("s/0", f"今日の問題。{asked.text}答えは明日。")], "s", "CC0-1.0")
    changed = step.run(batch)
    assert changed.contamination.column("benchmark").to_pylist() == ["sample_questions"]
    assert changed.contamination.column("item").to_pylist() == [asked.item]
    assert changed.batch.num_rows == 0


def test_a_config_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="era_dates, bits_per_character"):
        write_items(NONE, tmp_path / "items.jsonl")
    assert not (tmp_path / "items.jsonl").exists()
    with pytest.raises(UsageError, match="not a file that can be written"):
        write_items([SAMPLE], tmp_path / "nowhere" / "items.jsonl")
    with pytest.raises(DataError, match="no such file"):
        write_items([JCommonsenseQA(task="jcommonsenseqa", path="nowhere.json", num_fewshot=0)], tmp_path / "a.jsonl")


def test_jcommonsenseqa_has_its_questions(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "bench" / "jglue" / "jcommonsenseqa-v1.3" / "valid-v1.3.json"
    task = JCommonsenseQA(task="jcommonsenseqa", path=str(path), num_fewshot=0)
    assert write_items([task], tmp_path / "items.jsonl") == {"jcommonsenseqa": 1119}
