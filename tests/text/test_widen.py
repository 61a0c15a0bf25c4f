"""What goes with a span that is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.widen import widen, without

CASES = [  # text, what was found in it, what is left
    ("前文。日本一高い山は？後文。", "日本一高い山は", "前文。後文。"),
    ("前文「日本一高い山は？」と聞いた。", "日本一高い山は", "前文と聞いた。"),
    ("前文（「日本一高い山は？」）後文", "日本一高い山は", "前文後文"),
    ("前文\n問１：日本一高い山は？\n答えは富士山", "日本一高い山は", "前文\n\n答えは富士山"),
    ("前文\nQ3. 日本一高い山は?\n後文", "日本一高い山は", "前文\n\n後文"),
    ("前文\n司会：日本一高い山は？\n後文", "日本一高い山は", "前文\n司会：\n後文"),
    ("これは｜富士山《ふじさん》。次", "富士山", "これは次"),
    ("これは富士山（ふじさん）。次", "富士山", "これは次"),
    ("これは富士山（3776m）。次", "富士山", "これは（3776m）。次"),
    ("これは富士山《ふじさん》の話", "富士山", "これはの話"),
    ("これはバナナか\u3099いい", "バナナか", "これはいい"),
    ("日本一\n高い山は？\n後文", "日本一\n高い山は", "\n後文"),
    ("日本一高い山は", "日本一高い山は", ""),
    ("「日本一高い山は", "日本一高い山は", ""),
]


@pytest.mark.parametrize(("text", "found", "left"), CASES)
def test_nothing_is_left_hanging(text: str, found: str, left: str) -> None:
    start = text.index(found)
    assert without(text, widen(text, [(start, start + len(found))])) == left


def test_two_spans_of_one_line_leave_what_is_between() -> None:
    text = "問：甲乙丙。また、丁戊己？"
    assert without(text, widen(text, [(2, 5), (9, 12)])) == "問：また、"
    assert without(text, widen(text, [(2, 8), (9, 12)])) == ""


@given(st.text("山（や）「」。、\n｜《ま》問1A", max_size=40), st.data())
def test_spans_only_grow_and_stay_in_the_text(text: str, data: st.DataObject) -> None:
    place = st.integers(0, len(text))
    drawn = data.draw(st.lists(st.tuples(place, place), max_size=3))
    spans = [(min(pair), max(pair)) for pair in drawn]
    wide = widen(text, spans)
    assert wide == sorted(wide)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(wide))
    inside = {at for start, end in wide for at in range(start, end)}
    assert {at for start, end in spans for at in range(start, end)} <= inside <= set(range(len(text)))
    assert without(text, wide) == "".join(one for at, one in enumerate(text) if at not in inside)
