"""Diet minutes: answers of the API as one file, several in a file, and JSON Lines; speeches and meetings."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources import kokkai
from jpfm.data.sources.archive import Member

Read = Callable[..., list[Document | Quarantined]]

HEADER = "令和七年四月一日（火曜日）\r\n　　　午前十時開議\r\n出席委員\r\n　　委員長　墨田硯子君"
FIRST = "○墨田委員長　これより会議を開きます。\r\n　硯の保護に関する件について調査を進めます。"
SECOND = (
    "○国務大臣（筆山紙男君）　お答えいたします。\r\n　硯は大切で\r\nありますので、\r\n予算を措置\r\n"
    "いたします。（拍手）\r\n　以上です。"
)


def _speech(order: int, speaker: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "speechID": f"121705254X00120250401_{order:03}", "speechOrder": order, "speaker": speaker, "speakerYomi": None,
        "speakerGroup": "硯の会" if order else None, "speakerPosition": "国務大臣" if order == 2 else None,
        "speech": text, "startPage": 1, "speechURL": f"https://kokkai.ndl.go.jp/txt/121705254X00120250401/{order}",
    } | more  # fmt: skip


FACTS: dict[str, Any] = {
    "issueID": "121705254X00120250401", "imageKind": "会議録", "session": 217, "nameOfHouse": "衆議院",
    "nameOfMeeting": "文房具委員会", "issue": "第1号", "date": "2025-04-01",
    "meetingURL": "https://kokkai.ndl.go.jp/txt/121705254X00120250401",
}  # fmt: skip
SPEECHES = [_speech(0, "会議録情報", HEADER), _speech(1, "墨田硯子", FIRST), _speech(2, "筆山紙男", SECOND)]
MEETING = FACTS | {"speechRecord": SPEECHES}
MEETINGS = {
    "numberOfRecords": 1,
    "numberOfReturn": 1,
    "startRecord": 1,
    "nextRecordPosition": None,
    "meetingRecord": [MEETING],
}
ANSWER = {"numberOfRecords": 3, "speechRecord": [FACTS | speech for speech in SPEECHES]}


def _json(*values: Any, indent: int | None = None, between: str = "\n") -> bytes:
    return between.join(json.dumps(value, ensure_ascii=False, indent=indent) for value in values).encode()


@pytest.mark.parametrize("answer", [MEETINGS, ANSWER, MEETING, [MEETING], ANSWER["speechRecord"]])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_speech_is_a_document(read_file: Read, answer: Any, indent: int | None) -> None:
    found = read_file("kokkai", "a.json", _json(answer, indent=indent))
    assert [doc.text for doc in found if isinstance(doc, Document)] == [
        "これより会議を開きます。\n　硯の保護に関する件について調査を進めます。",
        "お答えいたします。\n　硯は大切でありますので、予算を措置いたします。（拍手）\n　以上です。",
    ]
    second = found[1]
    assert isinstance(second, Document)
    assert (second.title, second.date) == ("衆議院 文房具委員会 第1号", "2025-04-01")
    assert second.url == "https://kokkai.ndl.go.jp/txt/121705254X00120250401/2"
    assert second.meta == {
        "house": "衆議院", "meeting": "文房具委員会", "issue": "第1号", "session": 217, "speaker": "筆山紙男",
        "speaker_group": "硯の会", "speaker_position": "国務大臣", "speech_id": "121705254X00120250401_002",
        "speech_order": 2, "issue_id": "121705254X00120250401",
    }  # fmt: skip


@pytest.mark.parametrize("answer", [MEETINGS, ANSWER])
def test_a_meeting_is_a_document(read_file: Read, answer: Any) -> None:
    (found,) = read_file("kokkai", "a.json", _json(answer), unit="meeting", keep_marker=True, join_lines=False)
    assert isinstance(found, Document)
    first, second = FIRST.replace("\r", ""), SECOND.replace("\r", "")
    assert found.text == f"{first}\n\n{second}"
    assert found.url == FACTS["meetingURL"]
    assert found.meta == {
        "house": "衆議院", "meeting": "文房具委員会", "issue": "第1号", "session": 217, "issue_id": FACTS["issueID"],
    }  # fmt: skip


def test_the_header_by_switch(read_file: Read) -> None:
    found = read_file("kokkai", "a.json", _json(MEETINGS), keep_header=True)
    assert len(found) == 3
    assert isinstance(found[0], Document)
    assert found[0].text.startswith("令和七年四月一日（火曜日）\n　　　午前十時開議\n出席委員\n　　委員長")


def test_answers_one_after_another(read_file: Read) -> None:
    other = MEETING | {"issueID": "2", "nameOfMeeting": "墨委員会"}
    for data in (_json(MEETINGS, other, indent=1), _json(MEETINGS, other), _json(MEETINGS, other, between="")):
        found = read_file("kokkai", "a.json", data, unit="meeting")
        assert [doc.meta["meeting"] for doc in found if isinstance(doc, Document)] == ["文房具委員会", "墨委員会"]
        assert [doc.id for doc in found] == ["s/a.json#1", "s/a.json#2"]


def test_a_speaker_without_a_field_is_taken_from_the_text(read_file: Read) -> None:
    (found,) = read_file("kokkai", "a.json", _json({"speech": "○議長（墨田硯子君）　開会します。", "speaker": None}))
    assert isinstance(found, Document)
    assert (found.meta, found.text) == ({"speaker": "議長（墨田硯子君）"}, "開会します。")


KEPT = {
    "○○町の件です。": "○○町の件です。",
    "　一、硯\r\n　二、墨": "　一、硯\n　二、墨",
    "その通り。\nしかし": "その通り。\nしかし",
    "硯は\n\n墨は": "硯は\n\n墨は",
    "硯は\n○墨田委員長　静粛に": "硯は\n○墨田委員長　静粛に",
}


@pytest.mark.parametrize(("speech", "text"), KEPT.items())
def test_lines_that_stay_apart(read_file: Read, speech: str, text: str) -> None:
    (found,) = read_file("kokkai", "a.json", _json({"speech": speech}))
    assert isinstance(found, Document)
    assert found.text == text


def test_what_holds_no_speech_is_told(read_file: Read) -> None:
    listed = {"numberOfRecords": 1, "meetingRecord": [FACTS | {"speechRecord": [{"speechOrder": 1, "speaker": "x"}]}]}
    cases = {
        _json(listed): "meeting_list", b"": "not JSON",
        _json({"message": "検索条件に誤りがあります"}): "検索条件に誤り",
        _json(MEETINGS)[:-9]: "not JSON", b'{"speech": "\\ud800"}': "surrogates", b"[[1]]": "expected an object",
        b'{"speechRecord": [1]}': "expected a speech", b'{"meetingRecord": [[]]}': "expected an object",
        b"[" * 5000: "not JSON", b'{"meetingRecord": [' * 400: "not JSON",
        _json({"speech": 3}): "without text",
    }  # fmt: skip
    for data, what in cases.items():
        (found,) = read_file("kokkai", "a.json", data)
        assert isinstance(found, Quarantined), data
        assert what in found.detail
    assert read_file("kokkai", "a.json", _json({"numberOfRecords": 0, "meetingRecord": []})) == []


def test_one_bad_line_costs_one_line(read_file: Read) -> None:
    data = _json(MEETING) + b"\n{\n\xff\x00\x80\xfd\n\n" + _json(MEETING | {"issueID": "2"})
    found = read_file("kokkai", "a.jsonl", data)
    assert [type(item).__name__ for item in found].count("Document") == 4
    assert [bad.id for bad in found if isinstance(bad, Quarantined)] == ["s/a.jsonl#L2", "s/a.jsonl#L3"]


def test_a_large_file_must_have_lines(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kokkai, "_JSON_BYTES", 5000)
    (found,) = read_file("kokkai", "a.json", _json([MEETING] * 9, indent=1))
    assert isinstance(found, Quarantined)
    assert found.error == "too_large"
    assert len(read_file("kokkai", "a.jsonl", _json(*[MEETING] * 9), unit="meeting")) == 1  # one issue


ODD = st.recursive(
    st.one_of(st.none(), st.integers(0, 1), st.sampled_from(["○墨田君　硯", "\ud800", "", "0"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["meetingRecord", "speechRecord", "speech", "speechOrder", "speaker", "date", "issueID"]),
            inner, max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(ODD, st.sampled_from(["speech", "meeting"]), st.binary(max_size=9))
def test_any_json_is_told_apart(make_source: Callable[..., Any], value: Any, unit: str, noise: bytes) -> None:
    source = make_source("kokkai", unit=unit)
    for data in (json.dumps(value).encode(), json.dumps(value).encode() + b"\n" + noise):
        try:
            found = list(source.read(Member("a.json", io.BytesIO(data)), "s/a.json"))
        except DataError:
            continue
        to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0", source.columns)
