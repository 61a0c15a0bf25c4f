"""Each format: what becomes text, and what is quarantined under which name."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.found import document as _document
from tests.data.found import quarantined as _bad

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]


# --- Markdown -------------------------------------------------------------------------------------------------------

MARKDOWN = {
    "# 見出し\n\n本文は**太字**と[リンク](https://a.example/b)です。": "見出し\n\n本文は太字とリンクです。",
    "- 一\n- 二\n  - 二の一\n\n1. 甲\n2. 乙": "一\n二\n二の一\n\n1. 甲\n2. 乙",
    "| 品名 | 値段 |\n|---|---:|\n| 鉛筆 | 120円 |": "品名\t値段\n鉛筆\t120円",
    "```python\nprint('①')\n```\n\n`code`と&amp;と\\*印": "```python\nprint('①')\n```\n\ncodeと&と*印",
    "> 引用\n> 続き\n\n![図の説明](a.png)": "引用続き\n\n図の説明",
    "段落<br>の<span style='x'>中</span>\n\n<div>\n生の<b>HTML</b>\n</div>\n\n<!-- 註 -->": "段落\nの中\n\n生のHTML",
    "一行目  \n二行目\\\n三行目": "一行目\n二行目\n三行目",
    "": "",
}


@pytest.mark.parametrize(("source", "plain"), MARKDOWN.items())
def test_markdown_becomes_plain_text(read_file: Read, source: str, plain: str) -> None:
    assert _document(read_file("markdown", "a.md", source.encode())).text == plain


def test_front_matter_gives_the_title_before_the_first_heading(read_file: Read) -> None:
    source = "---\ntitle: x\ntags: [a]\n---\n\n前文\n\n## 第<b>一</b>章\n\n# 後"
    found = _document(read_file("markdown", "a.md", source.replace("\n", "\r\n").encode()))
    assert found.meta == {"front_matter": "title: x\ntags: [a]"}
    assert (found.title, found.text) == ("x", "前文\n\n第一章\n\n後")


# --- records --------------------------------------------------------------------------------------------------------


def test_a_broken_line_is_quarantined_and_the_next_one_read(read_file: Read) -> None:
    lines = [
        '{"text": "一", "title": "題", "k": [1]}'.encode(),
        b'{"text": "cut',
        b"",
        b"[1, 2]",
        b'{"text": 5}',
        b'{"body": "other"}',
        b'{"text": "\\ud83d"}',
        b'{"text": "\\ud83c\\udf63", "title": "\\ud800", "k": "\\udfff"}',
        b'{"text": "\\u0000nul"}',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"text": NaN}',
        b"9" * 5000,
        '{"text": "最後"}'.encode(),
    ]
    found = read_file("jsonl", "a.jsonl", b"\n".join(lines), title_field="title", meta_fields=("k",))
    good = {doc.id: doc.text for doc in found if isinstance(doc, Document)}
    assert good == {"s/a.jsonl#1": "一", "s/a.jsonl#8": "🍣", "s/a.jsonl#9": "\0nul", "s/a.jsonl#14": "最後"}
    errors = {doc.id.rpartition("#")[2]: doc.error for doc in found if isinstance(doc, Quarantined)}
    assert errors == dict.fromkeys(["2", "4", "5", "6", "11", "12", "13"], "format") | {"7": "decode", "10": "decode"}
    details = [doc.detail for doc in found if isinstance(doc, Quarantined)]
    assert any("'text' is missing; fields found: body; text_field names it" in detail for detail in details)
    assert any("'text' is a int, not text" in detail for detail in details)
    batch = to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0")
    assert batch.column("title").to_pylist() == ["題", "", "", ""]
    assert [json.loads(meta) for meta in batch.column("meta").to_pylist()][:2] == [{"k": [1]}, {"k": "\udfff"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "utf-16"])
def test_records_are_read_in_any_japanese_encoding(read_file: Read, encoding: str) -> None:
    rows = [{"body": "吾輩は猫である。名前はまだ無い。"}, {"body": "どこで生れたか頓と見当がつかぬ。"}]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows).encode(encoding)
    found = read_file("jsonl", "a.jsonl.gz", gzip.compress(data), text_field="body")
    assert [doc.text for doc in found if isinstance(doc, Document)] == [row["body"] for row in rows]


@pytest.mark.parametrize(
    ("settings", "data", "what"),
    [
        ({}, b"", "not JSON"),
        ({}, b'{"text": "a"}\n{"text": "b"}', "use format: jsonl"),
        ({}, b'{"rows": []}', "set records_field"),
        ({"records_field": "rows"}, b'{"data": []}', "set records_field"),
        ({}, b"[" * 100_000, "not JSON"),
    ],
)
def test_json_that_is_no_list_of_records(read_file: Read, settings: dict[str, Any], data: bytes, what: str) -> None:
    assert what in _bad(read_file("json", "a.json", data, **settings), "format").detail


def test_json_records_below_a_field(read_file: Read) -> None:
    found = read_file("json", "a.json", '{"rows": [{"t": "一"}, 3]}'.encode(), records_field="rows", text_field="t")
    assert [type(doc) for doc in found] == [Document, Quarantined]


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="none", use_dictionary=False)
    return out.getvalue()


def test_parquet_rows_are_documents(read_file: Read) -> None:
    table = pa.table(
        {
            "body": pa.array(["一", None, "三"], pa.large_string()),
            "day": [date(2025, 4, 1)] * 3,
            "price": pa.array([Decimal("1.50")] * 3),
        }
    )
    found = read_file("parquet", "a.parquet", _parquet(table), text_field="body", meta_fields=("day", "price"))
    assert [type(doc) for doc in found] == [Document, Quarantined, Document]
    meta = to_batch([doc for doc in found if isinstance(doc, Document)], "s", "")["meta"][0].as_py()
    assert json.loads(meta) == {"day": "2025-04-01", "price": "1.50"}


def test_parquet_without_the_text_column_names_those_it_has(read_file: Read) -> None:
    bad = _bad(read_file("parquet", "a.parquet", _parquet(pa.table({"url": ["x"], "body": ["y"]}))), "format")
    assert "column 'text' is missing (columns found: url, body; set text_field)" in bad.detail


def test_damaged_parquet_is_quarantined_after_its_good_rows(read_file: Read) -> None:
    whole = _parquet(pa.table({"text": [f"第{n}の文書である。" * 40 for n in range(3000)]}))
    assert "not a Parquet file" in _bad(read_file("parquet", "a.parquet", whole[: len(whole) // 2]), "format").detail
    assert "not a Parquet file" in _bad(read_file("parquet", "a.parquet", b""), "format").detail
    hurt = bytearray(whole)
    at = len(whole) // 2
    hurt[at : at + 3000] = b"\xff" * 3000
    found = read_file("parquet", "a.parquet", bytes(hurt))
    assert isinstance(found[-1], Quarantined)
    assert f"damaged after row {len(found) - 1}" in found[-1].detail


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["aozora", "html", "jsonl", "json", "law_xml", "markdown", "parquet", "text"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xfe", b"\x1b$B", "。".encode() * 3, bytes(range(256)), b"{" * 9])
def test_no_bytes_stop_a_source(read_file: Read, form: str, data: bytes) -> None:
    for found in read_file(form, "a.bin", data):
        assert isinstance(found, Document | Quarantined)
        if isinstance(found, Document):
            to_batch([found], "s", "CC0-1.0")


def test_a_bad_mark_of_utf_8_is_a_decode_error(read_file: Read) -> None:
    _bad(read_file("text", "a.txt", b"\xef\xbb\xbf" + "日本".encode()[:-1]), "decode")


def test_a_pattern_without_a_file_is_said_so(make_source: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"source 's': no file matches .*\*\.jsonl"):
        make_source("text", paths=("*.txt", "*.jsonl")).files(tmp_path)
    source = make_source("text", paths=("*.txt", "a*"), exclude=("b*",))
    assert [piece.name for piece in source.files(tmp_path)] == ["a.txt"]


# --- real data ------------------------------------------------------------------------------------------------------


def test_pages_of_the_w3c_are_read(shared_data: Path, make_source: Callable[..., Any]) -> None:
    for path in sorted((shared_data / "raw" / "html-jlreq").glob("*.html*")):
        found = _document(list(make_source("html").documents(Piece(str(path), path.name, 0))))
        assert found.title
        assert len(found.text) > 1000
        assert "<ruby" not in found.text
