"""CSV and TSV as spreadsheets write them, broken rows, and files that would eat all memory."""

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import delimited, lines
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]
FAQ = '質問,回答,番号\n"返品は、できますか","はい。\n30日以内です。",1\n送料は？,"""無料""です。",2\n'


def _texts(items: list[Document | Quarantined]) -> list[str]:
    return [item.text for item in items if isinstance(item, Document)]


def _errors(items: list[Document | Quarantined]) -> list[tuple[str, str]]:
    return [(item.id, item.error) for item in items if isinstance(item, Quarantined)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_in_the_encodings_and_line_ends_of_spreadsheets(read_file: Read, encoding: str, end: str) -> None:
    data = FAQ.replace("\n", end).encode(encoding)
    items = read_file("csv", "a.csv", data, template="{質問}\n{回答}", meta_fields=("番号",), title_field="質問")
    assert _texts(items) == ["返品は、できますか\nはい。\n30日以内です。", '送料は？\n"無料"です。']
    assert [item.id for item in items] == ["s/a.csv#2", "s/a.csv#4"]
    first = items[0]
    assert isinstance(first, Document)
    assert (first.title, first.meta) == ("返品は、できますか", {"番号": "1"})


def test_old_macintosh_line_ends(read_file: Read) -> None:
    assert _texts(read_file("csv", "a.csv", "text\r一\r二\r".encode("cp932"))) == ["一", "二"]


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("a.tsv", "題\ttext\n甲,乙\t本文\n", {}),
        ("a.tab", "題\ttext\n甲,乙\t本文\n", {}),
        ("a.csv", "題\ttext\n甲,乙\t本文\n", {}),  # Excel's "Unicode text"
        ("a.csv", '題,text\n"甲,乙",本文\n', {}),
        ("a.csv", "題;text\n甲,乙;本文\n", {"delimiter": ";"}),
    ],
)
def test_the_delimiter(read_file: Read, name: str, data: str, options: dict[str, Any]) -> None:
    (item,) = read_file("csv", name, data.encode(), title_field="題", **options)
    assert isinstance(item, Document)
    assert (item.title, item.text) == ("甲,乙", "本文")


def test_fields_joined_and_files_without_a_header(read_file: Read) -> None:
    assert (
        _texts(read_file("csv", "a.csv", FAQ.encode(), text_fields=("質問", "回答")))[1] == '送料は？\n\n"無料"です。'
    )
    assert _texts(read_file("csv", "a.csv", "甲,\n,\n乙,丙\n".encode(), header=False, text_fields=("2", "1"))) == [
        "甲",
        "丙\n\n乙",
    ]


def test_a_table_is_one_document(read_file: Read) -> None:
    data = '令和6年度　売上高,,\n\n\n部門,四月,五月\n検査,"1,200",1100\n\n,,\n'.encode("cp932")
    (item,) = read_file("csv", "a.csv", data, rows="table")
    assert isinstance(item, Document)
    assert (item.id, item.text) == ("s/a.csv", "令和6年度　売上高\n部門\t四月\t五月\n検査\t1,200\t1100")


@pytest.mark.parametrize(
    ("data", "texts", "errors"),
    [
        (b"text,x\n1,2\n3\n4,5,6\n7,8\n", ["1", "7"], [("s/a.csv#3", "format"), ("s/a.csv#4", "format")]),
        (b"text,x\n1,2\n\x00 and words enough for it to be text,4\n5,6\n", ["1", "5"], [("s/a.csv#3", "format")]),
        (
            "text,x\n良い,2\n".encode() + b"\xff\xfe\x80,4\n" + "次,6\n".encode(),
            ["良い", "次"],
            [("s/a.csv#3", "decode")],
        ),
        (b'text,x\n1,2\n"3,4\n5,6\n7,8\n', ["1", "5", "7"], [("s/a.csv#3", "format")]),
        (b'text,x\n1,"2\n"3",4\n5,6', ["5"], [("s/a.csv#2", "format")]),
    ],
)
def test_a_bad_row_costs_one_row(read_file: Read, data: bytes, texts: list[str], errors: list[tuple[str, str]]) -> None:
    items = read_file("csv", "a.csv", data)
    assert _texts(items) == texts
    assert _errors(items) == errors


def test_a_quote_that_is_never_closed_costs_its_row_in_a_large_file(
    read_file: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_MAX_RECORD_CHARS", 1000)
    rows = [f"行{number},値" for number in range(3000)]
    rows[100] = '"行100,値'
    items = read_file("csv", "a.csv", ("text,x\n" + "\n".join(rows)).encode())
    assert _errors(items) == [("s/a.csv#102", "format")]
    assert _texts(items) == [f"行{number}" for number in range(3000) if number != 100]


@pytest.mark.parametrize(
    ("data", "options", "found"),
    [
        (b"", {}, "empty"),
        (b"a,b\n1,2\n", {}, "field 'text' is missing"),
        (b"text,text\n1,2\n", {}, "stands 2 times"),
        (b"text\n1\n", {"template": "{body}"}, "field 'body' is missing"),
        (b"", {"rows": "table"}, "empty"),
        (b",,\n", {"rows": "table"}, "empty"),
        (b'a,"b\n', {"rows": "table"}, "never closed"),
    ],
)
def test_files_that_cannot_be_read(read_file: Read, data: bytes, options: dict[str, Any], found: str) -> None:
    (item,) = read_file("csv", "a.csv", data, **options)
    assert isinstance(item, Quarantined)
    assert found in item.detail


@pytest.mark.parametrize(
    "options",
    [
        {"template": "{a}", "text_fields": ("a",)},
        {"template": "no field"},
        {"template": "{a}", "text_field": "b"},
        {"rows": "table", "title_field": "a"},
        {"rows": "table", "header": False},
        {"delimiter": "::"},
        {"delimiter": '"'},
    ],
)
def test_settings_that_contradict_each_other_are_refused(make_source: Any, options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        make_source("csv", **options)


@given(st.lists(st.lists(st.text('あa",\n;\t', max_size=6), min_size=2, max_size=2), min_size=1, max_size=20))
def test_what_the_csv_module_writes_is_read_back(make_source: Any, rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([["text", "x"], *rows])
    source: Any = make_source("csv", delimiter=",")
    items = list(source.read(Member("a.csv", io.BytesIO(file.getvalue().encode())), "s/a.csv"))
    assert _texts(items) == [row[0] for row in rows if any(row)]
    assert not _errors(items)


@given(st.binary(max_size=400) | st.text('",\n\r\t\0あ;a', max_size=200).map(str.encode))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_documents_or_reasons(make_source: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,x\n" + data)
    for options in ({}, {"rows": "table"}):
        for item in make_source("csv", **options).documents(Piece(str(path), "a.csv", len(data))):
            if isinstance(item, Document):
                item.text.encode()
            else:
                assert item.detail


def test_memory_is_bounded_while_rows_stream(make_source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1 << 16)
    path = tmp_path / "large.csv"
    path.write_text("text,x\n" + "国内の工場へ納めた検査装置の台数,1234\n" * 100_000, encoding="utf-8")
    tracemalloc.start()
    count = sum(1 for _ in make_source("csv").documents(Piece(str(path), "large.csv", path.stat().st_size)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert path.stat().st_size > 5_000_000
    assert peak < 1_500_000
