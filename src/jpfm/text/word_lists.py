"""Find the words of a list in a text, with the meaning that regular expressions give to an alternation.

    finder = Finder(["アス", "営業時間"])
    finder.find("アスは営業時間") -> Found(hits=2, whole_hits=2, chars=6)

One Aho-Corasick pass (pyahocorasick, in C) finds all occurrences; which of those that overlap count is decided here as
`re.findall("first|second|...")` decides it: the leftmost, and of those the earliest in the list.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

KATAKANA = frozenset(map(chr, [*range(0x30A1, 0x30F5), 0x30FC]))


class Found(NamedTuple):
    """What one text holds of a list."""

    hits: int
    """Words that stand anywhere, without overlap."""
    whole_hits: int
    """The same, but a word of katakana alone counts only where no katakana stands beside it (アス, not アスパラ);
    where two words begin at one place, one of katakana alone gives way."""
    chars: int
    """Characters covered by the longest words, taken from the left."""


class Finder:
    """An automaton over one list of words."""

    def __init__(self, words: Sequence[str]) -> None:
        """Build the automaton; of a word given twice the first counts.

        Raises:
            ValueError: the list is empty or holds an empty word.
        """
        import ahocorasick

        if not words or "" in words:
            raise ValueError("a word list needs words, none of them empty")
        self._automaton: Any = ahocorasick.Automaton()
        for rank, word in enumerate(words):
            if word not in self._automaton:
                self._automaton.add_word(word, (rank, len(word), set(word) <= KATAKANA))
        self._automaton.make_automaton()

    def find(self, text: str) -> Found:
        """Look through one text.

        >>> Finder(["アス", "スパ"]).find("アスパラガス")
        Found(hits=1, whole_hits=0, chars=2)
        """
        places = [(end - size + 1, size, rank, kana) for end, (rank, size, kana) in self._automaton.iter(text)]
        if not places:
            return Found(0, 0, 0)
        whole = [place for place in places if not (place[3] and self._touches_katakana(text, place[0], place[1]))]
        return Found(
            hits=_without_overlap(sorted(places, key=lambda p: (p[0], p[2])))[0],
            whole_hits=_without_overlap(sorted(whole, key=lambda p: (p[0], p[3], p[2])))[0],
            chars=_without_overlap(sorted(places, key=lambda p: (p[0], -p[1])))[1],
        )

    @staticmethod
    def _touches_katakana(text: str, start: int, size: int) -> bool:
        return text[start - 1 : start] in KATAKANA or text[start + size : start + size + 1] in KATAKANA


def _without_overlap(places: Sequence[tuple[int, int, int, bool]]) -> tuple[int, int]:
    """(how many, how many characters) when each place is taken that begins after the one taken before."""
    free = hits = chars = 0
    for start, size, _, _ in places:
        if start >= free:
            free = start + size
            hits += 1
            chars += size
    return hits, chars
