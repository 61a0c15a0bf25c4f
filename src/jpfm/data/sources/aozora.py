"""Aozora Bunko text: a work's body without marks, its header block and colophon as facts.

`我輩《わがはい》は｜山毛欅《ぶな》［＃「ぶな」に傍点］` becomes `我輩は山毛欅`.
A gaiji note that names a JIS X 0213 cell or a code point becomes that character; one that does not becomes 〓 and is
counted in `meta`. Old spelling stays as written. The marks themselves are in `aozora_marks`.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.aozora_marks import clean
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_RULE = re.compile(r"^-{20,}$")
_HEADER_LINES = 12
_NOTICE_LINES = 120
_COLOPHON = re.compile(r"底本[ 　]{0,4}[：:]")
_FOOTER = re.compile(  # of a work that names no 底本; only looked for in its last lines
    r"^[ 　]*(?:(?:底本の親本|親本|初出|入力|校正|(?:青空文庫作成)?ファイル(?:作成)?)[ 　]*[：:]"
    r"|(?:この|本)(?:作品|ファイル|テキスト)は、?[^\n]{0,30}青空文庫)", re.MULTILINE
)  # fmt: skip
_FOOTER_CHARS = 2_000
_EDITION = re.compile(r"^(?:[ 　]{2,}\d{4}[（(年]|入力[：:])", re.MULTILINE)
_FIELDS = {
    "底本": "source_book", "入力": "typed_by", "校正": "proofread_by", "底本の親本": "parent_book",
    "親本": "parent_book", "初出": "first_published",
}  # fmt: skip
_EVENTS = {"作成": "published", "公開": "published", "修正": "revised"}
_DAY = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日(作成|公開|修正)")
_YEAR = re.compile(r"(1[5-9]\d\d|20\d\d)(?:（[^）]{1,12}）|\([^)]{1,12}\))?年(?:(\d{1,2})月)?(?:(\d{1,2})日)?")
_ROLES = {"訳": "translator", "編": "editor", "校訂": "editor", "校注": "editor", "編纂": "editor", "監修": "editor"}


class AozoraSource(Source):
    """Aozora Bunko works as the library publishes them (Shift_JIS, ruby in 《》, notes in ［＃］)."""

    columns: ClassVar[tuple[str, ...]] = ("author", "source_book", "typed_by", "proofread_by")

    format: Literal["aozora"]
    keep_ruby: bool = False
    """Keep readings in full-width parentheses after the word instead of dropping them."""
    accents: bool = True
    """Inside 〔〕, make é of e' and so on, and drop the brackets; false keeps them as typed."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One work a file."""
        decoded = decode(member.read())
        header, body, colophon = _split(decoded.text.replace("\r\n", "\n").replace("\r", "\n"))
        text, missing = clean(body, keep_ruby=self.keep_ruby, accents=self.accents)
        if not text.strip():
            raise DataError("no text between the header block and the colophon", hint="is it an Aozora Bunko file?")
        names, title = _header([clean(line)[0] for line in header])
        facts = _facts(colophon)
        meta = names | {name: clean(value, accents=self.accents)[0] for name, value in facts.items()}
        first = _YEAR.search(facts.get("first_published", ""))
        date = "-".join(part.zfill(2) for part in first.groups() if part) if first else ""
        yield Document(
            identity, text, title=title, date=date, encoding=decoded.encoding,
            confidence=decoded.confidence, meta=meta | {"gaiji_missing": missing},
        )  # fmt: skip


def _split(text: str) -> tuple[list[str], str, str]:
    """Header lines, body and colophon of a work."""
    lines = text.split("\n", _NOTICE_LINES)
    rules = [number for number, line in enumerate(lines[:-1]) if _RULE.match(line.strip())]
    if len(rules) >= 2 and rules[0] <= _HEADER_LINES:
        head, start = rules[0], rules[1] + 1
    else:  # works without ruby carry no notice block: title, author, blank line
        head = start = next((n + 1 for n, line in enumerate(lines[:8]) if not line.strip() and n > 0), 0)
    body = "\n".join(lines[start:])
    cut = _book(body, len(body))
    if cut is not None:
        while (earlier := _book(body, cut, cut - _FOOTER_CHARS)) is not None and _EDITION.search(body, earlier, cut):
            cut = earlier  # a work of several books names each
    elif footer := _FOOTER.search(body, body.find("\n", max(0, len(body) - _FOOTER_CHARS) - 1) + 1):
        cut = footer.start()
    cut = len(body) if cut is None else cut
    return lines[:head], body[:cut], body[cut:]


def _book(text: str, end: int, start: int = 0) -> int | None:
    """Where the last line that names the book typed from (底本：) begins, within a range; searched from its end."""
    while (place := text.rfind("底本", max(0, start), end)) >= 0:
        before = text[max(0, place - 8) : place]
        words = before.rstrip(" 　")
        if (words.endswith("\n") or (not words and place <= 8)) and _COLOPHON.match(text, place):
            return place - len(before) + len(words)
        end = place
    return None


def _header(lines: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The names and the title: title, subtitles, author, translator or editor, one a line, up to a blank line."""
    stripped = itertools.dropwhile(lambda line: not line, (line.strip() for line in lines[:_HEADER_LINES]))
    title, *header = list(itertools.takewhile(bool, stripped)) or [""]
    meta: dict[str, Any] = {}
    authors = []
    for line in header:
        role = next((name for ending, name in _ROLES.items() if line.endswith(ending) and len(line) > 2), None)
        if role is None:
            authors.append(line)
        else:
            meta[role] = line
    meta["author"] = authors[-1] if authors else ""
    if len(authors) > 1:
        meta["subtitle"] = "\n".join(authors[:-1])
    return meta, title


def _facts(colophon: str) -> dict[str, str]:
    """What the colophon says: the book that was typed and its parent with their editions, who typed it, and when."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in colophon.split("\n"):
        name, mark, value = line.replace(":", "：", 1).partition("：")
        if day := _DAY.match(line.strip()):
            found[_EVENTS[day.group(4)]] = [f"{day.group(1)}-{int(day.group(2)):02}-{int(day.group(3)):02}"]
            key = ""
        elif mark and name.strip() in _FIELDS:
            key = _FIELDS[name.strip()]
            found.setdefault(key, []).append(value.strip())
        elif line.startswith("※"):
            found.setdefault("notes", []).append(line)
            key = ""
        elif line[:1] in (" ", "　") and key:  # editions, or further places of first publication
            found.setdefault(f"{key}_edition" if key.endswith("book") else key, []).append(line.strip())
        else:
            key = ""
    return {name: "\n".join(filter(None, lines)) for name, lines in found.items()}
