"""Repetition of n-grams against Counters of the same definitions; the limit of long documents."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jpfm.text import repeats as module
from jpfm.text.repeats import SHARES, repeats


def _slow(text: str) -> dict[str, float]:
    found = dict.fromkeys(SHARES, 0.0)
    for size in range(2, 11):
        counts = Counter(text[k : k + size] for k in range(len(text) - size + 1))
        if not counts:
            continue
        if size < 5:
            found[f"top_{size}gram_share"] = max(counts.values()) / counts.total()
        else:
            found[f"duplicate_{size}gram_share"] = sum(times > 1 for times in counts.values()) / len(counts)
        if size == 5:
            twice = sorted((times for times in counts.values() if times > 1), reverse=True)
            found["frequent_5gram_share"] = sum(twice[: int(math.sqrt(len(counts)))]) / counts.total()
    return found


def _column(rows: list[str]) -> pa.Array:
    """A sliced column: the kernel must honour Arrow's offset."""
    return pa.array(["前の行", *rows, "後の行"], pa.string()).slice(1, len(rows))


def _rows(texts: list[str]) -> list[dict[str, float]]:
    found = repeats(_column(texts))
    return [{name: float(found[name][row]) for name in SHARES} for row in range(len(texts))]


few_letters = st.text(st.sampled_from("あいう\n"), max_size=120)
repeated = st.builds(
    lambda parts, order: "".join(parts[k % len(parts)] for k in order),
    st.lists(st.text(st.sampled_from("山川𠮷A。é\n"), min_size=1, max_size=14), min_size=1, max_size=5),
    st.lists(st.integers(0, 4), max_size=40),
)


@settings(max_examples=400)
@given(st.lists(few_letters | repeated | st.text(max_size=40), max_size=5))
@example(["", "あ", "ああ", "あああ", "ああああ", "あああああ", "あ" * 11, "あ" * 200])
@example(["あいうえおかきくけこ" * 2, "あいうえお" + "かきくけこさ" * 3 + "あいうえおか"])
@example(["\U0010ffff\U0010fffe" * 9, "\x00\x00\x00\x00\x00\x00", "x" * 9 + "\U0010ffff"])
def test_every_share_equals_the_slow_reading(texts: list[str]) -> None:
    assert _rows(texts) == [_slow(text) for text in texts]


def test_long_documents_with_many_branches() -> None:
    """Natural letter frequencies: many 5-grams stand twice and part ways at every depth."""
    draw = np.random.Generator(np.random.Philox(1))
    letters = np.array(list("のにをはたてがとでしれさいるなか。、一人日大年出本中見国言上分生手自行"))
    weights = 1 / np.arange(1, len(letters) + 1)
    texts = ["".join(draw.choice(letters, size, p=weights / weights.sum())) for size in (3000, 20000)]
    assert _rows(texts) == [_slow(text) for text in texts]


def test_equal_rows_give_equal_shares_whatever_stands_between() -> None:
    """Nothing of one document reaches the next through the tables they share."""
    text = "春はあけぼの。やうやう白くなりゆく山際、少し明かりて。" * 3
    between = ["", "あ" * 500, "秋は夕暮れ。" * 40, text[:5]]
    rows = _rows([text, *between, text])
    assert rows[0] == rows[-1] == _slow(text)


def test_of_a_very_long_document_the_beginning_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CHARS", 50)
    text = "夏は夜。月の頃はさらなり。" * 10
    assert _rows([text, text[:50], text[:49]]) == [_slow(text[:50]), _slow(text[:50]), _slow(text[:49])]


@pytest.mark.parametrize(
    ("text", "column", "share"),
    [
        ("とてもとてもとても", "top_3gram_share", 3 / 7),
        ("あいうえお、あいうえお。", "duplicate_5gram_share", 1 / 7),
        ("あいうえお、あいうえお。", "frequent_5gram_share", 2 / 8),
        ("同じ文です。同じ文です。", "duplicate_6gram_share", 1 / 6),
        ("すべて違う文字列だ", "duplicate_5gram_share", 0.0),
    ],
)
def test_japanese_examples(text: str, column: str, share: float) -> None:
    assert repeats(pa.array([text]))[column][0] == pytest.approx(share)
    assert _slow(text)[column] == pytest.approx(share)
