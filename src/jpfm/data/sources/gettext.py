"""gettext catalogues (.po): the translated messages of one program or manual as a document.

    - {format: gettext, name: messages, paths: ["**/ja.po"], text: both, rights: {...}}

Fuzzy entries (a guess nobody checked), obsolete and untranslated ones are left out and counted in `meta`. Formats (%d),
accelerators (_F) and tags inside messages stay: they are what such text looks like.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_MAX_BYTES = 32 << 20
_MAX_RUN = 5_000  # lines of one message or comment; polib copies the message at each
_RUN = re.compile(r"(?:^[ \t]*(?:#~[ \t]*)?(?:\"|#[^~\n])[^\n]*\n){%d}" % _MAX_RUN, re.MULTILINE)  # noqa: UP031
_CHARSET = re.compile(rb"charset=([A-Za-z0-9_-]+)", re.IGNORECASE)
_ODD_LINE_ENDS = dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), " ")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class GettextSource(Source):
    """Message catalogues; a file is one document, a message is a line of it."""

    format: Literal["gettext"]
    text: Literal["translation", "source", "both"] = "translation"
    """What the text holds: translations, the messages they translate, or pairs of both apart by blank lines."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file. A file without any usable message gives an empty text.

        Raises:
            DataError: it is no catalogue; the message names the line.
        """
        data = member.read(_MAX_BYTES)
        charset = _CHARSET.search(data[:8192])
        declared = charset.group(1).decode("ascii") if charset and charset.group(1) != b"CHARSET" else None
        decoded = decode(data, declared)
        catalogue = _parse(decoded.text, member.name)
        counts = Counter(_state(entry) for entry in catalogue)
        used = ("used", "fuzzy", "untranslated") if self.text == "source" else ("used",)
        messages = [self._message(entry) for entry in catalogue if _state(entry) in used]
        header = catalogue.metadata
        project = (
            "" if header.get("Project-Id-Version", "").startswith("PACKAGE") else header.get("Project-Id-Version", "")
        )
        date = _DATE.match(header.get("PO-Revision-Date", ""))
        language = header.get("Language", "")
        meta = {
            "project": project,
            "language": language,
            **{f"messages_{state}": n for state, n in sorted(counts.items())},
        }
        yield Document(
            identity, ("\n\n" if self.text == "both" else "\n").join(messages), title=project,
            lang="" if self.text == "source" else language, date=date.group() if date else "",
            encoding=decoded.encoding, confidence=decoded.confidence,
            meta={key: value for key, value in meta.items() if value},
        )  # fmt: skip

    def _message(self, entry: Any) -> str:
        source = entry.msgid_plural or entry.msgid  # a translation without plurals is one of both
        translation = "\n".join(dict.fromkeys(entry.msgstr_plural.values())) if entry.msgid_plural else entry.msgstr
        shown = {"source": (source,), "translation": (translation,), "both": (source, translation)}[self.text]
        return "\n".join(part.strip() for part in shown)


def _parse(text: str, name: str) -> Any:
    import polib

    text = text.replace("\r\n", "\n").translate(_ODD_LINE_ENDS)
    if _RUN.search(text):
        raise DataError(f"{name}: a message or comment of more than {_MAX_RUN} lines", hint="is it a .po file?")
    try:
        # polib opens a file where its argument is the name of one: no name begins and ends with a line end
        return polib.pofile(f"\n{text}\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        detail = re.sub(r"po file\s+\(line (\d+)\)", lambda found: f"line {int(found[1]) - 1}", str(error).strip())
        raise DataError(f"{name}: not a gettext catalogue: {detail}", hint="check it with msgfmt --check") from error


def _state(entry: Any) -> str:
    """used, obsolete, fuzzy or untranslated."""
    if entry.obsolete:
        return "obsolete"
    if entry.fuzzy:
        return "fuzzy"
    whole = all(entry.msgstr_plural.values()) if entry.msgstr_plural else entry.msgstr
    return "used" if whole and entry.msgid else "untranslated"
