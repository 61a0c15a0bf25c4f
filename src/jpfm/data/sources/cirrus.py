"""CirrusSearch JSON dumps: the search index of a wiki, two lines a page: which page, then its fields.

The text is what a reader sees, with references and tables left out by the wiki itself; templates are expanded. It
stands on few lines, without headings. `text_from: source_text` reads the wikitext instead, where sections can be cut.
Older dumps name the page in the line before (`{"index": {"_id": "12"}}`), newer ones in the record (`page_id`); both
are read, and a record without the line before it as well.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pydantic

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.lines import Line, lines
from jpfm.data.sources.mediawiki import WikitextSource, address
from jpfm.data.sources.wikitext_lines import without_empty_brackets

_PROJECTS = (
    "wiktionary", "wikibooks", "wikinews", "wikiquote", "wikisource", "wikiversity", "wikivoyage", "wiki",
)  # fmt: skip
_SPACES = re.compile(r"[ \t\u00a0]++")
_EDGES = re.compile(r" ?\n ?")


class CirrusSource(WikitextSource):
    """CirrusSearch dumps of Wikipedia and its sister projects (`*-cirrussearch-content.json.gz`)."""

    columns: ClassVar[tuple[str, ...]] = ("page_id", "revision_id")

    format: Literal["cirrus"]
    text_from: Literal["text", "source_text"] = "text"
    """The rendered text, or the wikitext (for which `drop_sections`, `tables` and `math` hold)."""
    meta_fields: tuple[str, ...] = ()
    """Further fields to keep in the `meta` column, e.g. category, template, wikibase_item, popularity_score."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "CirrusSource":
        idle = {"drop_sections", "tables", "math", "keep_templates"} & self.model_fields_set
        if self.text_from == "text" and idle:
            raise ValueError(f"{', '.join(sorted(idle))}: has effect on wikitext only; set text_from: source_text")
        return self

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a page."""
        page_id = ""
        for line in lines(member):
            if line.error is None and not line.text.strip():
                continue
            where = f"{identity}#{line.number}"
            if line.error is not None:
                yield Quarantined(where, self.error_kind(line.error), f"{line.error.message} ({line.error.hint})")
                continue
            record = _record(line, where)
            if isinstance(record, Quarantined):
                yield record
                continue
            if len(record) == 1 and isinstance(record.get("index"), dict):
                page_id = str(record["index"].get("_id", ""))
                continue
            document = self._document(record, where, page_id, line)
            page_id = ""
            if document is not None:
                yield document

    def _document(self, record: dict[str, Any], where: str, page_id: str, line: Line) -> Document | Quarantined | None:
        """A record as a document; None when its namespace is not asked for."""
        space = record.get("namespace", 0)
        if space not in self.namespaces:
            return None
        text = record.get(self.text_from)
        if not isinstance(text, str):
            found = ", ".join(map(str, list(record)[:12]))
            return Quarantined(where, "format", f"field '{self.text_from}' is no text; fields found: {found}")
        try:
            text.encode()
        except UnicodeEncodeError:
            return Quarantined(where, "decode", "the text holds lone surrogates (\\ud800-\\udfff escapes)")
        text = self.to_text(text) if self.text_from == "source_text" else _tidy(text)
        title = _text(record, "title")
        meta = {
            "page_id": page_id or str(record.get("page_id", "")),
            "revision_id": str(record.get("version", "")),
            "site": _text(record, "wiki"),
        }
        meta = {key: value for key, value in meta.items() if value}
        meta |= {key: record[key] for key in self.meta_fields if key in record}
        return Document(
            where, text, title=title, url=address(_base(_text(record, "wiki")), title), lang=_text(record, "language"),
            date=_text(record, "timestamp"), encoding=line.encoding, confidence=line.confidence, meta=meta,
        )  # fmt: skip


def _record(line: Line, where: str) -> dict[str, Any] | Quarantined:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        return Quarantined(where, "format", f"line {line.number} is not JSON: {error}")
    if not isinstance(record, dict):
        return Quarantined(where, "format", f"expected an object, found {type(record).__name__}")
    return record


def _text(record: dict[str, Any], field: str) -> str:
    value = record.get(field)
    return value if isinstance(value, str) else ""


def _base(wiki: str) -> str:
    """The main page of a wiki by its database name, which is a language and a project.

    >>> _base("jawiki"), _base("jawiktionary"), _base("")
    ('https://ja.wikipedia.org/wiki/', 'https://ja.wiktionary.org/wiki/', '')
    """
    project = next((name for name in _PROJECTS if wiki.endswith(name)), "")
    language = wiki.removesuffix(project).replace("_", "-")
    if not project or not re.fullmatch(r"[a-z][a-z-]{1,20}", language):
        return ""
    return f"https://{language}.{'wikipedia' if project == 'wiki' else project}.org/wiki/"


def _tidy(text: str) -> str:
    return _EDGES.sub("\n", without_empty_brackets(_SPACES.sub(" ", text))).strip()
