"""How large a tree a page's tags would make, found in one pass before anything parses it.

    check(html.encode(), "a.html")        # DataError when the HTML5 algorithm would take minutes or gigabytes

The parsing algorithm of HTML5 is quadratic where tags are left open: an end tag looks through all open elements, and
each new paragraph opens again every <b> and <font> that is open. 78 kB of such tags made a tree of 6 GB in 36 s
(lexbor). Browsers stop at 512 levels; libraries do not. The kernel follows the rules closely enough to price them, at
memory speed; what costs too much is no page that anyone wrote.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from jpfm.core.errors import DataError

MAX_STEPS = 200_000_000
"""Deepest nesting times tags: at 4 ns a step, a second."""
MAX_REOPENED = 1_000_000
"""Formatting elements that later blocks would open again: about 400 MB of tree."""
MAX_ATTRIBUTES = 2000
"""Of one tag: the parser compares each with all before it."""
_CELLS = 2048
_OPEN = 512  # formatting elements followed at once
_FORMATTING, _FLAT, _RAW = 1, 2, 3
_NAMES = (
    ("a b big code em font i nobr s small strike strong tt u", _FORMATTING),
    # void, or only one a page, or closed by what follows
    ("area base br col embed hr img input link meta param source track wbr html head body "
     "p li dt dd tr td th tbody thead tfoot option optgroup rb rt rp rtc", _FLAT),
    ("script style textarea title xmp iframe noembed noframes", _RAW),
)  # fmt: skip
_jit: Any = numba.njit(cache=True, nogil=True)


def check(html: bytes, name: str) -> None:
    """Refuse a page whose tree would cost too much.

    Raises:
        DataError: too many elements are left open, or a tag has too many attributes.
    """
    steps, reopened, attributes = measure(html)
    if steps > MAX_STEPS or reopened > MAX_REOPENED or attributes > MAX_ATTRIBUTES:
        raise DataError(
            f"{name}: a heap of open tags (levels × tags {steps:,}, formatting opened again {reopened:,}, attributes "
            f"of one tag {attributes:,})",
            hint=f"read are up to {MAX_STEPS:,}, {MAX_REOPENED:,} and {MAX_ATTRIBUTES:,}; is it a page?",
        )


def measure(html: bytes) -> tuple[int, int, int]:
    """Deepest nesting times tags, formatting elements opened again, most attributes of one tag.

    >>> measure(b"<div><p><b>x</b><p id=a class=b>y</div>")
    (12, 0, 2)
    """
    steps, reopened, attributes = _measure(np.frombuffer(html, np.uint8), _HASHES, _KINDS)
    return int(steps), int(reopened), int(attributes)


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value * 131 + byte) & 0x7FFFFFFF
    return value


def _table() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Name hashes and kinds by the lowest bits of the hash."""
    hashes, kinds = np.zeros(_CELLS, np.int64), np.zeros(_CELLS, np.int8)
    for names, kind in _NAMES:
        for name in names.split():
            cell = _hash(name) % _CELLS
            assert kinds[cell] == 0, name
            hashes[cell], kinds[cell] = _hash(name), kind
    return hashes, kinds


_HASHES, _KINDS = _table()


@_jit
def _skip_to(html, position, first, second, third):  # type: ignore[no-untyped-def]
    """The position after the next three bytes that are these."""
    while position + 2 < html.size:
        if html[position] == first and html[position + 1] == second and html[position + 2] == third:
            return position + 3
        position += 1
    return html.size


@_jit
def _name(html, position):  # type: ignore[no-untyped-def]
    """Hash of the lower-cased tag name that begins here, and where it ends."""
    value = 0
    while position < html.size:
        byte = html[position]
        if byte <= 32 or byte in (47, 62):  # space, / or >
            break
        if 65 <= byte <= 90:
            byte += 32
        value = (value * 131 + byte) & 0x7FFFFFFF
        position += 1
    return value, position


@_jit
def _attributes(html, position):  # type: ignore[no-untyped-def]
    """Number of words up to the end of a tag, a hash of them, and the position after it."""
    count, value = 0, 0
    before = True  # a space or the name
    while position < html.size:
        byte = html[position]
        position += 1
        if byte == 62:
            break
        value = (value * 131 + byte) & 0x7FFFFFFF
        if byte in (34, 39) and position >= 2 and html[position - 2] == 61:  # a quote after =
            while position < html.size and html[position] != byte:
                value = (value * 131 + html[position]) & 0x7FFFFFFF
                position += 1
            position += 1
            before = True  # the next attribute may follow without a space
            continue
        space = byte <= 32 or byte == 47
        count += before and not space
        before = space
    return count, value, min(position, html.size)


@_jit
def _measure(html, hashes, kinds):  # type: ignore[no-untyped-def]
    open_of = np.zeros(hashes.size, np.int64)
    names, whole = np.zeros(_OPEN, np.int64), np.zeros(_OPEN, np.int64)  # open formatting: tag name, and all of the tag
    depth = deepest = tags = most = num_open = reopened = position = 0
    while position < html.size:
        if html[position] != 60:
            position += 1
            continue
        position += 1
        if position >= html.size:
            break
        byte = html[position]
        ends = byte == 47
        if byte == 33 and position + 2 < html.size and html[position + 1] == 45 and html[position + 2] == 45:
            position = _skip_to(html, position + 1, 45, 45, 62)
            continue
        position += ends
        if position >= html.size or not (65 <= html[position] <= 90 or 97 <= html[position] <= 122):
            continue
        name, position = _name(html, position)
        count, value, position = _attributes(html, position)
        tags += 1
        most = max(most, count)
        cell = name % hashes.size
        kind = kinds[cell] if hashes[cell] == name else 0
        if kind == 1 and ends:
            for place in range(num_open - 1, -1, -1):
                if names[place] == name:
                    for later in range(place, num_open - 1):
                        names[later], whole[later] = names[later + 1], whole[later + 1]
                    num_open -= 1
                    break
        elif kind == 1:
            same = 0
            for place in range(num_open):
                same += names[place] == name and whole[place] == value
            if same < 3 and num_open < names.size:  # the parser keeps three that are the same
                names[num_open], whole[num_open] = name, value
                num_open += 1
        elif kind == 3 and not ends:
            while position < html.size:  # no tags inside, up to its end tag
                if html[position] == 60 and position + 1 < html.size and html[position + 1] == 47:
                    other, after = _name(html, position + 2)
                    if other == name:
                        _, _, position = _attributes(html, after)
                        break
                position += 1
            continue
        else:
            reopened += num_open
        if kind == 2:
            continue
        if not ends:
            open_of[cell] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif open_of[cell] > 0:
            open_of[cell] -= 1
            depth -= 1
    return deepest * tags, reopened, most
