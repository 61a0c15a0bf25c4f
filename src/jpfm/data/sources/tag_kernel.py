"""The loop behind `tags`: every tag of a page once, at memory speed."""

from typing import Any

import numba
import numpy as np

CLASS, ID = 0, 1
CR, SPACED_BREAK, UPPER = 1, 2, 4
FORMATTING, FLAT, RAW = 1, 2, 3
_OPEN = 512  # formatting elements followed at once
_SLOTS = 4096
_CLASS_IS, _ID_IS, _LICENSE, _CREATIVE = (
    np.frombuffer(word, np.uint8) for word in (b"class=", b"id=", b"license", b"creative")
)
_jit: Any = numba.njit(cache=True, nogil=True)
_inlined: Any = numba.njit(cache=True, nogil=True, inline="always")  # a call costs more than what most do


@_jit
def _after_comment(html, position):  # type: ignore[no-untyped-def]
    """The position after the next -->."""
    while position + 2 < html.size:
        if html[position] == 45 and html[position + 1] == 45 and html[position + 2] == 62:
            return position + 3
        position += 1
    return html.size


@_inlined
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
def _note(html, position, kind, values, num_values, slots):  # type: ignore[no-untyped-def]
    """Note the value of a class or id that begins here, unless it was seen before; how many are noted."""
    start = position
    if start < html.size and html[start] in (34, 39):
        start += 1
        stop = start
        while stop < html.size and html[stop] != html[start - 1]:
            stop += 1
    else:
        stop = start
        while stop < html.size and html[stop] > 32 and html[stop] != 62:
            stop += 1
    if num_values == len(values) or not 2 <= stop - start <= 200:
        return num_values
    value = kind + 1
    for place in range(start, stop):
        value = (value * 1000003 + html[place]) & 0x3FFFFFFFFFFF
    slot = value & (_SLOTS - 1)
    while slots[slot] != 0:  # there are four times as many slots as values
        if slots[slot] == value:
            return num_values
        slot = (slot + 1) & (_SLOTS - 1)
    slots[slot] = value
    values[num_values, 0], values[num_values, 1], values[num_values, 2] = kind, start, stop
    return num_values + 1


@_inlined
def _stands_before(html, position, word):  # type: ignore[no-untyped-def]
    """Whether the bytes before a position are this lower-case word, in any case."""
    if position < word.size:
        return False
    same = True
    for place in range(word.size):
        same &= html[position - word.size + place] | 32 == word[place]
    return same


@_inlined
def _attributes(html, position, hashed, watched):  # type: ignore[no-untyped-def]
    """Up to the end of a tag: its attributes, a hash, the position, whether it speaks of a licence, class and id.

    The last two are where their values begin; 0 for none. The hash and the licence cost time: only where asked for.
    """
    count, value, class_at, id_at = 0, 0, 0, 0
    before, licence = True, False  # before: a space or the name stands before
    quote = 0
    while position < html.size:
        byte = html[position]
        position += 1
        if byte == 62 and quote == 0:
            break
        if hashed:
            value = (value * 131 + byte) & 0x7FFFFFFF
        if watched and byte == 101 and not licence:
            licence = _stands_before(html, position, _LICENSE) or _stands_before(html, position, _CREATIVE)
        if quote:
            if byte == quote:
                quote = 0
                before = True  # the next attribute may follow without a space
            continue
        if byte in (34, 39) and html[position - 2] == 61:
            quote = byte
        elif byte == 61:
            if _stands_before(html, position, _CLASS_IS) and html[position - 7] <= 32:
                class_at = position
            elif _stands_before(html, position, _ID_IS) and html[position - 4] <= 32:
                id_at = position
        space = byte <= 32 or byte == 47
        count += before and not space
        before = space
    return count, value, position, licence, class_at, id_at


@_jit
def scan(html, hashes, kinds, marks, num_found, seen, places, values):  # type: ignore[no-untyped-def]
    """Fill seen, places and values; depth times tags, formatting opened again, most attributes, counts, and flags."""
    open_of = np.zeros(hashes.size, np.int64)
    names, whole = np.zeros(_OPEN, np.int64), np.zeros(_OPEN, np.int64)  # open formatting: tag name, and all of the tag
    slots = np.zeros(_SLOTS, np.int64)
    depth = deepest = tags = most = num_open = reopened = position = num_places = num_values = flags = 0
    while position < html.size:
        byte = html[position]
        if byte != 60:
            if byte <= 13:
                if byte == 13:
                    flags |= CR
                elif byte == 10 and position > 0 and html[position - 1] == 32:
                    flags |= SPACED_BREAK
            position += 1
            continue
        start = position
        position += 1
        if position + 2 < html.size and html[position] == 33 and html[position + 1] == 45 and html[position + 2] == 45:
            position = _after_comment(html, position + 1)
            continue
        ends = position < html.size and html[position] == 47
        position += ends
        if position >= html.size or not (65 <= html[position] <= 90 or 97 <= html[position] <= 122):
            continue
        if html[position] <= 90:
            flags |= UPPER
        name, position = _name(html, position)
        cell = name & (hashes.size - 1)
        kind, mark = (kinds[cell], marks[cell]) if hashes[cell] == name else (0, 0)
        found = _attributes(html, position, kind == FORMATTING, mark == 1)  # 1 is <a>
        count, value, position, licence, class_at, id_at = found
        if class_at > 0:
            num_values = _note(html, class_at, CLASS, values, num_values, slots)
        if id_at > 0:
            num_values = _note(html, id_at, ID, values, num_values, slots)
        tags += 1
        most = max(most, count)
        if mark and not ends:
            seen[mark] = True
        if 0 < mark <= num_found and num_places < len(places) and (mark > 1 or licence):
            places[num_places, 0] = -mark if ends else mark
            places[num_places, 1], places[num_places, 2] = start, position
            num_places += 1
        if kind == FORMATTING and ends:
            for place in range(num_open - 1, -1, -1):
                if names[place] == name:
                    for later in range(place, num_open - 1):
                        names[later], whole[later] = names[later + 1], whole[later + 1]
                    num_open -= 1
                    break
        elif kind == FORMATTING:
            same = 0
            for place in range(num_open):
                same += names[place] == name and whole[place] == value
            if same < 3 and num_open < names.size:  # the parser keeps three that are the same
                names[num_open], whole[num_open] = name, value
                num_open += 1
        elif kind == RAW and not ends:
            while position < html.size:  # no tags inside, up to its end tag
                if html[position] == 60 and position + 1 < html.size and html[position + 1] == 47:
                    other, after = _name(html, position + 2)
                    if other == name:
                        position = after
                        while position < html.size and html[position] != 62:
                            position += 1
                        break
                position += 1
            continue
        else:
            reopened += num_open
        if kind == FLAT:
            continue
        if not ends:
            open_of[cell] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif open_of[cell] > 0:
            open_of[cell] -= 1
            depth -= 1
    return deepest * tags, reopened, most, num_places, num_values, flags
