"""JSON Lines read as columns: to the byte what the way line by line gives, whatever the lines hold."""

import codecs
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jpfm.data.document import Quarantined
from jpfm.data.sources import base, lines, record_columns
from jpfm.data.sources.base import Piece, Source
from jpfm.data.sources.json_kernel import BLANK, OTHER, RECORD
from jpfm.data.sources.json_lines import scan, sizes

SETTINGS: list[dict[str, Any]] = [
    {},
    {"title_field": "title", "url_field": "url", "date_field": "date"},
    {"title_field": "text", "meta_fields": ("著者", "n", "text", "k")},
]
COLUMNS = ("n", "law_num")
ODD_LINES = [
    '{"text": "一", "title": "題", "url": "https://a.example/", "date": "2024-05-01", "n": 1}',
    '{"text": "日付は数", "date": 2015, "title": 3, "url": null, "n": "七"}',
    '{"text": "負の零", "date": -0}', '{"text": "負", "date": -12}', '{"text": "実数", "date": 20.5, "n": 1e3}',
    '{"text": "真偽", "date": true, "title": false, "n": {"甲": [1, {"乙": []}], "丙": {}}}',
    '{"text": "一つ目", "text": "二つ目", "n": 1, "n": 2}', '{"text": "文字", "text": 5}', '{"text": 5, "text": "文"}',
    r'{"text": "改行\n引用\"\\\/\b\f\r\t\u3042\ud842\udfb7終", "title": "\u984c"}', r'{"te\u0078t": "鍵に逃げ"}',
    r'{"text": "孤立\ud842"}', r'{"text": "孤立\udfb7題"}', r'{"text": "本文", "title": "\ud800\u0041"}',
    r'{"text": "本文", "n": "\ud800"}', r'{"text": "本文", "x": "\uD842\u"}', r'{"text": "\x41"}', r'{"text": "\u00e"}',
    '{"text": "非数", "n": NaN}', '{"text": "無限", "n": [-Infinity]}', '{"text": "本文", "n": ' + "9" * 5000 + "}",
    '{"text": "本文", "n": ' + "9" * 700 + "}", '{"text": "深い", "n": ' + "[" * 80 + "]" * 80 + "}",
    '{"text": "深すぎる", "n": ' + "[" * 9000 + "]" * 9000 + "}", '{"text": "零", "n": 01}', '{"text": "", "n": 1.}',
    '{"text": "指数", "n": 1e}', '{"text": "末尾",}', '{"text" "本文"}', '{"text": "途中', '{"text": "本文"} 余', "{}",
    "[1, 2]", '"文字列"', "12", "null", "tru", "", "  \t", "　", "\u00a0\u2003", "\ufeff", "﻿{\"text\": \"印\"}", "\r",
    ' { "text" :\t"間" , "n":[ ] } ', '{"text": "　\\n \\u2003"}', '{"text": ""}', '{"text": "　字下げ"}', '{"n": 1}',
    '{"text": null}', '{"": "空の鍵", "text": "本文"}', '{"text": "制\x01御"}', '{"text": "逃げた零\\u0000"}',
    '{"text": "本文", "n": [1, 2,, 3]}', '{"text": "本文", "n": {"a" 1}}', '{"text": "本文", "n": [1 2]}', "{'te': 1}",
    '{"text": "本文", "n": {"a": 1,}}', '{"text": "本文", "n": [}', '{"text": "本文", "n": {]}', '{"text": "本文"}}',
    '{"text": "本文", "著者": {"名": "夏目", "別名": ["漱石", null]}, "k": "\\ud800"}', '{"text": "本文" "n": 1}', "{",
]  # fmt: skip


def _taken(batches: Iterator[pa.RecordBatch], bad: list[Quarantined]) -> list[Any]:
    """All that can be seen from outside: schemas, sizes in memory, rows, and what was quarantined by then."""
    found: list[Any] = [
        (batch.schema, pa.Table.from_batches([batch]).nbytes, batch.to_pylist(), tuple(bad)) for batch in batches
    ]
    return [*found, tuple(bad)]


def _is_alike(source: Any, pieces: Sequence[Piece], columns: Sequence[str] = COLUMNS) -> list[Any]:
    """Both ways give the same; returns it."""
    bad: list[Quarantined] = []
    expected = _taken(Source.batches(source, pieces, columns, bad), bad)
    others: list[Quarantined] = []
    assert _taken(source.batches(pieces, columns, others), others) == expected
    return expected


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 700 bytes and batches of 90 characters or 7 documents, to have many ends."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 700)
    for module in (base, record_columns):
        monkeypatch.setattr(module, "BATCH_CHARS", 90)
        monkeypatch.setattr(module, "BATCH_DOCUMENTS", 7)


def _written(path: Path, data: bytes) -> Piece:
    path.write_bytes(data)
    return Piece(str(path), path.name, len(data))


@pytest.mark.parametrize("given_settings", SETTINGS)
@pytest.mark.usefixtures("small")
def test_odd_lines(make_source: Callable[..., Any], tmp_path: Path, given_settings: dict[str, Any]) -> None:
    source = make_source("jsonl", **given_settings)
    data = "\n".join(ODD_LINES).encode("utf-8", "surrogatepass")
    found = _is_alike(source, [_written(tmp_path / "a.jsonl", data), _written(tmp_path / "b.jsonl", data + b"\n\n")])
    assert len(found) >= 7
    assert {row.error for row in found[-1]} == {"format", "decode", "empty"}
    texts = [row["text"] for _, _, rows, _ in found[:-1] for row in rows]
    assert {"二つ目", "非数", "鍵に逃げ", '改行\n引用"\\/\b\f\r\tあ𠮷終', "間"} <= set(texts)


@pytest.mark.usefixtures("small")
def test_ranges_archives_and_encodings(make_source: Callable[..., Any], tmp_path: Path) -> None:
    source = make_source("jsonl", title_field="title", meta_fields=("n",))
    rows = [{"text": f"{n}番目の文書である。" * (1 + n % 5), "title": f"題{n}", "n": n} for n in range(60)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    whole = _written(tmp_path / "a.jsonl", text.encode())
    ranges = [whole._replace(start=start, stop=stop) for start, stop in ((0, 1500), (1500, 1501), (1501, 9999))]
    kinds = {
        "cp932.jsonl": text.encode("cp932"), "euc.jsonl": text.encode("euc_jp"), "16.jsonl": text.encode("utf-16"),
        "mark.jsonl": codecs.BOM_UTF8 + text.replace("\r\n", "\r\n\ufeff").encode(),
        "a.jsonl.gz": gzip.compress(text.encode()), "cut.jsonl.gz": gzip.compress(text.encode())[:-30],
        "bad.jsonl": text.encode().replace("7番".encode(), b"7\xff\xfe", 1), "none.jsonl": b"", "one.jsonl": b"\n",
    }  # fmt: skip
    pieces = [whole, *ranges, *(_written(tmp_path / name, data) for name, data in kinds.items())]
    found = _is_alike(source, [*pieces, Piece(str(tmp_path / "gone.jsonl"), "gone.jsonl", 1)])
    assert {row.error for row in found[-1]} == {"decode", "archive"}
    assert {row["encoding"] for _, _, rows, _ in found[:-1] for row in rows} >= {"utf-8", "cp932", "euc_jp", "utf-16"}


def test_batches_end_at_the_same_documents(make_source: Callable[..., Any], tmp_path: Path) -> None:
    rows = ["あ" * (1 + n % 7 * 400) for n in range(9000)]
    data = "\n".join(json.dumps({"text": row}) for row in rows).encode()
    found = _is_alike(make_source("jsonl"), [_written(tmp_path / "a.jsonl", data)], ())
    assert [len(rows) for _, _, rows, _ in found[:-1]] == [3332, 3332, 2336]


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text('あ"\\/\n\t\x00𠮷\ud800 　a', max_size=5)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner)
)
_NAMES = st.sampled_from(["text", "title", "date", "n", "著者", "tex", "texts", ""])
_RECORDS = st.dictionaries(_NAMES, _SCALARS | _VALUES, max_size=5) | _VALUES
_DUMPED = st.builds(
    lambda value, ascii_only, apart: json.dumps(value, ensure_ascii=ascii_only, separators=apart),
    _RECORDS, st.booleans(), st.sampled_from([(",", ":"), (" , ", "\t: ")]),
)  # fmt: skip

_INSERTED = [*'{}[]",:\\ue0123456789-+.d8\x1fあ　 \n\rtfn', ""]


@st.composite
def _broken(draw: st.DrawFn) -> str:
    """A line of JSON, mostly with some characters taken out, put in or changed."""
    text = draw(_DUMPED)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 2))
        text = text[:at] + draw(st.sampled_from(_INSERTED)) + text[at + cut :]
    return text


@settings(max_examples=4000, deadline=None)
@given(st.lists(_broken(), max_size=12), st.sampled_from(SETTINGS))
@example(ODD_LINES, SETTINGS[2])
def test_any_lines_are_read_as_python_reads_them(
    make_source: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, some: list[str], chosen: dict[str, Any]
) -> None:
    data = "\n".join(some).encode("utf-8", "backslashreplace")
    _is_alike(make_source("jsonl", **chosen), [_written(tmp_path_factory.getbasetemp() / "any.jsonl", data)])


@settings(max_examples=4000, deadline=None)
@given(st.lists(_broken(), min_size=1, max_size=12))
def test_a_record_is_what_json_loads_gives(some: list[str]) -> None:
    texts = "\n".join(some).encode("utf-8", "backslashreplace").decode().split("\n")
    found = scan("\n".join(texts).encode(), ("text", "n"))
    for number, line in enumerate(texts[: len(found.lines)]):  # a newline at the end begins no line
        if found.lines[number] == BLANK:
            assert not line.strip(" \t\r")
        if found.lines[number] != RECORD:
            continue
        record = json.loads(line)
        for field, name in enumerate(("text", "n")):
            assert (found.kinds[number, field] != 0) == (name in record)
            if name in record:
                assert json.dumps(json.loads(found.span(number, field))) == json.dumps(record[name])
            got = found.strings(field, np.array([number]), integers=True).to_pylist()
            value = record.get(name)
            wanted = value if isinstance(value, str) else str(value) if type(value) is int else ""
            assert got == [wanted]


def test_most_lines_are_vouched_for() -> None:
    """What real files hold must not fall to the slow way."""
    found = scan(
        '{"text": "本文", "meta": {"a": [1, 2.5, -3e-7, true, null, {"b": "\\u3042\\n"}]}, "id": 123}\r\n'
        '{"id": "x", "text": "\\ud842\\udfb7"}\n\n{"text": "非数", "n": NaN}'.encode(), ("text",)
    )  # fmt: skip
    assert found.lines.tolist() == [RECORD, RECORD, BLANK, OTHER]


def test_spaces_are_those_of_python() -> None:
    letters = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    chars, blank = sizes(pa.array(letters))
    assert blank.tolist() == [letter.isspace() for letter in letters]
    assert set(chars.tolist()) == {1}
    chars, blank = sizes(pa.array(["", " 　\u2003", "　あ", "𠮷野家"]))
    assert (chars.tolist(), blank.tolist()) == ([0, 3, 2, 3], [True, True, False, False])
