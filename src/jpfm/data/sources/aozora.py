"""Aozora Bunko text: ruby, notes, gaiji, the header block and the colophon.

`我輩《わがはい》は｜山毛欅《ぶな》［＃「ぶな」に傍点］` becomes `我輩は山毛欅`.
A gaiji note that names a JIS X 0213 cell or a code point becomes that character; one that does not becomes 〓 and is
counted in `meta`. Old spelling stays as written.
"""

import itertools
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_RULE = re.compile(r"^-{20,}$")
_GAIJI = re.compile(r"※［＃([^］]*)］")
# kanji name their level; signs (‼ 〻 ヷ Ⅰ) stand in rows 1 to 13 and do not. A page reference may follow.
_CELL = re.compile(r"第[34]水準([12])-(\d{1,2})-(\d{1,2})|、(1)-([1-9]|1[0-3])-(\d{1,2})(?![\d-])")
_POINT = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_RUBY = re.compile(r"《[^》\n]{1,80}》")
_NOTE = re.compile(r"［＃[^］]*］")
_COLOPHON = re.compile(r"^底本[：:]", re.MULTILINE)
_FIELDS = {"底本": "source_book", "入力": "typed_by", "校正": "proofread_by"}
_OTHER_ROLES = ("訳", "編", "校訂", "校注", "編纂", "監修")
MISSING = "〓"


class AozoraSource(Source):
    """Aozora Bunko works as the library publishes them (Shift_JIS, ruby in 《》, notes in ［＃］)."""

    format: Literal["aozora"]
    keep_ruby: bool = False
    """Keep readings in full-width parentheses after the word instead of dropping them."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One work a file."""
        decoded = decode(member.read())
        lines = decoded.text.replace("\r\n", "\n").split("\n")
        title = lines[0].strip()
        author = _author(lines)
        body, meta = _split(lines)
        if not body.strip():
            raise DataError("no text between the header block and the colophon", hint="is it an Aozora Bunko file?")
        text, missing = clean(body, keep_ruby=self.keep_ruby)
        meta.update({"author": author, "gaiji_missing": missing})
        yield Document(identity, text, title=title, encoding=decoded.encoding, confidence=decoded.confidence, meta=meta)


def _author(lines: list[str]) -> str:
    """The header is title, subtitles, author, translator or editor, one a line, up to a blank line."""
    stripped = itertools.dropwhile(lambda line: not line, (line.strip() for line in lines[1:12]))
    header = itertools.takewhile(bool, stripped)
    names = [line for line in header if not line.endswith(_OTHER_ROLES)]
    return names[-1] if names else ""


def _split(lines: list[str]) -> tuple[str, dict[str, Any]]:
    rules = [number for number, line in enumerate(lines[:80]) if _RULE.match(line.strip())]
    if len(rules) >= 2:
        start = rules[1] + 1
    else:  # works without ruby carry no notice block: title, author, blank line
        start = next((number + 1 for number, line in enumerate(lines[:8]) if not line.strip()), 0)
    text = "\n".join(lines[start:])
    meta: dict[str, Any] = {}
    if found := list(_COLOPHON.finditer(text)):
        colophon = text[found[-1].start() :]
        text = text[: found[-1].start()]
        for line in colophon.split("\n"):
            key, mark, value = line.partition("：")
            if mark and key in _FIELDS:
                meta[_FIELDS[key]] = value.strip()
    return text, meta


def gaiji(note: str) -> str:
    """The character that a gaiji note names.

    >>> gaiji("「口＋加」、第3水準1-14-93"), gaiji("「口＋愛」、U+566F、123-4")
    ('咖', '噯')
    >>> gaiji("感嘆符二つ、1-8-75"), gaiji("「木＋某」")
    ('‼', '〓')
    """
    if point := _POINT.search(note):
        number = int(point.group(1), 16)
        return chr(number) if number < 0xD800 or 0xE000 <= number <= sys.maxunicode else MISSING
    if cell := _CELL.search(note):
        plane, row, column = (int(part) for part in cell.groups() if part is not None)
        lead = b"\x8f" if plane == 2 else b""
        try:
            return (lead + bytes([row + 0xA0, column + 0xA0])).decode("euc_jis_2004")
        except (UnicodeDecodeError, ValueError):
            return MISSING
    return MISSING


def clean(text: str, *, keep_ruby: bool = False) -> tuple[str, int]:
    """Resolve gaiji, ruby and notes; returns the text and how many gaiji could not be resolved.

    >>> clean("硝子《ガラス》と｜山毛欅《ぶな》［＃「ぶな」に傍点］")
    ('硝子と山毛欅', 0)
    """
    text = _GAIJI.sub(lambda match: gaiji(match.group(1)), text)
    missing = text.count(MISSING)
    text = _NOTE.sub("", text)
    text = _RUBY.sub(lambda match: f"（{match.group(0)[1:-1]}）" if keep_ruby else "", text)
    return text.replace("｜", "").strip("\n"), missing
