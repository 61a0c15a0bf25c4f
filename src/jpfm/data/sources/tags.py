"""One pass over a page's tags before anything parses it: those that tell facts, and what a tree of them would cost.

    tags = scan(html.encode(), "a.html")        # DataError when parsing would take minutes or gigabytes
    tags.has("pre", "ruby"), tags.found("meta"), tags.names(html)

The parsing algorithm of HTML5 is quadratic where tags are left open: an end tag looks through all open elements, and
each new paragraph opens again every <b> and <font> that is open. 78 kB of such tags made a tree of 6 GB in 36 s
(lexbor). Browsers stop at 512 levels; libraries do not. The kernel follows the rules closely enough to price them;
what costs too much is no page that anyone wrote. Tags in comments and scripts are none.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jpfm.core.errors import DataError
from jpfm.data.sources import tag_kernel as kernel

MAX_STEPS = 200_000_000
"""Deepest nesting times tags: at 4 ns a step, a second."""
MAX_REOPENED = 1_000_000
"""Formatting elements that later blocks would open again: about 400 MB of tree."""
MAX_ATTRIBUTES = 2000
"""Of one tag: the parser compares each with all before it."""
_CELLS = 4096  # a power of two: the kernel masks
_MAX_FOUND, _MAX_NAMES = 512, 1024
_KIND_WORDS = (
    ("a b big code em font i nobr s small strike strong tt u", kernel.FORMATTING),
    # void, or only one a page, or closed by what follows
    ("area base br col embed hr img input link meta param source track wbr frame html head body "
     "p li dt dd tr td th tbody thead tfoot option optgroup rb rt rp rtc", kernel.FLAT),
    ("script style textarea title xmp iframe noembed noframes", kernel.RAW),
)  # fmt: skip
_FOUND_WORDS = "a html title meta link body main"  # the kernel knows that a comes first: it is noted for a licence only
_SEEN_WORDS = (
    "pre ruby td th table summary rt rp rtc nav footer aside button select textarea template dialog iframe noscript "
    "annotation header form"
)
_NUM_FOUND = len(_FOUND_WORDS.split())
_MARKS = {name: number for number, name in enumerate(f"{_FOUND_WORDS} {_SEEN_WORDS}".split(), start=1)}


class Tags(NamedTuple):
    """What a page's tags tell."""

    steps: int
    """Deepest nesting times tags."""
    reopened: int
    """Formatting elements that would be opened again."""
    attributes: int
    """Most of one tag."""
    flags: int
    """Carriage returns, spaces before line breaks, tags in upper case: `tag_kernel.CR` and so on."""
    seen: list[bool]
    places: list[list[int]]
    values: list[list[int]]

    def has(self, *names: str) -> bool:
        """Whether there is a tag of one of these names."""
        return any(self.seen[_MARKS[name]] for name in names)

    def found(self, name: str) -> list[tuple[int, int]]:
        """First and last byte (exclusive) of the tags of a name, `/main` for end tags; of <a>, those about a licence.

        The first 512 of all names are noted.
        """
        mark = -_MARKS[name[1:]] if name.startswith("/") else _MARKS[name]
        return [(start, stop) for kind, start, stop in self.places if kind == mark]

    def names(self, html: bytes, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
        """The different values of class and id between two bytes: `("class", b"l-header")`. At most 1024 of a page."""
        for kind, begin, end in self.values:
            if start <= begin and end <= stop:
                yield ("id" if kind == kernel.ID else "class"), html[begin:end]


def scan(html: bytes, name: str) -> Tags:
    """Look at a page's tags.

    Raises:
        DataError: too many elements are left open, or a tag has too many attributes.
    """
    tags = measure(html)
    if tags.steps > MAX_STEPS or tags.reopened > MAX_REOPENED or tags.attributes > MAX_ATTRIBUTES:
        raise DataError(
            f"{name}: a heap of open tags (levels × tags {tags.steps:,}, formatting opened again {tags.reopened:,}, "
            f"attributes of one tag {tags.attributes:,})",
            hint=f"read are up to {MAX_STEPS:,}, {MAX_REOPENED:,} and {MAX_ATTRIBUTES:,}; is it a page?",
        )
    return tags


def measure(html: bytes) -> Tags:
    """Look at a page's tags, whatever they cost.

    >>> page = b"<div><!-- <main> --><p><b>x</b><p id=one class='a b'>y</div><META name=robots>"
    >>> tags = measure(page)
    >>> tags[:3], tags.has("main"), tags.found("meta"), list(tags.names(page, 0, len(page)))
    ((14, 0, 2), False, [(60, 78)], [('class', b'a b'), ('id', b'one')])
    """
    seen = np.zeros(len(_MARKS) + 1, np.bool_)
    places, values = np.empty((_MAX_FOUND, 3), np.int64), np.empty((_MAX_NAMES, 3), np.int64)
    data = np.frombuffer(html, np.uint8)
    numbers = kernel.scan(data, _HASHES, _KINDS, _CELL_MARKS, _NUM_FOUND, seen, places, values)
    steps, reopened, attributes, num_places, num_values, flags = (int(number) for number in numbers)
    told = places[:num_places].tolist(), values[:num_values].tolist()
    return Tags(steps, reopened, attributes, flags, seen.tolist(), *told)


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value * 131 + byte) & 0x7FFFFFFF
    return value


def _table() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Name hashes, kinds and marks by the lowest bits of the hash."""
    hashes, kinds, marks = np.zeros(_CELLS, np.int64), np.zeros(_CELLS, np.int8), np.zeros(_CELLS, np.int8)
    named = {name: kind for names, kind in _KIND_WORDS for name in names.split()}
    for name in {**named, **_MARKS}:
        cell = _hash(name) % _CELLS
        assert hashes[cell] == 0, name
        hashes[cell], kinds[cell], marks[cell] = _hash(name), named.get(name, 0), _MARKS.get(name, 0)
    return hashes, kinds, marks


_HASHES, _KINDS, _CELL_MARKS = _table()
