"""Markdown: headings, paragraphs, lists, tables and code as plain text."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
_TAG = re.compile(r"<[^>]+>")


class MarkdownSource(Source):
    """Markdown: headings, paragraphs, lists, tables and code as plain text; link addresses and HTML tags removed."""

    format: Literal["markdown"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file; its first heading is the title."""
        decoded = decode(member.read())
        text = decoded.text.replace("\r\n", "\n")
        meta: dict[str, Any] = {}
        if front := _FRONT_MATTER.match(text):
            meta["front_matter"] = front.group(1)
            text = text[front.end() :]
        tokens = _MARKDOWN.parse(text)
        plain = "\n\n".join(block for block in _blocks(tokens) if block.strip())
        title = next(
            (t.content for t, before in zip(tokens[1:], tokens, strict=False) if before.type == "heading_open"), ""
        )
        yield Document(
            identity,
            plain,
            title=_TAG.sub("", title),
            encoding=decoded.encoding,
            confidence=decoded.confidence,
            meta=meta,
        )


def _blocks(tokens: list[Token]) -> Iterator[str]:
    """Plain text of each block; the rows of a table and the items of a list stay together."""
    lines: list[str] = []
    depth = 0
    row: list[str] | None = None
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open", "table_open", "blockquote_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close", "table_close", "blockquote_close"):
            depth -= 1
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            lines.append("\t".join(row))
            row = None
        elif token.type == "inline":
            text = _inline(token)
            if row is not None:
                row.append(text)
            else:
                lines.append(text)
        elif token.type in ("fence", "code_block"):
            lines.append(token.content.rstrip("\n"))
        elif token.type == "html_block":
            lines.append(_TAG.sub("", token.content).strip())
        if depth == 0 and lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


def _inline(token: Token) -> str:
    parts = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "image":
            parts.append(child.content)
    return "".join(parts)
