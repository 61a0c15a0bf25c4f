"""Word lists against regular expressions, word n-grams against sets and Counters, segmentation of real sentences."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpfm.text.word_lists import Finder, Found
from jpfm.text.words import segment, word_repeats

letters = st.sampled_from("アスパーあ亜a")
words = st.lists(st.text(letters, min_size=1, max_size=4), min_size=1, max_size=8)


@settings(max_examples=400)
@given(words, st.text(letters, max_size=40))
def test_hits_are_those_of_a_regular_expression(listed: list[str], text: str) -> None:
    found = Finder(listed).find(text)
    assert found.hits == len(re.findall("|".join(listed), text))
    katakana = [word for word in listed if re.fullmatch("[ァ-ヴー]+", word)]
    parts = [word for word in listed if word not in katakana]
    if katakana:
        parts.append(f"(?<![ァ-ヴー])(?:{'|'.join(katakana)})(?![ァ-ヴー])")
    assert found.whole_hits == len(re.findall("|".join(parts), text))
    longest = sorted(set(listed), key=len, reverse=True)
    assert found.chars == sum(map(len, re.findall("|".join(longest), text)))


@pytest.mark.parametrize(
    ("listed", "text", "found"),
    [
        (["アス"], "アスパラガスはアスの倍", Found(2, 1, 4)),
        (["禁句", "禁句集"], "禁句集を見る", Found(1, 1, 3)),
        (["営業時間", "お問い合わせ"], "営業時間のお問い合わせ", Found(2, 2, 10)),
        (["カメラ"], "防犯カメラ、カメラー、ミニカメラ", Found(3, 1, 9)),
        (["が"], "か\u3099", Found(0, 0, 0)),
        (["x"], "", Found(0, 0, 0)),
    ],
)
def test_words_of_a_list(listed: list[str], text: str, found: Found) -> None:
    assert Finder(listed).find(text) == found


@pytest.mark.parametrize("listed", [[], ["あ", ""]])
def test_a_list_needs_words(listed: list[str]) -> None:
    with pytest.raises(ValueError, match="needs words"):
        Finder(listed)


def _slow(listed: list[str]) -> tuple[list[int], list[int]]:
    top, repeated = [], []
    for size in (2, 3, 4):
        grams = [" ".join(listed[k : k + size]) for k in range(len(listed) - size + 1)]
        gram, times = Counter(grams).most_common(1)[0] if grams else ("", 0)
        top.append(len(gram) * times)
    for size in range(5, 11):
        seen: set[str] = set()
        chars = place = 0
        while place + size <= len(listed):
            gram = "".join(listed[place : place + size])
            chars += len(gram) if gram in seen else 0
            place += size if gram in seen else 1
            seen.add(gram)
        repeated.append(chars)
    return top, repeated


@settings(max_examples=400)
@given(st.lists(st.sampled_from(["の", "猫", "のの", "とても", "良い", "𠮷"]), max_size=60))
def test_word_repeats_equal_the_slow_reading(listed: list[str]) -> None:
    """のの + の and の + のの are one string: equal as 5-grams, different as 2-grams."""
    found = word_repeats(listed)
    assert (found.top.tolist(), found.repeated.tolist()) == _slow(listed)


@pytest.mark.parametrize("segmenter", ["fugashi", "sudachi"])
def test_words_have_no_white_space_and_give_back_the_text(segmenter: str) -> None:
    if segmenter == "sudachi":
        pytest.importorskip("sudachipy", reason="SudachiPy is not installed")
    text = "　吾輩は猫である。\n\n名前は まだ\t無い。 😀\r\n"
    found = segment(text, segmenter)  # type: ignore[arg-type]
    assert "".join(found) == "".join(text.split())
    assert {"吾輩", "は", "猫", "名前", "無い"} <= set(found)
    assert segment(" \n　", segmenter) == segment("", segmenter) == []  # type: ignore[arg-type]


def test_long_text_is_cut_where_sudachi_allows_and_nothing_is_lost() -> None:
    pytest.importorskip("sudachipy", reason="SudachiPy is not installed")
    text = "東京都の図書館で本を読んだ。" * 1200
    assert len(text.encode()) > 50_000
    assert "".join(segment(text, "sudachi")) == text
