"""Steps one by one: tables of real Japanese text, and what each may not touch."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpfm.data.document import DROPPED, Document, to_batch
from jpfm.data.steps.base import Changed, CorpusStep, Step
from jpfm.data.steps.dedup import ExactDuplicates, FrequentLines, NearDuplicates
from jpfm.data.steps.filters import JapaneseShare, Length, Mojibake, Repetitive, Symbols
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


# --- corpus steps ---------------------------------------------------------------------------------------------------


def _run(step: CorpusStep, folder: Path, *batches: pa.RecordBatch) -> list[Changed]:
    """Sketch, decide and apply over batches that lie in files, as a build does."""
    sketches: list[Path] = []
    shards: list[Path] = []
    for number, batch in enumerate(batches):
        for paths, table, kind in ((sketches, step.sketch(batch), "sketch"), (shards, batch, "documents")):
            paths.append(folder / f"{kind}-{number}.parquet")
            pq.write_table(pa.Table.from_batches([table]), paths[-1])
    decision = step.decide(sketches, shards)
    return [step.apply(batch, decision) for batch in batches]


def test_the_first_of_equal_texts_stays_over_all_shards(tmp_path: Path) -> None:
    one, two = _batch([PROSE, "別", PROSE], "a"), _batch(["別", PROSE, PROSE + "。", ""], "b")
    results = _run(ExactDuplicates(step="exact_duplicates"), tmp_path, one, two)
    assert [r.batch.column("id").to_pylist() for r in results] == [["a/0", "a/1"], ["b/2", "b/3"]]
    assert [(d["id"], d["detail"]) for r in results for d in r.dropped.to_pylist()] == [
        ("a/2", "same as a/0"), ("b/0", "same as a/1"), ("b/1", "same as a/0"),
    ]  # fmt: skip


LONG = "".join(
    f"{n}番目の停留所では、{word}を持った人が降りていった。" for n, word in enumerate("傘本花鍵箱縄皿紙筆糸" * 3)
)


def test_near_copies_go_and_look_alikes_stay(tmp_path: Path) -> None:
    texts = [
        LONG,
        LONG.replace("花", "華"),
        LONG[: len(LONG) // 2],
        "パリの春は寒い。",
        "ハリの春は寒い。",
        "令和5年度の予算",
        "令和6年度の予算",
        LONG.replace("。", "。\n"),
    ]
    (result,) = _run(NearDuplicates(step="near_duplicates"), tmp_path, _batch(texts))
    assert result.batch.column("id").to_pylist() == [f"s/{n}" for n in (0, 2, 3, 4, 5, 6)]
    for row in result.dropped.to_pylist():
        assert (row["reason"], row["detail"], row["threshold"]) == ("near_duplicate", "same as s/0", 0.8)
        assert 0.8 <= row["value"] <= 1


def test_a_chain_of_near_copies_keeps_its_first_and_names_it(tmp_path: Path) -> None:
    chain = [LONG]
    for old, new in (("傘", "笠"), ("本", "帳"), ("花", "華")):
        chain.append(chain[-1].replace(old, new))
    one, two = _batch(chain[:2], "a"), _batch(chain[2:], "b")
    results = _run(NearDuplicates(step="near_duplicates"), tmp_path, one, two)
    assert [r.batch.column("id").to_pylist() for r in results] == [["a/0"], []]


def test_lines_of_many_documents_go_and_every_cut_is_known(tmp_path: Path) -> None:
    footer = "このメールは送信専用のアドレスからお送りしています。"
    texts = [f"件名 {n}\n{PROSE[: 20 + n]}\n\n{footer}\n短い行" for n in range(5)] + [footer, "何もない文書"]
    batch = _batch(texts)
    (result, other) = _run(
        FrequentLines(step="frequent_lines", minimum_documents=5), tmp_path, batch, _batch([footer], "t")
    )
    cleaned = result.batch.column("text").to_pylist()
    assert cleaned[0] == f"件名 0\n{PROSE[:20]}\n\n短い行"
    assert cleaned[5:] == ["", "何もない文書"]
    assert result.batch.num_rows == len(texts)
    assert other.batch.column("text").to_pylist() == [footer]  # another source has its own count
    edits = result.edits.to_pylist()
    assert len(edits) == 6
    for edit in edits:
        text = texts[int(edit["id"][2:])]
        assert text[edit["start"] : edit["start"] + edit["length"]] == footer


def test_a_frequent_line_must_also_be_a_share_of_the_source(tmp_path: Path) -> None:
    footer = "無断転載はご遠慮ください。以上です。"
    batch = _batch([footer + "\n一"] * 3 + [f"別の文書 {n}" for n in range(7)])
    for share, edits in ((0.3, 3), (0.31, 0)):
        step = FrequentLines(step="frequent_lines", minimum_documents=2, minimum_share=share)
        assert _run(step, tmp_path, batch)[0].edits.num_rows == edits


def test_frequent_lines_of_code_stay(tmp_path: Path) -> None:
    footer, include = "無断転載はご遠慮ください。以上です。", "#include <iostream>"
    page = f"説明文\n```cpp\n{include}\nint main() {{}}\n```\n{include}\n{footer}"
    batch = _batch([f"{n}\n{page}" for n in range(4)])
    (result,) = _run(FrequentLines(step="frequent_lines", minimum_documents=3), tmp_path, batch)
    assert result.batch.column("text")[0].as_py() == f"0\n説明文\n```cpp\n{include}\nint main() {{}}\n```"
    (tmp_path / "all").mkdir()
    (result,) = _run(FrequentLines(step="frequent_lines", minimum_documents=3, code=True), tmp_path / "all", batch)
    assert include not in result.batch.column("text")[0].as_py()
