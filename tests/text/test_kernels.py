"""Numba kernels against slow readings of the same definitions in plain Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text import kernels
from jpfm.text.kernels import CLASSES

WHITE = " \t\n\v\f\r\u3000"
alphabet = st.sampled_from("あいうアーカンｶﾟ亜々〇〆𠮷A z９Ｚé×①、。・「」～…👍縺繧ãâæ\ufffd\x85\n\u3000\xa0\t0")
texts = st.lists(st.text(alphabet | st.characters(exclude_categories=["Cs"]), max_size=60), max_size=6)


def _column(rows: list[str]) -> pa.Array:
    """A sliced column: the kernels must honour Arrow's offset."""
    return pa.array(["前の行", *rows, "後の行"], pa.string()).slice(1, len(rows))


def _class(char: str) -> str:
    point = ord(char)
    if "ぁ" <= char <= "\u309f":
        return "hiragana"
    if ("ァ" <= char <= "ヿ" and char != "・") or "ｦ" <= char <= "ﾟ":
        return "katakana"
    if (
        "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf" or "\uf900" <= char <= "\ufaff"
        or 0x20000 <= point <= 0x3FFFF or char in "々〆〇〻"
    ):  # fmt: skip
        return "kanji"
    if char in "0123456789" or "０" <= char <= "９":
        return "digits"
    if (char.isascii() and char.isalpha()) or "Ａ" <= char <= "ｚ" or "À" <= char <= "\u024f":
        return "latin"
    return "spaces" if char in WHITE + "\xa0" else "punctuation"


def _counts(text: str) -> dict[str, int]:
    found = dict.fromkeys(CLASSES, 0)
    for char in text:
        found["chars"] += 1
        found[_class(char)] += 1
        found["mojibake"] += char in "\ufffd縺繧繝譁蜷ãâæ" or "｡" <= char <= "ﾟ" or "\x80" <= char <= "\x9f"
    found["lines"] = text.count("\n") + 1 if text else 0
    return found


@given(texts)
def test_character_counts_equal_the_slow_reading(rows: list[str]) -> None:
    counts = kernels.count_characters(_column(rows))
    assert [dict(zip(CLASSES, row, strict=True)) for row in counts.tolist()] == [_counts(text) for text in rows]


@pytest.mark.parametrize(
    "point", [0x4E00, 0x9FFF, 0x3041, 0x309F, 0x30A1, 0x30FB, 0x30FF, 0xFF66, 0xFF9F, 0x1F, 0x7F, 0x10FFFF]
)
def test_the_edges_of_the_classes(point: int) -> None:
    counts = kernels.count_characters(_column([chr(point)]))[0]
    assert dict(zip(CLASSES, counts.tolist(), strict=True)) == _counts(chr(point))


def _ngrams(text: str, size: int) -> list[str]:
    dense = "".join(char for char in text if char not in WHITE)
    return [dense[i : i + size] for i in range(len(dense) - size + 1)] or [dense] * bool(dense)


prose = st.text(st.sampled_from("あいうえおかき、。\n 　"), max_size=80)


@given(st.lists(prose, max_size=5), st.integers(2, 12))
def test_repeated_share_equals_the_slow_reading(rows: list[str], size: int) -> None:
    found = kernels.repeated_ngram_share(_column(rows), size=size)
    for text, share in zip(rows, found, strict=True):
        grams = _ngrams(text, size)
        expected = (len(grams) - len(set(grams))) / len(grams) if len(grams) > 1 else 0.0
        assert share == pytest.approx(expected)


@given(st.lists(prose, min_size=2, max_size=4), st.integers(2, 6))
def test_jaccard_equals_the_slow_reading(rows: list[str], size: int) -> None:
    left, right = (
        np.array(side, dtype=np.int64)
        for side in zip(*[(i, j) for i in range(len(rows)) for j in range(len(rows))], strict=True)
    )
    found = kernels.jaccard(_column(rows), left, right, size=size)
    for i, j, value in zip(left, right, found, strict=True):
        one, two = set(_ngrams(rows[i], size)), set(_ngrams(rows[j], size))
        assert value == pytest.approx(len(one & two) / len(one | two) if one | two else 1.0)


@given(texts)
def test_equal_rows_and_only_they_have_equal_hashes(rows: list[str]) -> None:
    hashes = kernels.hash_rows(_column(rows)).tolist()
    assert len(set(hashes)) == len(set(rows))
    assert hashes == [kernels.hash_rows(_column([text]))[0] for text in rows]


def test_hashes_are_the_same_on_every_machine() -> None:
    mask = 2**64 - 1

    def slow(data: bytes, seed: int) -> int:
        state = seed ^ len(data)
        for byte in data:
            state = ((state ^ byte) * 0x100000001B3) & mask
            state ^= state >> 29
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            state = ((state ^ state >> 33) * factor) & mask
        return state ^ state >> 33

    rows = ["", "吾輩は猫である", "A", "🍣" * 30]
    for seed in (0, 7):
        assert kernels.hash_rows(_column(rows), seed=seed).tolist() == [slow(text.encode(), seed) for text in rows]


def _minhash(text: str, num_hashes: int, size: int, seed: int) -> list[int]:
    mask = 2**64 - 1
    draw = np.random.Generator(np.random.Philox(seed))
    multipliers = (draw.integers(0, 2**32, num_hashes, dtype=np.uint32) | np.uint32(1)).tolist()
    increments = draw.integers(0, 2**32, num_hashes, dtype=np.uint32).tolist()
    values = []
    for gram in _ngrams(text, size):
        state = 0x9E3779B97F4A7C15
        for char in gram:
            state = ((state ^ ord(char)) * 0x9FB21C651E98DF25) & mask
            state ^= state >> 28
        values.append(state >> 32)
    pairs = zip(multipliers, increments, strict=True)
    return [min(((a * v + b) % 2**32 for v in values), default=2**32 - 1) for a, b in pairs]


@given(st.lists(prose, max_size=3), st.integers(1, 20), st.integers(2, 7), st.integers(1, 3))
def test_minhash_equals_the_slow_reading(rows: list[str], num_hashes: int, size: int, seed: int) -> None:
    found = kernels.minhash(_column(rows), num_hashes=num_hashes, size=size, seed=seed)
    assert found.tolist() == [_minhash(text, num_hashes, size, seed) for text in rows]


def test_minhash_estimates_the_jaccard_similarity() -> None:
    base = "".join(chr(0x4E00 + (i * 7919) % 3000) for i in range(2000))
    other = base[:1500] + "".join(chr(0x5E00 + (i * 104729) % 3000) for i in range(500))
    column = _column([base, other])
    one, two = kernels.minhash(column, num_hashes=1024)
    exact = kernels.jaccard(column, np.array([0]), np.array([1]))[0]
    assert abs(float((one == two).mean()) - exact) < 0.05


@pytest.mark.parametrize(
    "column", [pa.array(["a", None]), pa.array([b"a"]), pa.array(["a"], pa.large_string()), pa.array([1])]
)
def test_other_columns_are_refused(column: pa.Array) -> None:
    with pytest.raises(TypeError, match="expected a string column without nulls"):
        kernels.count_characters(column)


def test_a_chunked_column_is_one_column() -> None:
    chunked = pa.chunked_array([["あ"], [], ["いう", "A"]], pa.string())
    assert kernels.count_characters(chunked)[:, kernels.CHARS].tolist() == [1, 2, 1]
