"""Numbers in keys: numerals of all kinds as digits, and the fingerprint of a document's numbers."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.dedup_key import KeyRules, keys
from jpfm.text.numerals import number_marks

RULES = KeyRules(numbers=True)
MARK_RULES = KeyRules(spaces=False, punctuation=False)


def _digits(text: str) -> str:
    return "".join(map(chr, keys(pa.array([text], pa.string()), RULES).points))


def _mark(text: str) -> int:
    return int(number_marks(keys(pa.array([text], pa.string()), MARK_RULES))[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("二〇二三年", "2023年"),
        ("二千二十三年", "2023年"),
        ("２０２３年", "2023年"),
        ("2023年", "2023年"),
        ("零時", "0時"),
        ("十", "10"),
        ("百", "100"),
        ("千", "1000"),
        ("万", "10000"),
        ("億", "100000000"),
        ("一兆", "1000000000000"),
        ("十一", "11"),
        ("二十", "20"),
        ("百三", "103"),
        ("千百十一", "1111"),
        ("三億五千万円", "350000000円"),
        ("３億５千万円", "350000000円"),
        ("12万3千", "123000"),
        ("一億二千三百四十五万六千七百八十九", "123456789"),
        ("九千九百九十九兆", "9999000000000000"),
        ("第三条第二項", "第3条第2項"),
        ("元年", "元年"),
        ("一般の千葉", "1般の1000葉"),  # both sides of a comparison change alike
        ("〇〇七", "007"),
        ("九" * 40, "9" * 40),
        ("1" * 40, "1" * 40),
        ("猫", "猫"),
        ("", ""),
    ],
)
def test_numerals_are_digits(text: str, expected: str) -> None:
    assert _digits(text) == expected


DIGITS = "〇一二三四五六七八九"


def _spelled(number: int) -> str:
    """A number as a contract spells it: 一億二千三十."""
    out = ""
    for scale, word in ((10**12, "兆"), (10**8, "億"), (10**4, "万"), (1, "")):
        part = number // scale % 10_000
        for size, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
            digit = part // size % 10
            out += "" if digit == 0 else unit if digit == 1 and unit else DIGITS[digit] + unit
        out += word if part else ""
    return out


@given(st.integers(1, 10**16 - 1))
def test_any_number_reads_the_same_in_three_ways(number: int) -> None:
    figures = str(number).translate(str.maketrans("0123456789", DIGITS))
    assert _digits(_spelled(number)) == _digits(figures) == str(number)
    assert _mark(f"第{_spelled(number)}号") == _mark(f"第{figures}号") == _mark(f"第{number:,}号")


@given(st.text(st.sampled_from("一二三十百千万億兆〇零0９、年 あ"), max_size=60))
def test_any_run_of_numerals_is_read_within_its_bounds(text: str) -> None:
    found = keys(pa.array([text, "三億", text], pa.string()), RULES, places=True)
    assert found.places is not None
    first, second, third = (
        found.points[start:stop].tolist() for start, stop in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    )
    assert first == third
    assert bytes(second) == b"300000000"
    assert not {*map(chr, first)} & set("一二三十百千万億兆〇零")
    here = found.places[: found.offsets[1]].tolist()
    assert here == sorted(here)
    assert all(text[place] not in "、 " for place in here)


def test_places_of_digits_lie_in_the_numeral() -> None:
    text = "価格は三億五千万円、２０２３年、二千二十三年"
    found = keys(pa.array([text]), RULES, places=True)
    assert found.places is not None
    key = "".join(map(chr, found.points))
    assert key == "価格は350000000円2023年2023年"
    for match in re.finditer(r"\d+", key):
        spanned = text[found.places[match.start()] : found.places[match.end() - 1] + 1]
        assert spanned in ("三億五千万", "２０２３", "二千二十三")  # what a cut from the first to the last takes


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("令和5年", "令和6年"),
        ("令和五年", "令和六年"),
        ("令和5年", "平成5年"),
        ("令和　５年", "平成　５年"),
        ("令和元年", "令和2年"),
        ("令和元年", "平成元年"),
        ("3.5％", "35％"),
        ("3.5％", "3.05％"),
        ("第三条", "第四条"),
        ("二人", "三人"),
        ("売上高1,234百万円", "売上高1,235百万円"),
        ("12,34", "1234"),
        ("1 2", "12"),
        ("三億円", "三万円"),
        ("1と2", "2と1"),
        ("1", "1と1"),
        ("9" * 30, "9" * 31),
        ("数はない", "0"),
    ],
)
def test_other_numbers_have_another_mark(one: str, two: str) -> None:
    assert _mark(one) != _mark(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("令和5年", "令和五年"),
        ("令和5年", "令和５年"),
        ("令和5年", "令和　５年"),
        ("令和元年", "令和1年"),
        ("第三条", "第3条"),
        ("1,234百万円", "１２３４百万円"),
        ("1,234,567", "1234567"),
        ("三億五千万円", "3億5000万円"),
        ("二千二十三年", "2023年"),
        ("一般の意見", "普通の意見"),
        ("統一した", "別の言葉"),
        ("第001号", "第1号"),
        ("数はない", ""),
    ],
)
def test_equal_numbers_have_one_mark(one: str, two: str) -> None:
    assert _mark(one) == _mark(two)


@given(st.lists(st.text(st.sampled_from("令和平成元年5五十,.３ 第条あ"), max_size=20), max_size=5))
def test_a_mark_depends_on_its_row_alone(rows: list[str]) -> None:
    column = pa.array(["令和", *rows], pa.string()).slice(1, len(rows))
    assert number_marks(keys(column, MARK_RULES)).tolist() == [_mark(text) for text in rows]
