"""The step over batches: columns, edits, actions, drops, and recall and precision on the generated test set."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pydantic
import pytest
from tests.data.pii_items import HELD_OUT, Item, make_items

from jpfm.data.document import DROPPED, EDITS, Document, to_batch
from jpfm.data.steps.base import Changed
from jpfm.data.steps.pii import SPANS, MaskPersonalData
from jpfm.text.pii.find import CLASSES, Rules, find


def _run(texts: Sequence[str], **settings: Any) -> Changed:
    batch = to_batch([Document(f"s/{n}", text) for n, text in enumerate(texts)], "s", "CC0-1.0")
    return MaskPersonalData(step="mask_personal_data", **settings).run(batch)


TEXTS = [
    "なにもない",
    "連絡は03-1234-5678かa@example.jpへ。",
    "氏名：山田 太郎\n個人番号：123456789018",
    "電話090-1234-5678、090-1234-5679、090-1234-5670",
]


def test_tags_columns_and_edits_agree() -> None:
    result = _run(TEXTS)
    masked = result.batch.column("text").to_pylist()
    assert masked == [
        "なにもない",
        "連絡は<電話番号>か<メールアドレス>へ。",
        "氏名：<氏名>\n個人番号：<個人番号>",
        "電話<電話番号>、<電話番号>、<電話番号>",
    ]
    assert result.batch.column("pii_count").to_pylist() == [0, 2, 2, 3]
    assert result.batch.schema.field("pii_spans").type == SPANS
    tags = [
        [text[s["start"] : s["start"] + s["length"]] for s in spans]
        for text, spans in zip(masked, result.batch.column("pii_spans").to_pylist(), strict=True)
    ]
    assert tags == [[], ["<電話番号>", "<メールアドレス>"], ["<氏名>", "<個人番号>"], ["<電話番号>"] * 3]
    assert result.edits.schema == EDITS
    old = {f"s/{n}": text for n, text in enumerate(TEXTS)}
    cut = [old[e["id"]][e["start"] : e["start"] + e["length"]] for e in result.edits.to_pylist()]
    assert cut[:4] == ["03-1234-5678", "a@example.jp", "山田 太郎", "123456789018"]
    assert Counter(result.edits["kind"].to_pylist()) == {"phone": 4, "email": 1, "person_name": 1, "my_number": 1}
    assert result.edits["before"].null_count == result.edits["after"].null_count == result.edits.num_rows
    assert result.dropped.num_rows == 0


def test_originals_are_kept_only_when_asked() -> None:
    rows = _run(TEXTS, keep_originals=True).edits.to_pylist()
    assert (rows[0]["before"], rows[0]["after"]) == ("03-1234-5678", "<電話番号>")


def test_only_the_asked_classes_are_touched() -> None:
    result = _run(TEXTS, classes=("phone",), tag="ascii")
    assert result.batch.column("text").to_pylist()[1:3] == ["連絡は<PHONE>かa@example.jpへ。", TEXTS[2]]


def test_each_class_may_have_its_own_action() -> None:
    result = _run(TEXTS, action="fake", action_by_class={"email": "remove", "my_number": "mask"}, seed=5)
    texts = result.batch.column("text").to_pylist()
    assert texts[1].startswith("連絡は03-0")
    assert texts[1].endswith("かこちらのアドレスへ。")
    assert texts[2].endswith("個人番号：<個人番号>")
    assert "山田" not in texts[2]
    assert len({texts[3][2:15], texts[3][16:29], texts[3][30:]}) == 3
    assert (
        texts
        == _run(TEXTS, action="fake", action_by_class={"email": "remove", "my_number": "mask"}, seed=5)
        .batch["text"]
        .to_pylist()
    )


def test_documents_are_dropped_by_class_or_by_number_with_their_places() -> None:
    result = _run(TEXTS, action_by_class={"my_number": "drop"}, drop_above=2)
    assert result.batch.column("id").to_pylist() == ["s/0", "s/1"]
    assert result.batch.column("pii_count").to_pylist() == [0, 2]
    assert result.dropped.schema == DROPPED
    rows = {row["id"]: row for row in result.dropped.to_pylist()}
    assert (rows["s/2"]["reason"], rows["s/2"]["value"], rows["s/2"]["threshold"]) == ("pii_my_number", 1.0, None)
    assert (rows["s/3"]["reason"], rows["s/3"]["value"], rows["s/3"]["threshold"]) == ("pii_too_many", 3.0, 2.0)
    assert rows["s/2"]["text"] == TEXTS[2]
    assert rows["s/2"]["detail"].startswith('[{"class": "person_name", "start": 3, "length": 5}')
    assert {row["id"] for row in result.edits.to_pylist()} == {"s/1"}


def test_a_corporate_number_stays_unless_asked() -> None:
    text = "法人番号7000012050002"
    assert _run([text]).batch["text"].to_pylist() == [text]
    assert _run([text], classes=("corporate_number",)).batch["text"].to_pylist() == ["法人番号<法人番号>"]


@pytest.mark.parametrize("texts", [[], [""], ["", "a@example.jp"]])
def test_empty_batches_and_texts_have_the_same_columns(texts: list[str]) -> None:
    result = _run(texts)
    assert result.batch.schema == _run(TEXTS).batch.schema
    assert result.batch.num_rows == len(texts)


def test_an_action_for_a_class_that_is_not_looked_for_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="'email' is not among `classes`"):
        MaskPersonalData(step="mask_personal_data", classes=("phone",), action_by_class={"email": "drop"})


# --- recall and precision -------------------------------------------------------------------------------------------


def _rates(items: list[Item]) -> dict[str, tuple[float, float]]:
    """Recall and precision of whole spans by class."""
    found = dict(find(pa.array([item.text for item in items]), Rules(classes=CLASSES)))
    right, wanted, given = Counter[str](), Counter[str](), Counter[str]()
    for row, item in enumerate(items):
        mine = {(s.kind, s.start, s.length) for s in found.get(row, [])}
        wanted.update(kind for kind, _, _ in item.spans)
        given.update(kind for kind, _, _ in mine)
        right.update(kind for kind, _, _ in mine & set(item.spans))
    return {kind: (right[kind] / wanted[kind], right[kind] / given[kind]) for kind in CLASSES}


def test_the_set_is_large_and_its_spans_hold_what_they_say() -> None:
    items = make_items(seed=3)
    assert len(items) >= 5000
    assert items == make_items(seed=3)
    assert {kind for item in items for kind, _, _ in item.spans} == set(CLASSES)
    assert all(0 <= start < start + length <= len(item.text) for item in items for _, start, length in item.spans)
    assert sum(not item.spans for item in items) >= 1500


@pytest.mark.parametrize(("seed", "frames"), [(2026, None), (2027, HELD_OUT)], ids=["frames", "held-out frames"])
def test_every_class_is_found_and_little_else(seed: int, frames: dict[str, list[str]] | None) -> None:
    items = make_items(seed=seed, positives=100, negatives=800, **({"frames": frames} if frames else {}))
    for kind, (recall, precision) in _rates(items).items():
        floor = 0.97 if kind in ("person_name", "postal_address") else 0.98
        assert recall >= floor, (kind, recall)
        assert precision >= 0.98, (kind, precision)


def test_titles_are_masked_too() -> None:
    documents = [
        Document("s/0", "本文である。", title="山田様宛 taro@example.co.jp の件"),
        Document("s/1", "本文である。", title="お知らせ"),
    ]
    batch = to_batch(documents, "s", "CC0-1.0")
    changed = MaskPersonalData(step="mask_personal_data", action_by_class={"email": "drop"}).run(batch)
    titles = changed.batch.column("title").to_pylist()
    assert titles[1] == "お知らせ"
    assert "taro@example.co.jp" not in titles[0]
    assert changed.batch.column("pii_count").to_pylist() == [0, 0]  # of the text
    assert "title_email" in changed.edits.column("kind").to_pylist()
