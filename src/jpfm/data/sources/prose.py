"""Plain text as documentation formats share it: joined lines, code between fences, rows of a table, markup in pieces.

    join_lines("これは長い\\n段落です")        # 'これは長い段落です'
    fence("print(1)\\n", "python")            # code stays between ``` so that normalisation can leave it alone

A paragraph's line breaks mean nothing in Markdown, reStructuredText and XML. Japanese lines join without a space, Latin
and Hangul ones with one. Tables are a line a row, cells apart by tabs.
"""

import html
import re
import unicodedata

_BREAK = re.compile(r"[ \t\r\n]*\n[ \t\r\n]*")
_BACKTICKS = re.compile(r"^[ \t>]*(`{3,})", re.MULTILINE)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_PIECE = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)[^<>]*>|[^<]+|<")
_BLOCK_TAGS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote br caption center dd details div dl dt figcaption figure footer form h1 h2 h3"
        " h4 h5 h6 header hr li main nav ol p pre section summary table tbody thead tr ul video",
    )
)
_HIDDEN_TAGS = frozenset(("rt", "rp", "script", "style", "template", "svg"))


def is_spaced(char: str) -> bool:
    """Whether a line break beside this character stands for a space: false beside Japanese and Chinese ones.

    >>> [is_spaced(char) for char in "aあ、漢Ａ한"]
    [True, False, False, False, False, True]
    """
    return unicodedata.east_asian_width(char) not in "WF" or "가" <= char <= "힣"


def join_lines(text: str) -> str:
    """A paragraph on one line.

    >>> join_lines("日本語の\\n  行と Latin\\nlines と\\nAPI")
    '日本語の行と Latin lines とAPI'
    """
    if "\n" not in text:
        return text.strip(" \t")
    lines = _BREAK.split(text.strip(" \t\r\n"))
    parts = lines[:1]
    for line in lines[1:]:
        before = parts[-1]
        if before and line and is_spaced(before[-1]) and is_spaced(line[0]):
            parts.append(" ")
        parts.append(line)
    return "".join(parts)


def fence(code: str, language: str = "") -> str:
    """Code between fences longer than any inside it; its first word of `language` says which.

    >>> print(fence("x = '①'\\n", "python title=a.py"))
    ```python
    x = '①'
    ```
    """
    marks = "`" * max([3, *(len(run) + 1 for run in _BACKTICKS.findall(code))])
    word = _LANGUAGE.match(language.strip())
    return f"{marks}{word.group() if word else ''}\n{code.strip(chr(10))}\n{marks}"


def row(cells: list[str]) -> str:
    """A table's row: cells apart by tabs, each on one line; empty when all cells are."""
    return "\t".join(" ".join(cell.split()) for cell in cells) if any(cell.strip() for cell in cells) else ""


def without_comments(source: str, start: str = "<!--", stop: str = "-->") -> str:
    """Cut comments; one that is not closed runs to the end. Linear in any input.

    >>> without_comments("前<!-- 註 -->後<!-- 未完")
    '前後'
    """
    parts, position = [], 0
    while (found := source.find(start, position)) >= 0:
        parts.append(source[position:found])
        end = source.find(stop, found + len(start))
        if end < 0:
            return "".join(parts)
        position = end + len(stop)
    return "".join(parts) + source[position:]


def html_text(source: str) -> str:
    """The text of a piece of HTML inside another format: blocks a line each, cells apart by tabs, readings cut.

    >>> html_text("<table><tr><td>甲<td>乙</tr><tr><td><ruby>丙<rt>へい</rt></ruby></table>終&amp;わり<br>二")
    '甲\\t乙\\n丙\\n終&わり\\n二'
    """
    lines: list[list[str]] = [[""]]  # cells of lines
    as_they_are: set[int] = set()
    hidden = ""
    preformatted = False
    for match in _PIECE.finditer(without_comments(source)):
        tag = (match.group(2) or "").lower()
        if hidden:
            hidden = "" if match.group(1) and tag == hidden else hidden
        elif not tag:
            text = html.unescape(match.group())
            first, *others = text.split("\n") if preformatted else [text]
            lines[-1][-1] += first
            lines += [[line] for line in others]
            as_they_are.update(range(len(lines) - 1 - len(others), len(lines)) if preformatted else ())
        elif tag in _HIDDEN_TAGS:
            hidden = "" if match.group(1) or match.group().endswith("/>") else tag
        elif tag in ("td", "th") and not match.group(1):
            lines[-1].append("")
        elif tag in _BLOCK_TAGS:
            preformatted = tag == "pre" and not match.group(1)
            lines.append([""])
    rows = (
        cells if number in as_they_are else [join_lines(cell) for cell in (cells if cells[0].strip() else cells[1:])]
        for number, cells in enumerate(lines)
    )
    return "\n".join("\t".join(cells).rstrip(" ") for cells in rows if any(cell.strip() for cell in cells))
