"""Minutes of the National Diet, as the API of the 国会会議録検索システム answers (recordPacking=json).

    - {format: kokkai, name: diet, paths: ["minutes/*.json.gz"], unit: meeting, rights: {...}}

Read are answers of the endpoints `meeting` and `speech`: one a file, several joined in a file, or JSON Lines of
answers, meetings or speeches. `meeting_list` answers hold no speeches and are told apart.
Source: kokkai.ndl.go.jp/api.html.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, NamedTuple

from jpfm.core.errors import DataError, JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.base import Source
from jpfm.data.sources.lines import lines
from jpfm.text.decode import decode

_JSON_BYTES = 128 << 20
_LINE_BYTES = 64 << 20
_MARKER = re.compile(r"○([^　 \n]{1,60}(?:（[^）\n]{1,60}）)?)[　 ]+")
_LINE_ENDS = "。．.！？!?」』）)】〕…―"
_LINE_STARTS = "　 \t○◎●◆◇■□△▲・―─（(「『〔【"
_MEETING_FIELDS = {"nameOfHouse": "house", "nameOfMeeting": "meeting", "issue": "issue", "session": "session"}
_SPEECH_FIELDS = {
    "speaker": "speaker", "speakerYomi": "speaker_reading", "speakerGroup": "speaker_group",
    "speakerRole": "speaker_role", "speakerPosition": "speaker_position", "speechID": "speech_id",
    "speechOrder": "speech_order",
}  # fmt: skip


class _Speech(NamedTuple):
    meeting: dict[str, Any]
    record: dict[str, Any]


class KokkaiSource(Source):
    """Diet minutes: a speech or a whole meeting is a document."""

    columns: ClassVar[tuple[str, ...]] = ("house", "meeting", "speaker", "speaker_group", "speaker_position")

    format: Literal["kokkai"]
    unit: Literal["speech", "meeting"] = "speech"
    """What one document is. A meeting is made of the speeches that follow each other in the file."""
    keep_marker: bool = False
    """Keep `○山田太郎君　` before a speech; without it the name is in the column `speaker` alone."""
    keep_header: bool = False
    """Keep the record's header, which lists date, agenda and who was there (speech number 0)."""
    join_lines: bool = True
    """Undo line breaks inside a sentence, which old minutes have where a printed line ended."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """The speeches or meetings of a file, in its order."""
        waiting: list[_Speech] = []
        number = 0
        for item in _items(member, identity, self.error_kind):
            if isinstance(item, Quarantined):
                yield item
                continue
            if waiting and (self.unit == "speech" or _meeting_id(item) != _meeting_id(waiting[0])):
                number += 1
                yield from self._documents(waiting, f"{identity}#{number}")
                waiting = []
            waiting.append(item)
        if waiting:
            yield from self._documents(waiting, f"{identity}#{number + 1}")

    def _documents(self, speeches: list[_Speech], where: str) -> Iterator[Document | Quarantined]:
        texts, first = [], speeches[0]
        for _, record in speeches:
            is_header = _is_header(record)
            if is_header and not self.keep_header:
                continue
            speech = record.get("speech")
            if not isinstance(speech, str):
                detail = "a speech without text; meeting_list answers hold none, ask for `meeting` or `speech`"
                yield Quarantined(where, "format", detail)
                return
            if not _is_encodable(speech):
                yield Quarantined(where, "decode", "the text holds lone surrogates (\\ud800-\\udfff escapes)")
                return
            texts.append(self._text(speech, join=self.join_lines and not is_header))
        if not texts:
            return
        facts = {**first.meeting, **first.record} if self.unit == "speech" else first.meeting or first.record
        fields = _MEETING_FIELDS | (_SPEECH_FIELDS if self.unit == "speech" else {})
        meta = {name: facts[key] for key, name in fields.items() if facts.get(key) not in (None, "")}
        if self.unit == "speech" and "speaker" not in meta and (marker := _MARKER.match(str(first.record["speech"]))):
            meta["speaker"] = marker.group(1)
        meta["issue_id"] = facts.get("issueID")
        url = facts.get("speechURL") if self.unit == "speech" else facts.get("meetingURL")
        title = " ".join(str(facts[key]) for key in ("nameOfHouse", "nameOfMeeting", "issue") if facts.get(key))
        yield Document(
            where, "\n\n".join(texts), title=title, url=url if isinstance(url, str) else "", lang="ja",
            date=_string(facts.get("date")), meta={key: value for key, value in meta.items() if value is not None},
        )  # fmt: skip

    def _text(self, speech: str, *, join: bool) -> str:
        text = speech.replace("\r\n", "\n").replace("\r", "\n")
        if not self.keep_marker and (marker := _MARKER.match(text)):
            text = text[marker.end() :]
        rows = [row.rstrip(" \t") for row in text.split("\n")]
        return "\n".join(_joined(rows) if join else rows).strip("\n")


def _joined(rows: list[str]) -> Iterator[str]:
    """Lines joined where the first ends inside a sentence and the next one begins no paragraph."""
    under_way: list[str] = []
    for row in rows:
        goes_on = under_way and under_way[-1] and under_way[-1][-1] not in _LINE_ENDS
        if under_way and not (goes_on and row and row[0] not in _LINE_STARTS):
            yield "".join(under_way)
            under_way = []
        under_way.append(row)
    yield "".join(under_way)


def _is_header(record: dict[str, Any]) -> bool:
    return str(record.get("speechOrder")) == "0" or record.get("speaker") == "会議録情報"


def _meeting_id(speech: _Speech) -> object:
    facts = speech.meeting or speech.record
    return [facts.get(key) for key in ("issueID", "nameOfHouse", "nameOfMeeting", "issue", "date")]


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _items(member: Member, identity: str, kind_of: Callable[[JpfmError], str]) -> Iterator[_Speech | Quarantined]:
    """Every speech of a file with its meeting. A file whose first line is a JSON value is read line by line."""
    head = member.stream.readline(_LINE_BYTES)
    if not _is_record(head):
        data = head + member.stream.read(_JSON_BYTES + 1 - len(head))
        if len(data) > _JSON_BYTES:
            raise TooLarge(f"more than {_JSON_BYTES >> 20} MiB of JSON", hint="write one answer a line")
        yield from _values(decode(data).text, identity)
        return
    for line in lines(member, head=head):
        where = f"{identity}#L{line.number}"
        if line.error is not None:
            yield Quarantined(where, kind_of(line.error), f"{line.error.message} ({line.error.hint})")
        elif line.text.strip():
            try:
                value = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                yield Quarantined(where, "format", f"line {line.number} is not JSON: {error}")
                continue
            yield from _speeches(value, where)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _values(text: str, identity: str) -> Iterator[_Speech | Quarantined]:
    """The JSON values of a file, one after another."""
    decoder = json.JSONDecoder()
    text = text.strip()
    position = number = 0
    while position < len(text) or number == 0:
        number += 1
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"answer {number} is not JSON: {error}", hint="fetch it again with recordPacking=json"
            ) from error
        where = f"{identity}#answer{number}"
        for item in value if isinstance(value, list) else [value]:
            yield from _speeches(item, where)
        while position < len(text) and text[position].isspace():
            position += 1


def _speeches(value: object, where: str) -> Iterator[_Speech | Quarantined]:
    """The speeches of an answer, a meeting, or a speech alone."""
    if isinstance(value, dict) and isinstance(value.get("meetingRecord"), list):
        for meeting in value["meetingRecord"]:
            yield from _of_meeting(meeting, where)
    else:
        yield from _of_meeting(value, where)


def _of_meeting(value: object, where: str) -> Iterator[_Speech | Quarantined]:
    if not isinstance(value, dict):
        yield Quarantined(where, "format", f"expected an object, found {type(value).__name__}")
    elif isinstance(value.get("speechRecord"), list):
        is_meeting = "nameOfMeeting" in value or "issueID" in value
        meeting = {key: item for key, item in value.items() if key != "speechRecord"} if is_meeting else {}
        for record in value["speechRecord"]:
            if isinstance(record, dict):
                yield _Speech(meeting, record)
            else:
                yield Quarantined(where, "format", f"expected a speech, found {type(record).__name__}")
    elif "speech" in value:
        yield _Speech({}, value)
    elif value.get("numberOfRecords") != 0:
        said = value.get("message") or f"fields found: {', '.join(map(str, list(value)[:12]))}"
        yield Quarantined(where, "format", f"no meetingRecord, speechRecord or speech: {str(said)[:300]}")
