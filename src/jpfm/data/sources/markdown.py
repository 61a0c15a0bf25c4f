"""Markdown: headings, paragraphs, lists, tables and code as plain text.

CommonMark with tables and strikethrough, and what Japanese documentation adds to it: front matter, footnotes, math,
task lists, `::: tip` (VitePress, Docusaurus), `!!! note` (MkDocs), `> [!NOTE]` (GitHub), cpprefjp's marks
(`* int[color ff0000]`, `* vector[meta header]`), emphasis beside Japanese punctuation (`**「語」**は`), HTML and ruby.

Link addresses, tags, comments and footnote numbers go. Lists keep the numbers that the text refers to (第2項, 手順3).
Code and math stay as written, code between fences: normalisation exempts what is fenced, and a model should see where
code begins. Inline code loses its backticks.

A per-document Python parser, 2.4 MB/s on real pages (nine tenths of the time is markdown-it-py's); linear in any input.
Refused: a regular expression a construct; it would be faster and wrong inside code.
"""

import functools
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core import yaml12
from jpfm.core.errors import DataError, UsageError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import prose
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_MAX_BYTES = 8 << 20
_MAX_BRACKETS = 200_000  # each costs the parser up to 40 microseconds where none is closed
_MAX_DEPTH = 100  # lists and quotes inside each other count two and one
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.{0,65536}?\n)?\1[ \t]*(?:\n|\Z)", re.DOTALL)
_LOOKS_LIKE_YAML = re.compile(r"\s*(?:#[^\n]*\n\s*)*[\w.-]+[ \t]*:(?:\s|$)")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}")
_CONTAINER = re.compile(r":{3,}[ \t]*(?:\{[^{}]*\}[ \t]*)?([A-Za-z-]*)[ \t]*(.*)")
_CPPREFJP = re.compile(r"\* (.*)\[(?:meta ([a-z-]+)|link \S+|color [0-9a-fA-F]{3,8}|italic|mathjax enable)\][ \t]*")
_ATTRIBUTES = re.compile(r"[ \t]*\{[:#.][^{}]*\}\Z")
_CALLOUT = re.compile(r"\A\[![A-Za-z]+\][+-]?[ \t]*")
_MARKS = {"[mark verified]": "✓", "[mark impl]": "✓", "[mark noimpl]": "✗"}
_TOC = frozenset(("[toc]", "[[toc]]", "[[_toc_]]"))
_TASKS = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}


class MarkdownSource(Source):
    """Markdown files as plain text; code stays between fences, link addresses and HTML tags are removed.

    Front matter gives title, language, date, licence and address where it names them; all of it is kept in `meta`.
    """

    format: Literal["markdown"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file; its title is the front matter's, else the first heading.

        Raises:
            DataError: it is larger than 8 MiB, or lists or quotes are nested too deep to be text.
        """
        decoded = decode(member.read(_MAX_BYTES))
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
        facts, meta, text = _front_matter(text)
        if (brackets := text.count("[")) > _MAX_BRACKETS:
            raise DataError(f"{member.name}: {brackets} opening brackets", hint="is it data? use format: text")
        tokens = _parser().parse(text)
        if any(token.level >= _MAX_DEPTH - 1 and token.nesting == 1 for token in tokens):
            raise DataError(f"{member.name}: nested more than {_MAX_DEPTH} deep", hint="is it Markdown?")
        plain = "\n\n".join(block for block in _blocks(tokens) if block.strip())
        headings = (_ATTRIBUTES.sub("", _inline(token)) for token, before in zip(tokens[1:], tokens, strict=False)
                    if before.type == "heading_open")  # fmt: skip
        title = facts.pop("title", "") or next(headings, "")
        if marks := {token.info: token.content for token in reversed(tokens) if token.type == "mark" and token.info}:
            meta["cpprefjp"] = marks
        yield Document(
            identity, plain, title=title, encoding=decoded.encoding, confidence=decoded.confidence, meta=meta, **facts
        )


def _front_matter(text: str) -> tuple[dict[str, str], dict[str, Any], str]:
    """Document fields that the front matter names, what `meta` keeps of it, and the text behind it."""
    found = _FRONT_MATTER.match(text)
    block = (found.group(2) or "") if found else ""
    if found is None or (found.group(1) == "---" and block.strip() and not _LOOKS_LIKE_YAML.match(block)):
        return {}, {}, text  # a rule at the top of the page
    meta = {"front_matter": block.strip()} if block.strip() else {}
    try:
        values = tomllib.loads(block) if found.group(1) == "+++" else yaml12.parse(block, "front matter").plain()
    except (UsageError, tomllib.TOMLDecodeError, RecursionError) as error:
        message = error.message if isinstance(error, UsageError) else str(error)
        return {}, meta | {"front_matter_error": message}, text[found.end() :]
    values = values if isinstance(values, dict) else {}

    def first(*names: str) -> str:
        words = (str(values[name]).strip() for name in names if isinstance(values.get(name), str | int | float))
        return next((word for word in words if word), "")

    date = _DATE.match(str(values.get("date", "")))
    facts = {
        "title": first("title"), "lang": first("lang", "language"), "licence": first("licence", "license"),
        "url": next((word for word in (first(name) for name in ("canonical", "url")) if "://" in word), ""),
        "date": "-".join(part.zfill(2) for part in re.split("[-/]", date.group())) if date else "",
    }  # fmt: skip
    return facts, meta, text[found.end() :]


@functools.cache
def _parser() -> Any:
    """markdown-it with the rules above. Shared: it keeps nothing between calls."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.admon import admon_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.footnote import footnote_plugin

    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _MAX_DEPTH}).enable(["table", "strikethrough"])
    admon_plugin(parser)
    footnote_plugin(parser, inline=False, move_to_end=False)
    dollarmath_plugin(
        parser, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False, double_inline=True
    )
    parser.block.ruler.before("fence", "mark", _mark, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.inline.ruler.at("emphasis", _emphasis)
    return parser


def _mark(state: Any, line: int, end: int, silent: bool) -> bool:
    """Block rule: a line that says how text is shown. Its token's content is what a reader sees of it."""
    start = state.bMarks[line] + state.tShift[line]
    if state.src[start : start + 3] != ":::" and state.src[start : start + 2] != "* ":
        return False
    if state.is_code_block(line):
        return False
    text = state.src[start : state.eMarks[line]]
    if found := _CONTAINER.fullmatch(text):
        title = found.group(2).strip()
        content, key = title[1:-1] if title[:1] == "[" and title[-1:] == "]" else title, ""
        content = "" if found.group(1) == "code-group" else _ATTRIBUTES.sub("", content)
    elif found := _CPPREFJP.fullmatch(text):
        content, key = found.group(1) if found.group(2) else "", found.group(2) or ""
    else:
        return False
    if not silent:
        token = state.push("mark", "", 0)
        token.content, token.info = content, key
        state.line = line + 1
    return True


def _emphasis(state: Any, silent: bool) -> bool:
    """Inline rule: CommonMark's, and `*` beside a Japanese character opens and closes whatever its other side is.

    CommonMark lets `**「語」**は` stand as written, because 」 is punctuation and は is no space.
    """
    from markdown_it.rules_inline.emphasis import tokenize

    start, first = state.pos, len(state.delimiters)
    if not tokenize(state, silent):
        return False
    before = state.src[start - 1] if start else " "
    after = state.src[state.pos] if state.pos < state.posMax else " "
    if state.src[start] == "*" and not (prose.is_spaced(before) and prose.is_spaced(after)):
        for delimiter in state.delimiters[first:]:
            delimiter.open, delimiter.close = not after.isspace(), not before.isspace()
    return True


def _blocks(tokens: list[Any]) -> Iterator[str]:
    """Plain text of each block; the rows of a table and the items of a list stay together."""
    lines: list[str] = []
    depth = 0
    prefix = ""
    cells: list[str] | None = None
    heading = untitled = False
    quotes = 0
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open", "table_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close", "table_close"):
            depth -= 1
        elif token.type == "list_item_close":
            prefix = ""
        elif token.type == "list_item_open":
            prefix = f"{token.info}{token.markup} " if token.info else ""
        elif token.type in ("heading_open", "heading_close"):
            heading = token.nesting == 1
        elif token.type in ("blockquote_open", "blockquote_close"):
            quotes += token.nesting
        elif token.type == "admonition_open":
            untitled = token.info.strip().isalnum()  # `!!! note`: the parser makes a title of the word
        elif token.type == "tr_open":
            cells = []
        elif token.type == "tr_close" and cells is not None:
            lines.append(prose.row(cells))
            cells = None
        elif token.type == "inline":
            text = _inline(token)
            if cells is not None:
                cells.append(text)
            elif untitled:
                untitled = False
            else:
                text = _ATTRIBUTES.sub("", text) if heading else _CALLOUT.sub("", text) if quotes else text
                text = _TASKS.get(text[:4], text[:4]) + text[4:] if depth else text
                if text.lower() not in _TOC:
                    lines.append(prefix + text)
                prefix = ""
        elif token.type == "mark":
            lines.append("" if token.info else token.content)
        elif token.type in ("fence", "code_block"):
            lines.append(prose.fence(token.content, token.info))
        elif token.type == "math_block":
            lines.append(f"$${token.content}$$")
        elif token.type == "html_block":
            lines.append(prose.html_text(token.content))
        if depth == 0 and lines:
            yield "\n".join(line for line in lines if line.strip())
            lines = []


def _inline(token: Any) -> str:
    """Text of a paragraph, a heading or a cell. Readings of ruby go; 2<sup>N</sup> does not become 2N."""
    parts: list[str] = []
    hidden = power = False
    for child in token.children or []:
        if child.type == "html_inline":
            tag = child.content.lower()
            hidden = tag.startswith(("<rt", "<rp"))
            power = tag == "<sup>"
            parts += ["\n"] if tag.startswith("<br") else []
        elif hidden:
            continue
        elif child.type in ("text", "code_inline"):
            if power and child.content[:1].isalnum() and parts and parts[-1][-1:].isalnum():
                parts.append("^")
            parts += [child.content] if child.content else []
            power = False
        elif child.type == "softbreak":
            parts.append("\r")
        elif child.type == "hardbreak":
            parts.append("\n")
        elif child.type == "image":
            parts.append(_inline(child))
        elif child.type in ("math_inline", "math_inline_double"):
            parts.append(f"{child.markup}{child.content}{child.markup}")
    lines = (prose.join_lines(line.replace("\r", "\n")) for line in "".join(parts).split("\n"))
    text = "\n".join(line for line in lines if line)
    if "[mark " in text:
        for mark, sign in _MARKS.items():
            text = text.replace(mark, sign)
    return text
