"""Hidden characters become marks; long text is cut."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.report import visible as module
from jpfm.report.visible import cut, cut_middle, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("改行\nと\tタブ", "改行\nと\tタブ"),
        ("\x00\x1b\r\x7f", "␀␛␍␡"),
        ("逆\u202e順\u2066", "逆⟦U+202E⟧順⟦U+2066⟧"),
        ("同\u200bじ\ufeff", "同⟦U+200B⟧じ⟦U+FEFF⟧"),
        ("家族👩‍👩‍👧‍👦と旗🏴", "家族👩‍👩‍👧‍👦と旗🏴"),
        ("葛󠄀城", "葛󠄀城"),
        ("\ud800", "⟦U+D800⟧"),
    ],
)
def test_marks(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_showing_twice_changes_nothing(text: str) -> None:
    once = visible(text)
    assert visible(once) == once
    once.encode("utf-8")


@given(st.text(max_size=60), st.integers(3, 30))
def test_a_cut_tells_the_length(text: str, limit: int) -> None:
    for part in (cut(text, limit), cut_middle(text, limit)):
        assert part.num_chars == len(text)
        assert part.shortened == (len(text) > limit)
        assert part.shortened or part.text == text


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(module).failed == 0
