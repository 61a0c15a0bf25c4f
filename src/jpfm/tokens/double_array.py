"""A trie over characters as a double array: the pieces of a vocabulary, found in text with one look a character.

    table = DoubleArray.build(pieces)
    code = table.low[ord("東")]                              # of a character of the BMP; 0 where no piece has it
    unit = code                                              # a piece's first character is found at its own code
    following = table.units[unit, BASE] + code_of_the_next   # is the next node if its CHECK says so

A unit is 16 bytes, so that base, check, id and score come with one cache line. Refused: a trie over bytes (three looks
a Japanese character) and a hash table of (node, character) (twice the memory, and probing).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_jit: Any = numba.njit(cache=True, nogil=True)
BASE, CHECK, ID, SCORE = range(4)
ROOT = -2
"""CHECK of the units of first characters."""
_SPACE, _ESCAPED = 0x20, 0x2581


@_jit
def _tree(codes, ends):  # type: ignore[no-untyped-def]
    """Nodes of sorted strings: parent, code and string that ends there (-1: none). Node 0 is the root."""
    size = codes.shape[0] + 1
    parent, code, string = np.empty(size, np.int32), np.zeros(size, np.int32), np.full(size, -1, np.int32)
    path = np.zeros(1 + np.int64(_longest(ends)), np.int32)
    count, begin, previous = 1, 0, 0
    parent[0] = -1
    for number in range(ends.shape[0]):
        end = ends[number]
        shared = 0
        while shared < end - begin and shared < begin - previous and codes[begin + shared] == codes[previous + shared]:
            shared += 1
        if number == 0:
            shared = 0
        for depth in range(shared, end - begin):
            parent[count], code[count] = path[depth], codes[begin + depth]
            path[depth + 1] = count
            count += 1
        string[path[end - begin]] = number
        previous, begin = begin, end
    return parent[:count], code[:count], string[:count]


@_jit
def _longest(ends):  # type: ignore[no-untyped-def]
    longest, begin = 0, 0
    for end in ends:
        longest = max(longest, end - begin)
        begin = end
    return longest


@_jit
def _place(first, order, codes, alphabet):  # type: ignore[no-untyped-def]
    """Units of a double array: where the children of each node lie. Nodes with many children go first.

    Args:
        first: first child of each node among `codes`, and the end; shape (nodes + 1,).
        order: nodes with children, those with most first; the root is first of all, at 0.
        codes: of all children, by parent. A child's number there is its node less one.
    Returns:
        Base of each node, and how many slots are taken.
    """
    nodes = first.shape[0] - 1
    bases = np.zeros(nodes, np.int32)
    taken = np.zeros(2 * (nodes + alphabet) + 64, np.bool_)
    taken[:alphabet] = True  # the root's children, by code
    free = cursor = np.int64(alphabet)
    top = np.int64(alphabet)
    for node in order:
        begin, end = first[node], first[node + 1]
        lead = codes[begin]
        while taken[free]:
            free += 1
        place = free if end - begin == 1 else max(free, cursor)
        tries = 0
        while True:
            if place + alphabet >= taken.shape[0]:
                grown = np.zeros(2 * taken.shape[0] + alphabet, np.bool_)
                grown[: taken.shape[0]] = taken
                taken = grown
            if not taken[place]:
                fits = True
                for child in range(begin + 1, end):
                    if taken[place - lead + codes[child]]:
                        fits = False
                        break
                if fits:
                    break
                tries += 1
            place += 1
        if tries > 512:
            cursor = max(cursor, place - 256)
        bases[node] = place - lead
        for child in range(begin, end):
            taken[place - lead + codes[child]] = True
            top = max(top, place - lead + codes[child] + 1)
    return bases, top


@_jit
def decode(data, begin, end, low, pages, high, codes, places):  # type: ignore[no-untyped-def]
    """Characters of a document as codes, and the byte each begins at; returns how many."""
    count = 0
    place = begin
    while place < end:
        byte = np.uint32(data[place])
        places[count] = place - begin
        if byte < 0x80:
            codes[count] = low[byte]
            place += 1
        elif byte < 0xE0 and place + 1 < end:
            codes[count] = low[((byte & 0x1F) << 6) | (data[place + 1] & np.uint32(0x3F))]
            place += 2
        elif byte < 0xF0 and place + 2 < end:
            point = ((byte & 0x0F) << 12) | ((data[place + 1] & np.uint32(0x3F)) << 6)
            codes[count] = low[point | (data[place + 2] & np.uint32(0x3F))]
            place += 3
        elif place + 3 < end:
            point = ((byte & 0x07) << 18) | ((data[place + 1] & np.uint32(0x3F)) << 12)
            point |= ((data[place + 2] & np.uint32(0x3F)) << 6) | (data[place + 3] & np.uint32(0x3F))
            codes[count] = high[pages[point >> 8], point & 0xFF]
            place += 4
        else:
            codes[count] = 0
            place = end
        count += 1
    places[count] = end - begin
    return count


@dataclass(frozen=True)
class DoubleArray:
    """The trie of some pieces, and the codes of their characters."""

    low: npt.NDArray[np.int32]
    pages: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]
    units: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int64]
    """Where each piece ends in the trie."""

    @classmethod
    def build(cls, pieces: list[str]) -> "DoubleArray":
        order = sorted(range(len(pieces)), key=pieces.__getitem__)
        points = np.frombuffer("".join(pieces[number] for number in order).encode("utf-32-le"), dtype="<u4")
        ends = np.cumsum([len(pieces[number]) for number in order], dtype=np.int64)
        used, counts = np.unique(points, return_counts=True)
        used = used[np.argsort(-counts, kind="stable")]  # frequent characters get small codes: a dense array
        low, pages, high = _codes(used)
        rank = np.zeros(0x110000, dtype=np.int32)
        rank[used] = np.arange(1, len(used) + 1)
        parent, code, string = _tree(rank[points], ends)
        alphabet = len(used) + 1
        by_parent = np.lexsort((code[1:], parent[1:]))
        child_codes = code[1:][by_parent]
        first = np.searchsorted(parent[1:][by_parent], np.arange(len(parent) + 1))
        sizes = np.diff(first)
        inner = np.flatnonzero(sizes[1:]) + 1
        inner = inner[np.argsort(-sizes[inner], kind="stable")]
        bases, top = _place(first, inner, child_codes, alphabet)
        slot = np.zeros(len(parent), dtype=np.int64)
        slot[1:] = bases[parent[1:]] + code[1:]
        units = np.zeros((top + alphabet, 4), dtype=np.int32)
        units[:, CHECK] = -1
        units[:, ID] = -1
        units[slot[1:], BASE] = bases[1:]
        units[slot[1:], CHECK] = np.where(parent[1:] == 0, ROOT, slot[parent[1:]])
        slots = np.empty(len(pieces), dtype=np.int64)
        ending = np.flatnonzero(string >= 0)
        slots[np.array(order)[string[ending]]] = slot[ending]
        return cls(low, pages, high, units, slots)


def _codes(used: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Code tables of characters in order: of the BMP, and pages of the rest. A space has the code of ▁."""
    low = np.zeros(0x10000, dtype=np.int32)
    codes = np.arange(1, len(used) + 1, dtype=np.int32)
    basic = used < 0x10000
    low[used[basic]] = codes[basic]
    low[_SPACE] = low[_ESCAPED]
    numbers = np.unique(used[~basic] >> 8)
    pages = np.zeros(0x2000, dtype=np.int32)  # as far as four bytes can spell, beyond Unicode
    pages[numbers] = np.arange(1, len(numbers) + 1)
    high = np.zeros((len(numbers) + 1, 256), dtype=np.int32)
    high[pages[used[~basic] >> 8], used[~basic] & 0xFF] = codes[~basic]
    return low, pages, high
