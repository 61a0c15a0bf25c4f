"""Reading benchmark files: one set of items in every format, and what is wrong with a file told in a sentence."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpfm.core.errors import DataError, JpfmError, UsageError
from jpfm.data.benchmarks import Benchmark, ItemText

ITEMS: list[dict[str, Any]] = [
    {"id": "a1", "question": "富士山の高さは、何メートルですか？", "choices": ["三七七六", "三一九三"]},
    {"id": "a2", "question": "琵琶湖は\"どの県\"にありますか", "choices": ["滋賀", "京都"]},
]  # fmt: skip
FOUND = [ItemText("exam", str(item["id"]), str(item["question"])) for item in ITEMS]


def _csv(delimiter: str) -> bytes:
    cells = [["id", "question"], *([item["id"], item["question"]] for item in ITEMS)]
    quoted = ['"' + str(cell).replace('"', '""') + '"' for row in cells for cell in row]
    return (delimiter.join(quoted[:2]) + "\r\n" + delimiter.join(quoted[2:4]) + "\r\n\r\n"
            + delimiter.join(quoted[4:]) + "\r\n").encode("utf-8-sig")  # fmt: skip


def _parquet(path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(ITEMS), path)
    return path.read_bytes()


XML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- items --><exam><item id="a1"><question>富士山の高さは、何メートルですか？</question><note/></item>
<item id="a2"><question>琵琶湖は"どの県"に<b>あり</b>ますか</question></item></exam>"""
NESTED = {"data": [{"title": "山", "paragraphs": [{"qas": ITEMS[:1]}]}, {"paragraphs": [{"qas": ITEMS[1:]}, {}]}]}
LINES = "\n".join(json.dumps(item, ensure_ascii=False) for item in ITEMS)
FORMATS: dict[str, tuple[Callable[[Path], bytes], dict[str, Any]]] = {
    "exam.jsonl": (lambda _: LINES.encode(), {}),
    "exam.jsonl.gz": (lambda _: gzip.compress(LINES.encode()), {}),
    "lines.json": (lambda _: LINES.encode() + b"\n\n", {}),
    "list.json": (lambda _: json.dumps(ITEMS, indent=1).encode(), {}),
    "nested.json": (lambda _: json.dumps(NESTED, indent=1).encode(), {"items": "data.paragraphs.qas"}),
    "one-line.json": (lambda _: json.dumps(NESTED).encode(), {"items": "data.paragraphs.qas"}),
    "exam.csv": (lambda _: _csv(","), {}),
    "exam.tsv": (lambda _: _csv("\t"), {}),
    "sjis.csv": (lambda _: _csv(",").decode("utf-8-sig").encode("cp932"), {}),
    "numbers.csv": (
        lambda _: b"\r\n".join(_csv(",").split(b"\r\n")[1:]),
        {"header": False, "fields": ("2",), "id_field": "1"},
    ),
    "exam.xml": (lambda _: XML.replace("<b>あり</b>", "あり").encode(), {"items": "item"}),
    "exam.parquet": (lambda path: _parquet(path), {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_items(name: str, tmp_path: Path) -> None:
    made, settings = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(made(path))
    benchmark = Benchmark(**({"name": "exam", "path": str(path), "fields": ("question",), "id_field": "id"} | settings))
    assert list(benchmark.texts()) == FOUND


def test_lists_are_gone_through_and_items_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "exam.jsonl"
    path.write_text(LINES, encoding="utf-8")
    benchmark = Benchmark(name="exam", path=str(path), fields=("question", "choices"))
    assert [(one.item, one.text) for one in benchmark.texts()] == [
        ("0", ITEMS[0]["question"]), ("0", "三七七六"), ("0", "三一九三"),
        ("1", ITEMS[1]["question"]), ("1", "滋賀"), ("1", "京都"),
    ]  # fmt: skip


def test_several_files_are_told_apart_and_sorted(tmp_path: Path) -> None:
    for name in ("b.v1.jsonl", "a.v1.jsonl"):
        (tmp_path / name).write_text('{"text": "本文"}\n{"text": null}', encoding="utf-8")
    benchmark = Benchmark(name="exam", path=str(tmp_path / "*.jsonl"))
    assert [one.item for one in benchmark.texts()] == ["a#0", "b#0"]


def test_one_file_may_hold_several_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"b": "one", "i": 7, "text": "甲"}\n{"b": "two", "i": 7, "text": "乙"}', encoding="utf-8")
    benchmark = Benchmark(name="eval", path=str(path), name_field="b", id_field="i")
    assert list(benchmark.texts()) == [ItemText("one", "7", "甲"), ItemText("two", "7", "乙")]


BROKEN = [
    ("a.jsonl", '{"text": "甲"}\n{"text": ', {}, "line 2 is not JSON"),
    ("a.jsonl", '{"text": "甲"}\n7', {}, "item 1 is no object but int"),
    ("a.jsonl", '{"text": 7}', {}, "item 0: field 'text' is a int"),
    ("a.jsonl", '{"text": {"ja": "甲"}}', {}, "item 0: field 'text' is a dict"),
    ("a.jsonl", '{"question": "甲"}', {}, "item 0 has no field 'text'"),
    ("a.jsonl", "", {}, "holds no items"),
    ("a.json", '{"data": []}', {"items": "data.qas"}, "holds no items at 'data.qas'"),
    ("a.json", '{"data": [', {}, "not JSON"),
    ("a.json", "[" * 100_000, {}, "not JSON"),
    ("a.jsonl", '{"text": "甲"}', {"id_field": "id"}, "'id' should name one value, found 0"),
    ("a.csv", 'text\n"甲', {}, "not CSV"),
    ("a.csv", "text,b\n甲", {}, "item 0 has 1 fields, not 2"),
    ("a.xml", "<a><b>", {"items": "b"}, "not XML"),
    ("a.parquet", "PAR1", {}, "not Parquet"),
    ("a.pkl", "甲", {}, "cannot tell the format"),
    ("a.jsonl.gz", "no gzip", {}, "cannot be read"),
    ("a.jsonl", b"\x81\xff\xfe\x00\x80", {}, "a.jsonl"),
]


@pytest.mark.parametrize(("name", "content", "settings", "problem"), BROKEN)
def test_a_broken_file_is_told_in_a_sentence(
    name: str, content: str | bytes, settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        list(Benchmark(name="exam", path=str(tmp_path / name), **settings).texts())
    assert problem in caught.value.message
    assert "'exam'" in caught.value.message
    assert caught.value.hint


def test_a_missing_file_names_the_benchmark() -> None:
    for path in ("nowhere/*.jsonl", ""):
        with pytest.raises(UsageError, match="benchmark 'exam': no file matches"):
            Benchmark(name="exam", path=path).files()
    with pytest.raises(JpfmError):
        Benchmark(name="exam").identity()


def test_xml_opens_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("秘密", encoding="utf-8")
    path = tmp_path / "a.xml"
    path.write_text(
        f'<!DOCTYPE a [<!ENTITY s SYSTEM "{secret.as_uri()}">]><a><i><text>甲&s;乙</text></i></a>', encoding="utf-8"
    )
    with pytest.raises(DataError, match="field 'text' is a dict"):  # the entity stays what it is: no text
        list(Benchmark(name="exam", path=str(path), items="i").texts())
