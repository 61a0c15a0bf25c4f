"""Wikitext to plain text in one pass, whatever the nesting.

    plain("'''猫'''（ねこ、{{lang-en|cat}}）は[[哺乳類|獣]]である。<ref>出典</ref>")     # '猫（ねこ、cat）は獣である。'

A stack machine over tokens: what opens ({{ [[ {| [url) pushes a frame, what closes pops it and hands its text to the
frame below. Nothing recurses and no text is scanned twice, so a page of 10,000 nested braces takes the time of its
length; beyond `MAX_DEPTH` frames the inside is dropped, where MediaWiki itself shows an error. What never closes is
text without its brackets. Refused: mwparserfromhell, whose tree of Python objects took five to ten times as long on
the same page (2-core x86-64), and whose `strip_code` keeps references and picture options and loses the bounds of
cells. The tests hold both to the same words.
"""

import re
from collections.abc import Mapping, Sequence

from jpfm.data.sources import wikitext_lines as lines_of
from jpfm.data.sources.wikitext_templates import template

MAX_DEPTH = 100
_TOKEN = re.compile(
    r"<(?P<close>/?)(?P<tag>[A-Za-z][A-Za-z0-9]{0,15})(?=[\s/>])(?P<attributes>[^<>]*)>"
    r"|\n[ \t:*#;]*(?:(?P<begin>\{\|)[^\n]*|(?P<end>\|\}(?!\}))|(?P<row>\|-)[^\n]*|(?P<caption>\|\+)"
    r"|(?P<cell>\||!(?!!))|(?P<heading>=))"
    r"|\{\{|\}\}|\[\[|\]\]|\[(?P<url>(?:https?:|ftp:)?//[^\s\[\]<>|{}\"]+)[ \t]*|\]|\|\||!!|\||\n"
)
_DROPPED_TAGS = frozenset((
    "ref", "gallery", "timeline", "graph", "mapframe", "maplink", "imagemap", "score", "templatestyles",
    "references", "hiero", "rt", "rp", "rtc", "includeonly", "indicator", "inputbox", "categorytree", "style",
    "script",
))  # fmt: skip
_CODE_TAGS = frozenset(("syntaxhighlight", "source", "pre"))
_LITERAL_TAGS = frozenset(("nowiki", "math", "chem", "ce"))
_CONTENT_TAGS = _DROPPED_TAGS | _CODE_TAGS | _LITERAL_TAGS
_LINE_TAGS = frozenset((
    "br", "p", "div", "blockquote", "li", "dd", "dt", "ul", "ol", "dl", "hr", "poem", "center", "table", "tr", "h1",
    "h2", "h3", "h4", "h5", "h6",
))  # fmt: skip
_SPACE_NAMES = "ファイル|画像|メディア|カテゴリ|File|Image|Media|Category"
_NO_TEXT = re.compile(rf"[ ]{{0,9}}(?:(?i:{_SPACE_NAMES})[ ]{{0,9}}|[a-z]{{2,3}}(?:-[a-z]{{2,8}}){{0,2}})[:：]")
_ATTRIBUTES = re.compile(
    r"\s*+(?:[A-Za-z][\w-]*+\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"']++)\s*+)*+|\s*+nowrap\s*+", re.IGNORECASE
)
_ATTRIBUTE_PARTS = 8  # more text than this before a pipe is no attribute of the cell
_CLOSES = {"}}": "{{", "]]": "[["}


class _Frame:
    """Something open. `parts` is the text of the argument or cell under way; `done` holds those before it."""

    __slots__ = ("caption", "done", "header", "kind", "parts", "rows")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.parts: list[str] = []
        self.done: list[str] = []
        self.rows: list[list[str]] = []
        self.header = self.caption = False  # of a table: what the line under way is

    def next(self) -> None:
        self.done.append("".join(self.parts))
        self.parts = []

    def end_row(self) -> None:
        self.next()
        self.rows.append(self.done)
        self.done = []


class _Machine:
    """One page under way."""

    def __init__(self, source: str, *, tables: bool, math: bool, keep: Mapping[str, int]) -> None:
        self.source = source
        self.tables, self.math, self.keep = tables, math, keep
        self.frames = [_Frame("")]
        self.open = {"{{": 0, "[[": 0, "{|": 0, "[": 0}
        self.literals: list[str] = []
        self.never_closed: set[str] = set()

    def run(self) -> str:
        source, position = self.source, 0
        while match := _TOKEN.search(source, position):
            if match.start() > position:
                self.frames[-1].parts.append(source[position : match.start()])
            position = self.tag(match) if match.lastgroup == "attributes" else self.mark(match, match.group())
        self.frames[-1].parts.append(source[position:])
        self.unwind(0)
        return "".join(self.frames[0].parts)

    def push(self, kind: str) -> None:
        self.frames.append(_Frame(kind))
        self.open[kind] += 1

    def pop(self) -> _Frame:
        frame = self.frames.pop()
        self.open[frame.kind] -= 1
        return frame

    def unwind(self, level: int) -> None:
        """Take frames above a level for what never closed: their text goes to the frame at that level."""
        target = self.frames[level].parts
        for frame in self.frames[level + 1 :]:
            self.open[frame.kind] -= 1
            if frame.kind == "{|":
                target += [_table(frame), "\n"]
            else:
                for done in frame.done:
                    target += [done, "|"]
                target += frame.parts
        del self.frames[level + 1 :]

    def close(self, kind: str) -> bool:
        """Bring the nearest frame of a kind to the top. False when there is none."""
        if not self.open[kind]:
            return False
        level = len(self.frames) - 1
        while self.frames[level].kind != kind:
            level -= 1
        if level < len(self.frames) - 1:
            self.unwind(level)
        return True

    def hand_down(self, text: str) -> None:
        if len(self.frames) <= MAX_DEPTH:
            self.frames[-1].parts.append(text)

    def tag(self, match: re.Match[str]) -> int:
        name, end = match.group("tag").lower(), match.end()
        empty = match.group("attributes").rstrip().endswith("/")
        if not match.group("close") and not empty and name in _CONTENT_TAGS:
            found = self.find_end(name, end)
            if found is None:
                return end
            inside = self.source[end : found[0]]
            if name in _CODE_TAGS:
                fenced = name != "pre" and "\n" in inside and "inline" not in match.group("attributes")
                self.literal(f"\n```\n{inside.strip(chr(10))}\n```\n" if fenced else inside)
            elif name == "nowiki":
                self.literal(inside)
            elif name in _LITERAL_TAGS and self.math:
                self.literal(f"${inside.strip()}$" if name == "math" else inside)
            return found[1]
        if name in _LINE_TAGS:
            self.hand_down("\n")
        elif name in ("td", "th") and not match.group("close"):
            self.hand_down("\t")
        return end

    def find_end(self, name: str, start: int) -> tuple[int, int] | None:
        """Where the content of a tag ends, and its end tag. A search that failed once is not made again."""
        if name in self.never_closed:
            return None
        found = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(self.source, start)
        if found is None:
            self.never_closed.add(name)
            return None
        return found.span()

    def literal(self, text: str) -> None:
        self.hand_down(f"\0{len(self.literals)}\0")
        self.literals.append(text)

    def mark(self, match: re.Match[str], sign: str) -> int:
        end, top, name = match.end(), self.frames[-1], match.lastgroup
        if sign == "\n" or name == "heading":
            level = len(self.frames) - 1
            while (kind := self.frames[level].kind) == "[" or (kind == "[[" and name == "heading"):
                level -= 1
            if level < len(self.frames) - 1:
                self.unwind(level)
            top = self.frames[level]
            top.header = False
            top.parts.append(sign)
        elif sign in ("{{", "[["):
            self.push(sign)
        elif sign in _CLOSES:
            return self.closed(sign, end, top)
        elif name == "url":
            self.push("[")
        elif sign == "]":
            if top.kind == "[":
                self.end_url(top)
            else:
                top.parts.append(sign)
        elif name == "begin":
            top.parts.append("\n")
            self.push("{|")
        elif top.kind in ("{{", "[["):
            self.argument(name, sign, top)
        elif top.kind == "{|" or (name == "end" and self.close("{|")):
            self.cell(name, sign, self.frames[-1])
        else:
            top.parts.append(sign)
        return end

    def closed(self, sign: str, end: int, top: _Frame) -> int:
        if sign == "]]" and top.kind == "[":
            self.end_url(top)
            return end - 1
        if not self.close(_CLOSES[sign]):
            top.parts.append(sign if sign == "]]" else "")
            return end
        frame = self.pop()
        frame.next()
        if sign == "]]":
            self.hand_down(_link(frame.done))
            return end
        if frame.done[0].startswith("{"):  # {{{parameter|default}}}
            self.hand_down(frame.done[-1] if len(frame.done) > 1 else "")
            return end + self.source.startswith("}", end)
        self.hand_down(template(frame.done, self.keep))
        return end

    def end_url(self, top: _Frame) -> None:
        self.pop()
        self.hand_down("".join(top.parts))

    def argument(self, name: str | None, sign: str, top: _Frame) -> None:
        if sign == "!!" or (name == "cell" and sign.endswith("!")):
            top.parts.append(sign)
        elif top.kind == "[[" and name in ("row", "end") and self.open["{|"]:
            self.close("{|")  # a link that never closed ends with its cell
            self.cell(name, sign, self.frames[-1])
        else:
            for _ in range(2 if sign == "||" else 1):
                top.next()

    def cell(self, name: str | None, sign: str, top: _Frame) -> None:
        if name == "end":
            self.pop()
            self.hand_down(f"{_table(top)}\n" if self.tables else "\n")
        elif name in ("row", "caption"):
            top.end_row()
            top.caption = name == "caption"
        elif name == "cell" or sign == "||" or (sign == "!!" and top.header):
            if name == "cell" and top.caption:
                top.end_row()
                top.caption = False
            top.next()
            top.header = sign.endswith("!") if name == "cell" else top.header
        elif len(top.parts) <= _ATTRIBUTE_PARTS and _ATTRIBUTES.fullmatch("".join(top.parts)):
            top.parts = []
        else:
            top.parts.append(sign)


def _link(arguments: list[str]) -> str:
    """What a link shows: its label, else its target; nothing for pictures, categories and other languages."""
    target = arguments[0]
    if not target.startswith(":") and _NO_TEXT.match(target):
        return ""
    if len(arguments) > 1 and arguments[-1].strip():
        return "|".join(arguments[1:])
    return target.lstrip(":#").replace("_", " ")


def _table(frame: _Frame) -> str:
    """Rows as lines, cells apart by tabs; a table inside a table becomes one line of words."""
    frame.end_row()
    rows = [[" ".join(cell.split()) for cell in row] for row in frame.rows]
    cells = [row if row and row[0] else row[1:] for row in rows]  # before the first cell stands a caption, or nothing
    return "\n".join("\t".join(row).rstrip("\t") for row in cells if any(row))


def plain(
    source: str, *, drop_sections: Sequence[str] = (), tables: bool = True, math: bool = True,
    keep_templates: Mapping[str, int] | None = None,
) -> str:  # fmt: skip
    """The text of a page.

    >>> plain("{{Infobox|名=猫}}'''猫'''（、{{lang|en|cat}}）\\n* [[哺乳類]]\\n== 脚注 ==\\nx", drop_sections=("脚注",))
    '猫（cat）\\n哺乳類'
    >>> plain("{|\\n! 国 !! 首都\\n|-\\n| 日本 || align=right | [[東京]]\\n|}")
    '国\\t首都\\n日本\\t東京'

    Args:
        drop_sections: titles of sections to leave out, with those below them.
        tables: keep them, a line a row; else drop them.
        math: keep formulas as TeX between $; else drop them.
        keep_templates: names of further templates, and which of their arguments is text (1 is the first).
    """
    source = lines_of.without_comments(source.replace("\0", "").replace("\r\n", "\n"))
    machine = _Machine("\n" + source, tables=tables, math=math, keep=keep_templates or {})
    text = lines_of.arrange(machine.run(), drop_sections)
    return lines_of.restore(text, machine.literals)
