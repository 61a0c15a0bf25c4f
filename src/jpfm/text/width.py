"""The explicit table of `text.normalize`: which character becomes which, by which rule, and what NFC must know.

`tables(active, ...)` compiles the rules that are on into arrays for the kernel in `text.rewrite`. A character that no
rule touches has entry 0 and is copied. NFC data (decompositions, combining classes, pairs) come from the `unicodedata`
of the running Python, so both agree on every assigned character. The numbers of rules and kinds are compiled
into the kernel: after a change here, touch `text/rewrite.py`.
"""

import functools
import itertools
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RULES = (
    "", "spaces", "ideographic_space", "wave_dash", "minus_sign", "hyphens", "dashes", "double_bar", "cp932_signs",
    "fullwidth_alnum", "fullwidth_punctuation", "halfwidth_kana", "stray_voicing_marks", "sentencepiece_mark",
    "zero_width", "bidi_controls", "controls", "nfc", "ruby", "reading_parentheses", "repeated_marks", "line_ends",
    "trailing_spaces", "blank_lines",
)  # fmt: skip
"""Names of the rules; an edit's rule is a place in this tuple. Where two rules know a character, the first has it."""

# What the kernel does at a character, after its replacement by the table
(PLAIN, REMOVE, LINE_END, JOINER, VOICING, HALF_KANA, REPEATABLE, CLOSER, CANONICAL) = range(9)
TARGET_BITS, KIND_BITS, HEAD_BITS = 21, 4, 13  # 13: lead bytes above F4 would still stay inside

_HALF_KANA = "ｦｧｨｩｪｫｬｭｮｯｰｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ｡｢｣､･ﾞﾟ"
_FULL_KANA = (
    "ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテト"
    "ナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン。「」、・゛゜"
)
_SPACES = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F)  # no-break, en/em/figure/thin/hair, narrow, mathematical
_FULLWIDTH = range(0xFF01, 0xFF5F)
_REPLACED: dict[str, dict[int, int]] = {
    "spaces": dict.fromkeys(_SPACES, 0x20),
    "ideographic_space": {0x3000: 0x20},
    "wave_dash": {0xFF5E: 0x301C},
    "minus_sign": {0xFF0D: 0x2212},
    "hyphens": dict.fromkeys((0x2010, 0x2011, 0xFE63), 0x2D),
    "dashes": {0x2015: 0x2014},
    "double_bar": {0x2225: 0x2016},
    "cp932_signs": {0xFFE0: 0xA2, 0xFFE1: 0xA3, 0xFFE2: 0xAC},
    "fullwidth_alnum": {c: c - 0xFEE0 for c in _FULLWIDTH if chr(c - 0xFEE0).isalnum()},
    "fullwidth_punctuation": {c: c - 0xFEE0 for c in _FULLWIDTH if not chr(c - 0xFEE0).isalnum()},
    "halfwidth_kana": {ord(half): ord(full) for half, full in zip(_HALF_KANA, _FULL_KANA, strict=True)},
    "sentencepiece_mark": {0x2581: 0x5F},
}
_REMOVED: dict[str, tuple[int, ...]] = {
    "zero_width": (0xAD, 0x180E, 0x200B, 0x200C, *range(0x2060, 0x2065), 0xFEFF),
    "bidi_controls": (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    "controls": tuple(c for c in (*range(0x20), *range(0x7F, 0xA0)) if c not in {0x09, 0x0A, 0x0D, 0x85}),
}
_LINE_ENDS = (0x0D, 0x85, 0x2028, 0x2029)
_JOINER = 0x200D
_REPEATABLE = frozenset(map(ord, "！？!?。、．，…‥ー〜～・☆★♪♡♥"))


class Tables(NamedTuple):
    """What `text.rewrite` reads. Few arrays: Numba hands each one over in seven words at every call."""

    lookup: npt.NDArray[np.uint32]
    """lookup[code << 13 | point >> 8] (code: 0 text, 1 code) is the place of 256 entries, one for each value of
    point & 0xFF: rule << 25 | kind << 21 | replacement, or 0 for a character that is copied."""
    keys: npt.NDArray[np.int64]
    """Sorted: first << 21 | second for a pair that composes, a mark for its class, - a character that decomposes."""
    values: npt.NDArray[np.int64]
    """The composite; the combining class; start << 3 | length in `parts`."""
    parts: npt.NDArray[np.int64]
    fenced: bool
    indented: bool
    trailing: bool
    blank_lines: bool
    repeat_limit: int
    ruby_start: int


class _Canonical(NamedTuple):
    classes: dict[int, int]
    splits: dict[int, tuple[int, ...]]  # full canonical decompositions
    pairs: dict[tuple[int, int], int]  # primary composites
    restless: frozenset[int]  # NFC quick check answers No or Maybe


@functools.cache
def _canonical() -> _Canonical:
    """Canonical data of every character; planes without any are not scanned."""
    classes, splits, pairs = {}, {}, {}
    for point in itertools.chain(range(0x20000), range(0x2F800, 0x2FA20)):
        character = chr(point)
        if combining := unicodedata.combining(character):
            classes[point] = combining
        hangul = 0xAC00 <= point < 0xD7A4
        if not hangul and (not (mapping := unicodedata.decomposition(character)) or mapping.startswith("<")):
            continue
        splits[point] = tuple(map(ord, unicodedata.normalize("NFD", character)))
        if hangul:
            tail = (point - 0xAC00) % 28
            first_second = (point - tail, 0x11A7 + tail) if tail else splits[point]
        else:
            first_second = tuple(int(part, 16) for part in mapping.split())
        if len(first_second) == 2 and unicodedata.normalize("NFC", character) == character:
            pairs[first_second[0], first_second[1]] = point
    seconds = {second for _, second in pairs}
    restless = seconds | classes.keys()
    restless |= {
        point for point, parts in splits.items()
        if parts[0] in seconds or unicodedata.normalize("NFC", chr(point)) != chr(point)
    }  # fmt: skip
    return _Canonical(classes, splits, pairs, frozenset(restless))


def is_compatibility_ideograph(point: int) -> bool:
    """Whether NFC would replace this ideograph by another: 神 (U+FA19) by 神.

    >>> is_compatibility_ideograph(0xFA19), is_compatibility_ideograph(ord("神")), is_compatibility_ideograph(0xFA11)
    (True, False, False)
    """
    return (0xF900 <= point < 0xFB00 or 0x2F800 <= point < 0x2FA20) and point in _canonical().splits


@functools.cache
def _canonical_arrays(keep_ideographs: bool) -> tuple[npt.NDArray[np.int64], ...]:
    """`keys`, `values` and `parts` of `Tables`."""
    data = _canonical()
    known = {first << 21 | second: composite for (first, second), composite in data.pairs.items()} | data.classes
    parts: list[int] = []
    for point, split in data.splits.items():
        if not (keep_ideographs and is_compatibility_ideograph(point)):
            known[-point] = len(parts) << 3 | len(split)
            parts += split
    found = np.array(sorted(known.items()), dtype=np.int64)
    return np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1]), np.array(parts, dtype=np.int64)


class _Entry(NamedTuple):
    rule: str
    kind: int
    target: int


@functools.cache
def _canonical_entries(keep_ideographs: bool) -> dict[int, _Entry]:
    data, found = _canonical(), {}
    for point in sorted(data.restless):
        if keep_ideographs and is_compatibility_ideograph(point):
            continue
        parts = data.splits.get(point, (point,))
        if len(parts) == 1 and point not in data.classes and parts[0] not in data.restless and parts[0] != point:
            found[point] = _Entry("nfc", PLAIN, parts[0])  # Å (U+212B), 神: one starter for another
        else:
            found[point] = _Entry("nfc", CANONICAL, point)
    return found


def _entries(active: frozenset[str], keep_ideographs: bool) -> dict[int, _Entry]:
    """What text rules do to each character they touch."""
    found: dict[int, _Entry] = {}
    for rule in RULES:
        if rule not in active:
            continue
        for point, target in _REPLACED.get(rule, {}).items():
            found.setdefault(point, _Entry(rule, PLAIN, target))
        for point in _REMOVED.get(rule, ()):
            found.setdefault(point, _Entry(rule, REMOVE, point))
        if rule == "nfc":
            for point, entry in _canonical_entries(keep_ideographs).items():
                found.setdefault(point, entry)
    for point, (rule, kind, target) in found.items():
        while kind == PLAIN and target in found and found[target].kind == PLAIN:  # Ἆ by way of another singleton
            target = found[target].target
        found[point] = _Entry(rule, kind, target)
    kinds: dict[int, int] = {0x0A: LINE_END}
    if "line_ends" in active:
        kinds |= dict.fromkeys(_LINE_ENDS, LINE_END)
    if "zero_width" in active:
        kinds[_JOINER] = JOINER
    if "stray_voicing_marks" in active:
        kinds |= dict.fromkeys(map(ord, "゛゜ﾞﾟ"), VOICING)
    if "repeated_marks" in active:
        kinds |= dict.fromkeys(_REPEATABLE, REPEATABLE)
    if "ruby" in active:
        kinds[ord("》")] = CLOSER
    if "reading_parentheses" in active:
        kinds |= {ord("）"): CLOSER, ord(")"): CLOSER}
    for point, kind in kinds.items():
        found.setdefault(point, _Entry("", kind, point))
    for point, (rule, kind, target) in found.items():
        if kind == PLAIN and target in kinds:
            found[point] = _Entry(rule, kinds[target], target)
        elif kind == PLAIN and rule == "halfwidth_kana":
            found[point] = _Entry(rule, HALF_KANA, target)
    return found


def _code_entries(text: dict[int, _Entry]) -> dict[int, _Entry]:
    """What is left of the text rules inside code: line ends and control characters."""
    return {point: entry for point, entry in text.items() if entry.kind == LINE_END or entry.rule == "controls"}


def _lookup(*levels: dict[int, _Entry]) -> npt.NDArray[np.uint32]:
    heads = len(levels) << HEAD_BITS
    blocks = [np.zeros(heads, dtype=np.uint32), np.zeros(256, dtype=np.uint32)]
    blocks[0][:] = heads  # the block of characters without a rule
    for level, entries in enumerate(levels):
        for point, (rule, kind, target) in sorted(entries.items()):
            head = level << HEAD_BITS | point >> 8
            if blocks[0][head] == heads:
                blocks[0][head] = heads + 256 * (len(blocks) - 1)
                blocks.append(np.zeros(256, dtype=np.uint32))
            block = blocks[(int(blocks[0][head]) - heads) // 256 + 1]
            block[point & 0xFF] = RULES.index(rule) << (TARGET_BITS + KIND_BITS) | kind << TARGET_BITS | target
    return np.concatenate(blocks)


def tables(
    active: frozenset[str], *, keep_ideographs: bool, fenced_code: bool, indented_code: bool, repeat_limit: int
) -> Tables:
    """Compile the rules that are on.

    Args:
        active: names out of `RULES`.
        keep_ideographs: NFC leaves CJK compatibility ideographs as they are.
        fenced_code: lines between Markdown fences are copied.
        indented_code: paragraphs indented by four spaces or a tab are copied.
        repeat_limit: marks that a run keeps where `repeated_marks` is on.
    """
    text = _entries(active, keep_ideographs)
    keys, values, parts = _canonical_arrays(keep_ideographs)
    return Tables(
        _lookup(text, _code_entries(text)),
        keys=keys, values=values, parts=parts,
        fenced=fenced_code, indented=indented_code,
        trailing="trailing_spaces" in active, blank_lines="blank_lines" in active,
        repeat_limit=repeat_limit,
        ruby_start=ord("|" if "fullwidth_punctuation" in active else "｜"),
    )  # fmt: skip
