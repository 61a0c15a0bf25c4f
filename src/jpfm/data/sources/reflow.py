"""Lines of laid-out pages to paragraphs: hard line breaks undone, running headers and page numbers gone.

    without_margins(pages)                    # pages of layout.Line, each with the height of its page
    reflow(lines)                             # text: paragraphs apart by blank lines

A line goes on in the next one when it fills its column and the next one does not begin something new: an indented
paragraph, a list item, a heading, a row of a table. 。 at the end of a line ends the paragraph, unless the line is full
and the column shows its paragraphs by indents. A paragraph goes on over the end of a column or page by the same rule.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jpfm.data.sources.layout import Line
from jpfm.data.sources.prose import is_spaced

_ITEM = re.compile(
    r"[・•●○■□◆◇▶▷►➢✓※＊*‣▪◎★☆]|[-–]\s|[①-⑳㋐-㋾❶-❿⑴-⒇]"
    r"|[(（]?(?:\d{1,3}|[０-９]{1,3}|[一二三四五六七八九十]{1,3}|[ア-ンｱ-ﾝa-zA-Zivx]{1,2})[)）．.](?!\d)|[０-９]{1,2}　"
)
_HEADING = re.compile(
    r"第[\d０-９一二三四五六七八九十百]{1,4}[編章節款条項]|\d{1,2}(?:\.\d{1,2}){1,3}\s|【|附\s*則|別[表紙]"
)
_LEADER = re.compile(r"[.．・…‥·]{3,}\s*[\d０-９ivx-]+$")
_SENTENCE_END = "。．！？!?：:」』）)"
_PAGE_NUMBER = re.compile(
    r"[-–—‐－\s]*(?:p(?:age)?\.?\s*)?[\d０-９]{1,4}(?:\s*[/／]\s*[\d０-９]{1,4})?\s*(?:ページ|頁)?[-–—‐－\s]*",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"[\d０-９]+")
_MARGIN = 0.14
"""Running headers and footers stand in this part of a page's height at its top and its bottom."""


class Page(NamedTuple):
    """One page's lines; `tops` are heights above the page's lower edge, as parts of the page: 1 is the top."""

    lines: list[Line]
    tops: list[float]


def without_margins(pages: Sequence[Page]) -> list[list[Line]]:
    """Drop page numbers, and lines at the same height of the margin that differ in numbers only.

    On two pages only page numbers go: a form's title may well stand on both.
    """
    keys = [[_key(line, top) for line, top in zip(page.lines, page.tops, strict=True)] for page in pages]
    counts = Counter(key for page in keys for key in dict.fromkeys(page) if key is not None)
    enough = max(3, -(-len(pages) // 4))
    kept = []
    for page, page_keys in zip(pages, keys, strict=True):
        lines = []
        for line, key in zip(page.lines, page_keys, strict=True):
            number = key is not None and len(pages) > 1 and _PAGE_NUMBER.fullmatch(line.text.strip())
            if not number and (key is None or counts[key] < enough):
                lines.append(line)
        kept.append(lines)
    return kept


def _key(line: Line, top: float) -> tuple[str, int] | None:
    if _MARGIN < top < 1 - _MARGIN:
        return None
    return _DIGITS.sub("0", line.text.strip()), round(top * 100)


def reflow(lines: Sequence[Line]) -> str:
    """The text of lines in reading order."""
    body = _common_height(lines)
    indented = {block for block, count in Counter(_indents(lines)).items() if count}
    paragraphs: list[str] = []
    breaks: list[str] = []
    kinds: list[str] = []
    before: Line | None = None
    for line in map(_with_mark, lines):
        kind = _kind(line, body)
        if before is not None and _goes_on(before, line, kinds[-1], kind, before.block in indented):
            paragraphs[-1] = _joined(paragraphs[-1], line.text)
            before = line
            continue
        breaks.append(_break(before, line, kinds[-1], kind) if before is not None else "")
        paragraphs.append(line.text)
        kinds.append(kind)
        before = line
    return "".join(mark + text.strip() for mark, text in zip(breaks, paragraphs, strict=True))


def _break(before: Line, line: Line, kind: str, next_kind: str) -> str:
    """One line end between items, rows, and short lines set closely (an address, code); else a blank line."""
    if kind == next_kind and kind in ("item", "row"):
        return "\n"
    close = before.block == line.block and before.y - line.y <= max(1.25 * before.pitch, 1.2 * line.height)
    plain = kind == next_kind == "text" and not _is_indented(line) and before.text[-1] not in _SENTENCE_END
    return "\n" if close and plain else "\n\n"


def _common_height(lines: Sequence[Line]) -> float:
    heights: Counter[float] = Counter()
    for line in lines:
        heights[round(line.height, 1)] += len(line.text)
    return max(heights, key=lambda height: heights[height], default=0.0)


def _indents(lines: Sequence[Line]) -> Iterator[int]:
    """The block of each line that begins a paragraph by an indent of one or two characters after a full line."""
    for before, line in itertools.pairwise(lines):
        if (
            before.block == line.block
            and _is_indented(line)
            and not _is_indented(before)
            and not _ITEM.match(line.text)
        ):
            yield line.block


def _is_indented(line: Line) -> bool:
    return 0.7 * line.height < line.x0 - line.left < 3 * line.height


def _with_mark(line: Line) -> Line:
    """A number or mark and what stands after a gap (第１条　目的) are one cell."""
    mark, gap, rest = line.text.partition("\t")
    if gap and "\t" not in rest and len(mark) <= 8 and (_ITEM.fullmatch(mark) or _HEADING.match(line.text)):
        return line._replace(text=f"{mark}　{rest}", cells=1)
    return line


def _is_in_column(line: Line) -> bool:
    """Whether a full line is full: a title alone on its page fills what looks like a column."""
    return line.pitch > 0 and line.right - line.left > 8 * line.height


def _kind(line: Line, body: float) -> str:
    if line.cells > 1 or _LEADER.search(line.text):
        return "row"
    if line.height > 1.18 * body:
        return "heading"
    if _ITEM.match(line.text):
        return "item"
    return "start" if _HEADING.match(line.text) else "text"


def _goes_on(before: Line, line: Line, kind: str, next_kind: str, by_indent: bool) -> bool:
    """Whether `line` belongs to the paragraph of that kind whose last line is `before`."""
    if kind == "row" or next_kind not in ("text", "heading"):
        return False
    em = max(before.height, line.height)
    if (kind == "heading") != (next_kind == "heading") or abs(before.height - line.height) > 0.18 * em:
        return False
    same_block = before.block == line.block
    gap = before.y - line.y
    if same_block and gap > max(1.35 * before.pitch, 1.2 * em):
        return False
    if before.right - before.x1 > _slack(before, line, em):
        return False
    if same_block and _is_indented(line) and not _is_indented(before) and kind != "item":
        return False
    if not same_block and (_is_indented(line) or before.text[-1] in _SENTENCE_END or not _is_in_column(before)):
        return False
    full_by_chance = by_indent and before.right - before.x1 < 0.7 * em
    return not (before.text[-1] in "。！？!?" and not full_by_chance)


def _slack(before: Line, line: Line, em: float) -> float:
    """How much room a full line may leave: what Japanese typesetting moves to the next line, or one Latin word."""
    if is_spaced(before.text[-1]) and is_spaced(line.text[0]):
        return (len(line.text.split(None, 1)[0]) * 0.6 + 1) * em
    return 1.7 * em


def _joined(left: str, right: str) -> str:
    left, right = left.rstrip(), right.lstrip()
    if left.endswith("\u00ad"):
        return left[:-1] + right
    if left.endswith("-") and left[-2:-1].isalpha() and right[:1].islower() and is_spaced(left[-2]):
        return left[:-1] + right
    return left + (" " if is_spaced(left[-1]) and is_spaced(right[0]) else "") + right
