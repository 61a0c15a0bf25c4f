"""The language of hard items, of real texts, and the filter over it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.language_items import ITEMS

from jpfm.core.artifact import Artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.data.sources.base import Piece
from jpfm.data.steps.language import Language, OnlyLanguage
from jpfm.text.language import HANGUL, KANA, KANJI, LATIN, NUM_KINDS, OTHER, count_letters, judge


def _measure(texts: list[str]) -> tuple[list[str], list[float]]:
    found = Language(step="language").measure(pa.record_batch([pa.array(texts, pa.string())], names=["text"]))
    return found["lang_detected"].to_pylist(), found["lang_score"].to_pylist()


def test_hard_items() -> None:
    """Figures as measured; fastText's lid.176 alone is right on 167 of these 197."""
    found, _ = _measure([text for text, _, _ in ITEMS])
    right, total = Counter[str](), Counter[str]()
    for (_, language, kind), answer in zip(ITEMS, found, strict=True):
        total[kind] += 1
        right[kind] += answer == language
    assert sum(total.values()) == 197
    assert right["kanji only"] >= 81
    assert total["kanji only"] == 84
    assert right["simplified"] >= 39
    assert right["traditional"] >= 25
    for kind in ("kana", "some kana", "Korean", "English"):
        assert right[kind] == total[kind], kind
    assert sum(right.values()) >= 191


def test_the_model_alone_does_worse() -> None:
    from jpfm.data.steps.language import _votes

    votes = [_votes(text) for text, _, _ in ITEMS]
    alone = [max(vote.items(), key=lambda item: item[1])[0] for vote in votes]
    assert sum(answer == language for answer, (_, language, _) in zip(alone, ITEMS, strict=True)) < 180


SURE = {
    "国境の長いトンネルを抜けると雪国であった。": ("ja", 0.99),
    "ｺﾝﾆﾁﾊ": ("ja", 0.9),
    "이용 안내를 읽어 주십시오.": ("ko", 0.99),
    "本公司专业从事机械设备的研发、生产与销售，产品畅销全国各地。": ("zh", 0.99),
    "我們公司專業從事機械設備的研發與銷售，產品暢銷全國各地。": ("zh", 0.99),
    "The annual report was published in March.": ("en", 0.8),
    "Der Vertrag tritt am ersten Januar in Kraft.": ("de", 0.8),
    "Привет, как у вас дела сегодня?": ("ru", 0.8),
    "สวัสดีครับ ยินดีต้อนรับ": ("th", 0.8),
}


@pytest.mark.parametrize(("text", "expected"), SURE.items())
def test_plain_cases(text: str, expected: tuple[str, float]) -> None:
    (language,), (score,) = _measure([text])
    assert language == expected[0]
    assert score >= expected[1]


@pytest.mark.parametrize("text", ["", "2024/05/06 12:00", "★☆★ ！？", "🍣", "\n\n"])
def test_without_a_letter_nobody_knows(text: str) -> None:
    assert _measure([text]) == (["und"], [0.0])


def test_letters_are_counted_by_script() -> None:
    (row,) = count_letters(pa.array(["あｱー・ Ａé 漢々 한 Жω 𠮷 说說円的1！"]))
    assert {kind: int(row[kind]) for kind in (KANA, HANGUL, LATIN, OTHER)} == {KANA: 3, HANGUL: 1, LATIN: 2, OTHER: 2}
    assert row[KANJI:].tolist() == [2, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1]  # 々𠮷, 说, 說, 円, 漢, 的


@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_has_a_language_and_a_score(texts: list[str]) -> None:
    encodable = [text.encode("utf-8", "replace").decode() for text in texts]
    languages, scores = _measure(encodable)
    assert all(languages)
    assert all(0 <= score <= 1 for score in scores)
    counts = count_letters(pa.array(encodable, pa.string()))
    assert counts.shape == (len(texts), NUM_KINDS)
    assert (counts.sum(axis=1) <= [len(text) for text in encodable]).all()


def test_evidence_adds_up_over_a_text() -> None:
    """Twice the text is twice the evidence, and a kana never counts against Japanese."""
    one, two, more = judge(count_letters(pa.array(["会社概要", "会社概要" * 2, "会社の概要"]))).evidence
    assert two == pytest.approx(2 * one)
    assert more > one


def test_the_filter_drops_other_languages_and_low_scores(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    mixed = "関数 " + "int main argc argv return printf hello world " * 3
    files = {"a.txt": "これは日本語の文章です。", "b.txt": "This is an English sentence.", "c.txt": "产品说明书"}
    files |= {"d.txt": "123", "e.txt": mixed}
    steps = ["language", {"step": "only_language", "minimum": 0.9}]
    corpus = build(make_recipe(files, steps), tmp_path / "out")
    assert isinstance(corpus, Artifact)
    assert corpus.manifest.stats["total"]["kept"] == 1
    assert corpus.manifest.stats["total"]["dropped"] == {"only_language:language": 3, "only_language:language_score": 1}
    names = ["id", "source", "text", "url", "lang_detected", "lang_score"]
    columns = [["1", "2", "3"], ["s"] * 3, [""] * 3, [""] * 3, ["ja", "en", "zh"], [0.9, 0.4, 1.0]]
    batch = pa.record_batch([pa.array(column) for column in columns], names=names)
    rows = OnlyLanguage(step="only_language", languages=("ja", "en"), minimum=0.5).run(batch)
    assert rows.batch.column("id").to_pylist() == ["1"]
    assert rows.dropped.select(["id", "reason", "value", "detail"]).to_pylist() == [
        {"id": "3", "reason": "language", "value": 1.0, "detail": "zh"},
        {"id": "2", "reason": "language_score", "value": 0.4, "detail": ""},
    ]


def test_every_aozora_work_is_japanese(shared_data: Path, make_source: Callable[..., Any]) -> None:
    path = shared_data / "raw" / "aozora" / "000119_中島敦.tar.gz"  # full of Chinese names and words
    texts = [doc.text for doc in make_source("aozora").documents(Piece(str(path), path.name, 0))]
    languages, scores = _measure(texts)
    assert set(languages) == {"ja"}
    assert np.min(scores) > 0.95
