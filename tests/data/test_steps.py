"""Steps one by one: tables of real Japanese text, and what each may not touch."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from jpfm.data.document import DROPPED, Document, to_batch
from jpfm.data.steps.base import Changed, Step
from jpfm.data.steps.exact_duplicates import ExactDuplicates
from jpfm.data.steps.filters import JapaneseShare, Length, Mojibake, Repetitive, Symbols
from jpfm.data.steps.near_duplicates import NearDuplicates
from jpfm.data.steps.normalize import Normalize
from jpfm.data.steps.pii import MaskPersonalData
from jpfm.data.steps.signals import Characters, Repetition
from jpfm.data.steps.text import Split


def _batch(texts: Sequence[str], source: str = "s") -> pa.RecordBatch:
    return to_batch([Document(f"{source}/{n}", text) for n, text in enumerate(texts)], source, "CC0-1.0")


def _after(texts: Sequence[str], *steps: Step) -> list[Changed]:
    """The result of each step, one after the other."""
    results, batch = [], _batch(texts)
    for step in steps:
        results.append(step.run(batch))
        batch = results[-1].batch
    return results


def _reasons(texts: Sequence[str], *steps: Step) -> dict[int, str]:
    dropped = _after(texts, Characters(step="characters"), Repetition(step="repetition"), *steps)[-1].dropped
    assert dropped.schema == DROPPED
    return {int(row["id"][2:]): row["reason"] for row in dropped.to_pylist()}


# --- measures and thresholds ----------------------------------------------------------------------------------------

PROSE = "朝の市場は八時に始まる。魚を並べる人の声が高く、氷の匂いがした。わたしは籠を持って端から歩いた。"
ENGLISH = "The market opens at eight in the morning and closes at noon."
CHINESE = "早上八點市場開門，賣魚的人聲音很大，空氣中有冰的味道。我提著籃子從頭走到尾。"
MOJIBAKE = PROSE.encode().decode("cp932", "replace")
PRICES = "001 / 8327-54-C / ¥2,060 / 24 / ¥49,440\n" * 5
SPAM = "格安引越し 最安値 公式通販 今だけ半額 送料無料 口コミ一位 ポイント10倍\n" * 8


@pytest.mark.parametrize(
    ("step", "reasons"),
    [
        (JapaneseShare(step="japanese_share"), {1: "not_japanese", 2: "too_little_kana", 4: "not_japanese"}),
        (Mojibake(step="mojibake"), {3: "mojibake"}),
        (Symbols(step="symbols"), {4: "mostly_symbols"}),
        (Repetitive(step="repetitive"), {4: "repetitive", 5: "repetitive"}),
        (Length(step="length", minimum_chars=45, maximum_chars=120), {2: "too_short", 4: "too_long", 5: "too_long"}),
    ],
)  # fmt: skip
def test_each_filter_names_what_it_drops(step: Step, reasons: dict[int, str]) -> None:
    texts = [PROSE, ENGLISH, CHINESE, MOJIBAKE, PRICES, SPAM]
    found = _reasons(texts, step)
    if step.name == "length":
        found.pop(3, None)
    assert found == reasons


def test_a_drop_says_value_and_threshold() -> None:
    dropped = _after(["短い", PROSE], Characters(step="characters"), Length(step="length", minimum_chars=10))[
        -1
    ].dropped
    (row,) = dropped.to_pylist()
    assert (row["id"], row["step"], row["value"], row["threshold"], row["text"]) == ("s/0", "length", 2.0, 10.0, "短い")


@pytest.mark.parametrize("texts", [[], [""], ["", PROSE]])
def test_steps_take_empty_batches_and_empty_texts(texts: list[str]) -> None:
    steps = [
        Normalize(step="normalize"), Characters(step="characters"), Repetition(step="repetition"),
        MaskPersonalData(step="mask_personal_data"), Mojibake(step="mojibake"), Symbols(step="symbols"),
        JapaneseShare(step="japanese_share"), Repetitive(step="repetitive"), Split(step="split"),
    ]  # fmt: skip
    for result in _after(texts, *steps):
        assert result.batch.num_rows + result.dropped.num_rows <= len(texts)
    for corpus_step in (ExactDuplicates(step="exact_duplicates"), NearDuplicates(step="near_duplicates")):
        assert corpus_step.sketch(_batch(texts)).num_rows == len(texts)


def test_documents_are_held_out_by_their_text_alone() -> None:
    texts = [f"第{n}号の文書。{PROSE}" for n in range(400)]
    batches = [
        _after(order, Characters(step="characters"), Split(step="split", held_out_share=0.1))[-1].batch
        for order in (texts, texts[::-1])
    ]
    found = [
        {t for t, s in zip(b["text"].to_pylist(), b["split"].to_pylist(), strict=True) if s == "held_out"}
        for b in batches
    ]
    assert found[0] == found[1]
    assert 20 <= len(found[0]) <= 65
    other = _after(texts, Characters(step="characters"), Split(step="split", held_out_share=0.1, seed=1))[-1].batch
    assert other["split"].to_pylist() != batches[0]["split"].to_pylist()
    none = _after(texts, Characters(step="characters"), Split(step="split", held_out_share=0.9, max_held_out_chars=9))[
        -1
    ]
    assert set(none.batch["split"].to_pylist()) == {"train"}
