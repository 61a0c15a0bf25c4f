"""The measuring pass against slow readings of the same definitions, and a table of Japanese text."""

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jpfm.text import measure as module
from jpfm.text.character_sets import POINTS, SETS, partition
from jpfm.text.measure import FIELDS, measure

MARKUP = re.compile(r"https?://[!-;=?-~]*|<[A-Za-z/!][^<>\n]*>|\[\[|\]\]|\{\{|\}\}")
LIST = re.compile(r"[ \t\r\u3000]*(?:[-*+・•■□▪◆◇○◎●※]|[0-9]{1,3}[.)])")
SENTENCE = re.compile("[^。．！？!?]+[。．！？!?]?")
alphabet = st.sampled_from("あいアー々亜𠮷Az1９é、。．！？!?・…..  　\t\r\x0b\u2028\u00a0\n\n-*■<>/ab[]{}h:👍")
pieces = st.sampled_from(
    ["http://a.jp/x", "https://", "http:/", "<br>", "<a href='x'>", "</p", "[[", "]]", "{{", "}}", "12. ", "1234) ",
     "3)", "...", "…", "・", "\n", "。", "吾輩は猫である。", "https://例", "名前はまだ無い", "<!-- -->",
     "hhttps://x>", "...\n"]
)  # fmt: skip
texts = st.lists(st.lists(alphabet | pieces, max_size=40).map("".join), max_size=5)


def _again(items: list[str]) -> tuple[int, int]:
    counts = Counter(items)
    return len(items) - len(counts), sum((times - 1) * len(item) for item, times in counts.items())


def _slow(text: str) -> dict[str, int]:
    lines = text.split("\n")
    split = [SENTENCE.findall(line) for line in lines]
    sentences = list(itertools.chain.from_iterable(split))
    filled = [line for line in lines if line.strip(" \t\r\u3000")]
    found = {
        "chars": len(text),
        "lines": len(lines),
        "filled_lines": len(filled),
        "short_lines": sum(len(line) <= 10 for line in lines),
        "list_lines": sum(bool(LIST.match(line)) for line in filled),
        "ellipsis_lines": len(re.findall(r"(?:\.{3}|…)\n", text)),
        "longest_run": max((len(list(group)) for _, group in itertools.groupby(text)), default=0),
        "chars_before_kana": len(re.split("[ぁ-んァ-ン]", text, maxsplit=1)[0]),
        "markup_chars": sum(map(len, MARKUP.findall(text))),
        "sentences": len(sentences),
        "sentence_chars": sum(map(len, sentences)),
        "longest_sentence": max(map(len, sentences), default=0),
        "ellipsis_sentences": sum(sentence.strip().endswith(("・", "…")) for sentence in sentences),
    }
    found["repeated_sentences"], found["repeated_sentence_chars"] = _again(sentences)
    found["repeated_paragraphs"], found["repeated_paragraph_chars"] = _again(["".join(line) for line in split])
    tests: dict[str, Any] = {
        "whitespace": str.isspace,
        "hiragana": lambda char: "ぁ" <= char <= "ゖ",
        "katakana": lambda char: "ァ" <= char <= "ヺ",
        "kanji": lambda char: char in "々〇〻" or "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff",
        "rare_kanji": lambda char: 0x20000 <= ord(char) <= 0x3FFFF,
        "stops": "。．！？".__contains__,
        "commas": "、，".__contains__,
        "kuten": "。".__contains__,
        "kana": re.compile("[ぁ-んァ-ン]").match,
        "sentence_ends": "。．！？!?".__contains__,
        "line_end": "\n".__contains__,
        "markup_starts": "h<[]{}".__contains__,
    }
    for name, test in tests.items():
        found[name] = sum(bool(test(char)) for char in text)
    return found


def _column(rows: list[str]) -> pa.Array:
    """A sliced column: the kernel must honour Arrow's offset."""
    return pa.array(["前の行。", *rows, "後の行"], pa.string()).slice(1, len(rows))


def _check(rows: list[str]) -> None:
    found = measure(_column(rows))
    for row, text in enumerate(rows):
        expected = _slow(text)
        assert {name: int(found[name][row]) for name in expected} == expected, text
        assert set(found) == set(expected) | {"special"}


@settings(max_examples=400)
@given(texts)
@example(
    [
        "",
        "\n",
        "\n\n\n",
        "。",
        "。。！",
        "  \n　",
        "あ",
        "…\n",
        "..",
        "...\n...",
        "....\n",
        "-",
        "1.",
        "h",
        "<",
        "https",
    ]
)
@example(
    ["\r\n同じ行\r\n同じ行\r\n", "同じ行\n同じ行。\n同じ行。。\n", "\x1c…\x85\u2029\n", "あ" * 300 + "\n" + "い" * 300]
)
def test_every_count_equals_the_slow_reading(rows: list[str]) -> None:
    _check(rows)


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_unicode_text(rows: list[str]) -> None:
    _check(rows)


def test_many_documents_share_the_tables() -> None:
    texts = [f"{n % 7}番の文です。同じ文。\n同じ行です。\n" * (n % 5 + 1) for n in range(400)]
    _check(texts)


def test_of_very_many_lines_repeated_ones_are_looked_for_among_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 3)
    found = measure(_column(["あ。\nい。\nあ。\nあ。\nあ。", "う。\nう。"]))
    assert found["lines"].tolist() == [5, 2]
    assert found["sentence_chars"].tolist() == [10, 4]
    assert found["repeated_sentences"].tolist() == found["repeated_paragraphs"].tolist() == [1, 1]


def test_the_classes_partition_all_code_points() -> None:
    parts = partition()
    assert parts.class_of.shape == (POINTS,)
    assert parts.members.shape == (len(np.unique(parts.class_of)), len(SETS))
    assert len({tuple(row) for row in parts.members.tolist()}) == len(parts.members)
    spaces = parts.members[parts.class_of, SETS.index("whitespace")].astype(bool)
    assert [chr(point) for point in np.flatnonzero(spaces)] == [chr(p) for p in range(POINTS) if chr(p).isspace()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("吾輩は猫である。名前はまだ無い。", {"sentences": 2, "longest_sentence": 8, "hiragana": 8, "kanji": 6}),
        ("本当！？まさか!", {"sentences": 2, "sentence_chars": 7, "stops": 2}),
        ("続きを読む…", {"ellipsis_sentences": 1, "ellipsis_lines": 0}),
        ("続きを読む...\n続きを読む…\n", {"ellipsis_sentences": 1, "ellipsis_lines": 2, "lines": 3}),
        ("ホーム\n会社概要\n採用\n", {"short_lines": 4, "filled_lines": 3}),
        ("・一つ\n　■二つ\n3. 三つ\n- 四つ\n2024年", {"list_lines": 4}),
        ("詳細は<b>こちら</b>https://example.jp/a?b=1 まで", {"markup_chars": 31}),
        ("[[日本|ニホン]]は{{国}}である", {"markup_chars": 8}),
        ("1 < 2 であり 3 > 2 である", {"markup_chars": 0}),
        ("あ" + "ー" * 30, {"longest_run": 30, "katakana": 0}),
        ("𠮷野家の𩸽", {"rare_kanji": 2, "kanji": 2, "chars": 5}),
        ("ABC東京タワー", {"chars_before_kana": 5}),
        ("我们讨论", {"chars_before_kana": 4, "kana": 0}),
        ("１２３士★、", {"special": 4}),
    ],
)
def test_japanese_examples(text: str, expected: dict[str, int]) -> None:
    found = measure(pa.array([text]))
    assert {name: int(found[name][0]) for name in expected} == expected
    assert set(FIELDS) < set(found)


def test_no_rows() -> None:
    assert all(len(values) == 0 for values in measure(pa.array([], pa.string())).values())
