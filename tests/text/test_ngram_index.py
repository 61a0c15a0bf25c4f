"""The search against the definition in plain Python, and what an index leaves out."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text import ngram_index
from jpfm.text.dedup_key import KeyRules, keys

ALL = KeyRules(width=False, case=False, spaces=False, punctuation=False)  # the key is the text itself


def _find(
    texts: Sequence[str], documents: Sequence[str], size: int, share: float, common_share: float = 1.0
) -> list[tuple[int, int, float, int, int]]:
    index = ngram_index.build(
        keys(pa.array(texts, pa.string()), ALL), np.zeros(len(texts), dtype=np.int32), size=size,
        common_share=common_share,
    )  # fmt: skip
    found = ngram_index.search(index, keys(pa.array(documents, pa.string()), ALL), np.full(len(texts), share))
    return list(zip(*(column.tolist() for column in found), strict=True))


def _plainly(
    texts: Sequence[str], documents: Sequence[str], size: int, share: float
) -> list[tuple[int, int, float, int, int]]:
    """The same by sets of strings."""
    found = []
    sets = [{text[at : at + size] for at in range(len(text) - size + 1)} for text in texts]
    sets = [{gram for gram in grams if len(set(gram)) >= size // 2} for grams in sets]
    holders = Counter(gram for grams in sets for gram in grams)
    sets = [{gram for gram in grams if holders[gram] <= max(10, len(texts))} for grams in sets]
    for row, document in enumerate(documents):
        for number, grams in enumerate(sets):
            places = [at for at in range(len(document) - size + 1) if document[at : at + size] in grams]
            runs: list[list[int]] = []
            for at in places:
                if runs and at - runs[-1][-1] <= size + len(grams) // 2:
                    runs[-1].append(at)
                else:
                    runs.append([at])
            for run in runs:
                part = len({document[at : at + size] for at in run}) / len(grams)
                if part >= share:
                    found.append((row, number, part, run[0], run[-1] + size))
    return found


_letters = st.text("甲乙丙丁", min_size=0, max_size=30)


@given(st.lists(_letters, min_size=1, max_size=6), st.lists(_letters, max_size=5), st.data())
def test_the_search_is_its_definition(texts: list[str], documents: list[str], data: st.DataObject) -> None:
    documents = [data.draw(st.sampled_from([one, one + data.draw(st.sampled_from(texts)) + one])) for one in documents]
    size, share = data.draw(st.integers(4, 7)), data.draw(st.sampled_from([0.2, 0.5, 0.7, 1.0]))
    assert _find(texts, documents, size, share) == _plainly(texts, documents, size, share)


def test_a_long_text_is_found_where_it_stands_and_again() -> None:
    text = "吾輩は猫である名前はまだ無いどこで生れたか頓と見当がつかぬ"
    document = "前置き" + text + "間に長い別の話が続くのでこれは別の場所だと数えられるはずの文章である。" * 2 + text
    assert [(share, start, end) for _, _, share, start, end in _find([text], [document], 13, 0.7)] == [
        (1.0, 3, 3 + len(text)),
        (1.0, len(document) - len(text), len(document)),
    ]


def test_scattered_pieces_are_no_occurrence() -> None:
    text = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめも"
    far = "その間には関係のない話が長く続き読む人はもう前の部分を覚えていないほどである" * 3
    pieces = [text[:18], text[10:28], text[18:]]
    assert _find([text], ["".join(pieces)], 13, 0.7) != []
    assert _find([text], [far.join(pieces)], 13, 0.7) == []


@pytest.mark.parametrize("text", ["0" * 40, "あははははははははははははははは", "300000000円000000000", ""])
def test_what_says_nothing_is_not_indexed(text: str) -> None:
    assert _find([text], [text * 3], 13, 0.1) == []


def test_a_phrase_of_many_texts_does_not_count_but_what_follows_it_does() -> None:
    subjects = ["鉄道の歴史", "海流の向き", "星の明るさ", "土の中の虫", "紙の作り方", "橋のかけ方"] * 2
    texts = [f"次の説明のうち最も適切なものを一つ選べ{subject}について第{n}回" for n, subject in enumerate(subjects)]
    instruction = "次の説明のうち最も適切なものを一つ選べ"
    assert (
        len({number for _, number, *_ in _find(texts, [instruction], 13, 0.2)}) == 12
    )  # 10 is the least that is common
    assert _find(texts, [instruction], 13, 0.2, common_share=0.005) == []
    assert {number for _, number, share, *_ in _find(texts, [texts[3]], 13, 1.0, common_share=0.005)} == {3}


def test_documents_without_text_and_an_index_without_texts() -> None:
    assert _find([""], ["本文がある文書です本文がある文書です"], 13, 0.5) == []
    assert _find(["本文がある文書です本文がある文書です"], [], 13, 0.5) == []
    assert _find(["本文がある文書です本文がある文書です"], ["", "短い"], 13, 0.5) == []


def test_a_large_index_finds_its_own_texts_and_no_other() -> None:
    draw = np.random.Generator(np.random.Philox(7))
    made = draw.integers(0x4E00, 0x9000, (20_000, 24)).astype(np.uint32)
    texts = ["".join(map(chr, row)) for row in made.tolist()]
    found = _find(texts[:10_000], texts[9_000:], 13, 0.5)
    assert [(row, number, start, end) for row, number, _, start, end in found] == [
        (row, 9_000 + row, 0, 24) for row in range(1_000)
    ]
