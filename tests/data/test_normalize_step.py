"""The step `normalize`: documents in one written form, with every change on record where that is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from jpfm.data.build import build
from jpfm.data.document import EDITS, Document, to_batch
from jpfm.data.recipe import Recipe
from jpfm.data.steps.normalize import Normalize
from jpfm.text.normalize import NormalizeRules

TEXTS = ["ｶﾞｿﾘﾝ１００㎡～\r\n", "変わらない文", "か\u3099　\n\n\n\n漢《かん》"]


def _batch(texts: list[str]) -> pa.RecordBatch:
    return to_batch([Document(f"s/{n}", text, title="ｶﾞ") for n, text in enumerate(texts)], "s", "CC0-1.0")


def _values(folder: Path, column: str) -> list[str]:
    return [value for file in sorted(folder.glob("*.parquet")) for value in pq.read_table(file)[column].to_pylist()]


def test_only_the_text_column_changes() -> None:
    batch = _batch(TEXTS)
    changed = Normalize(step="normalize").run(batch)
    assert changed.batch.column("text").to_pylist() == ["ガソリン100㎡〜", "変わらない文", "が\n\n漢《かん》"]
    for name in batch.schema.names:
        assert name == "text" or changed.batch.column(name).equals(batch.column(name))
    assert changed.batch.schema == batch.schema
    assert changed.edits.num_rows == changed.dropped.num_rows == 0


def test_spans_say_what_was_changed_where() -> None:
    step = Normalize(step="normalize", rules=NormalizeRules(ruby=True), keep_spans=True)
    changed = step.run(_batch(TEXTS))
    assert changed.edits.schema == EDITS
    found = [
        (row["id"], row["kind"], row["start"], row["length"], row["before"], row["after"])
        for row in changed.edits.to_pylist()
    ]
    assert found == [
        ("s/0", "halfwidth_kana", 0, 5, "ｶﾞｿﾘﾝ", "ガソリン"),
        ("s/0", "fullwidth_alnum", 5, 3, "１００", "100"),
        ("s/0", "wave_dash", 9, 1, "～", "〜"),
        ("s/0", "blank_lines", 10, 2, "\r\n", ""),
        ("s/2", "nfc", 0, 2, "か\u3099", "が"),
        ("s/2", "trailing_spaces", 2, 1, "　", ""),
        ("s/2", "blank_lines", 5, 2, "\n\n", ""),
        ("s/2", "ruby", 8, 4, "《かん》", ""),
    ]
    assert set(changed.edits["step"].to_pylist()) == {"normalize"}
    assert set(changed.edits["source"].to_pylist()) == {"s"}
    plain = Normalize(step="normalize", rules=NormalizeRules(ruby=True)).run(_batch(TEXTS))
    assert changed.batch.equals(plain.batch)


def test_a_batch_without_changes_has_no_spans() -> None:
    for texts in ([], ["変わらない文"]):
        changed = Normalize(step="normalize", keep_spans=True).run(_batch(texts))
        assert changed.edits.equals(EDITS.empty_table())
        assert changed.batch.num_rows == len(texts)


def test_a_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="rubi"):
        Normalize.model_validate({"step": "normalize", "rules": {"rubi": True}})
    with pytest.raises(pydantic.ValidationError, match="repeated_marks_limit"):
        Normalize.model_validate({"step": "normalize", "rules": {"repeated_marks_limit": 0}})


def test_switches_in_a_recipe_decide_the_corpus(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    files = {"a.txt": "漢字《かんじ》と１２３！！！！\n"}
    ids = set()
    for name, rules, expected in (
        ("plain", {}, "漢字《かんじ》と123！！！！"),
        ("ruby", {"ruby": True}, "漢字と123！！！！"),
        (
            "marks",
            {"repeated_marks": True, "repeated_marks_limit": 2, "fullwidth_alnum": False},
            "漢字《かんじ》と１２３！！",
        ),
    ):
        step: dict[str, Any] = {"step": "normalize", "rules": rules, "keep_spans": True}
        corpus = build(make_recipe(files, [step]), tmp_path / name)
        assert corpus is not None
        assert _values(corpus.path / "documents", "text") == [expected]
        kinds = _values(corpus.path / "edits", "kind")
        assert ("ruby" in kinds) == (name == "ruby")
        assert ("fullwidth_alnum" in kinds) == (name != "marks")
        ids.add(json.loads((corpus.path / "manifest.json").read_text(encoding="utf-8"))["id"])
    assert len(ids) == 3
