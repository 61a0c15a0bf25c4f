"""The lines of a page once its brackets are resolved: headings, lists, sections to leave out, brackets left empty."""

import html
import re
from collections.abc import Iterator, Sequence

_LIST = re.compile(r"[*#:;]+[ \t]*")
_RULE = re.compile(r"-{4,}")
_MAGIC = re.compile(r"__[A-Z]{2,24}__|__[ぁ-んァ-ヶ一-鿿ー]{2,12}__|~{3,5}")
_QUOTES = re.compile("'''''|'''|''")
_LITERAL = re.compile("\0(\\d+)\0")
_TITLE_PARTS = re.compile(r"及び|並びに|[・、,，/／&＆と 　]")
_EMPTY = re.compile(r"[（(][ 　、,，;；・:：/／]*+[）)]")
_LEADING = re.compile(r"（[ 　、,，;；]++")
_TRAILING = re.compile(r"(?<![、,，;； 　])[、,，;； 　]++）")
_BLANK = re.compile(r"\n{3,}")
_SPACES = re.compile(r"(?<=\S)[ \t]++(?=\n)")


def without_comments(source: str) -> str:
    """Comments go first: they may stand inside anything. One that never ends hides the rest, as MediaWiki does."""
    if "<!--" not in source:
        return source
    kept, position = [], 0
    while (start := source.find("<!--", position)) >= 0:
        kept.append(source[position:start])
        end = source.find("-->", start + 4)
        if end < 0:
            return "".join(kept)
        position = end + 3
    return "".join([*kept, source[position:]])


def without_empty_brackets(text: str) -> str:
    """Drop brackets that a reading or a name left empty, and stray commas inside them.

    >>> without_empty_brackets("猫（）と犬（、いぬ、）は（、）")
    '猫と犬（いぬ）は'
    """
    if "（" not in text and "(" not in text:
        return text
    return _TRAILING.sub("）", _LEADING.sub("（", _EMPTY.sub("", text)))


def is_dropped(title: str, drop: Sequence[str]) -> bool:
    """Whether a section is one to leave out: its title is in the list, or is made of such titles.

    >>> is_dropped("注釈・出典", ("注釈", "出典")), is_dropped("出典の研究", ("注釈", "出典"))
    (True, False)
    """
    title = title.strip()
    parts = [part for part in _TITLE_PARTS.split(title) if part]
    return title in drop or (bool(parts) and all(part in drop for part in parts))


def arrange(text: str, drop: Sequence[str]) -> str:
    """Plain lines: headings on their own between blank lines, list items without marks, wanted sections only."""
    text = _QUOTES.sub("", _MAGIC.sub("", text))
    kept = "\n".join(_without_empty_sections(_wanted(text.split("\n"), drop)))
    kept = html.unescape(kept).replace("\xa0", " ") if "&" in kept or "\xa0" in kept else kept
    return _BLANK.sub("\n\n", _SPACES.sub("", without_empty_brackets(kept))).strip("\n ")


def _heading(line: str) -> tuple[int, str]:
    """Level and title of a line like `== 歴史 ==`; level 0 when it is none."""
    line = line.rstrip(" \t")
    inside = line.lstrip("=")
    title = inside.rstrip("=")
    level = min(len(line) - len(inside), len(inside) - len(title), 6)
    return (level, title.strip()) if title.strip() else (0, "")


def _wanted(lines: list[str], drop: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with their heading level, 0 for text, without the sections to drop."""
    dropping = 0
    for line in lines:
        level, heading = _heading(line) if line.startswith("=") else (0, "")
        if level:
            if dropping and level > dropping:
                continue
            dropping = level if is_dropped(heading, drop) else 0
            if not dropping:
                yield level, heading
        elif not dropping:
            if line.startswith(";") and "\0" not in line:  # ; term : what it means
                term, colon, meaning = _LIST.sub("", line, count=1).partition(" :")
                line = f"{term.strip()}\n{meaning.strip()}" if colon else term
            elif line[:1] in ("*", "#", ":", ";"):
                line = _LIST.sub("", line, count=1)
            elif _RULE.fullmatch(line):
                line = ""
            yield 0, line.strip(" ") if "\t" not in line else line


def _without_empty_sections(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """A heading is given out when text follows below it."""
    waiting: list[tuple[int, str]] = []
    for level, line in lines:
        if level:
            while waiting and waiting[-1][0] >= level:
                waiting.pop()
            waiting.append((level, line))
        elif line.strip():
            for _, heading in waiting:
                yield f"\n{heading}\n"
            waiting = []
            yield line
        else:
            yield ""


def restore(text: str, literals: Sequence[str]) -> str:
    """Put code and formulas, which nothing above may touch, back into their places."""
    if not literals:
        return text
    back = _LITERAL.sub(lambda match: html.unescape(literals[int(match.group(1))]), text)
    return _BLANK.sub("\n\n", back).strip("\n")
