"""WARC and WET files written by warcio: what is read, what is passed over, what damage costs."""

import base64
import bz2
import gzip
import hashlib
import io
import json
import random
import re
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pydantic
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from jpfm.core.errors import DataError
from jpfm.data.build import build
from jpfm.data.document import Document, Quarantined
from jpfm.data.recipe import Recipe
from jpfm.data.sources.warc_http import may_be_japanese
from jpfm.data.sources.warc_records import records

Read = Callable[..., list[Document | Quarantined]]
DATE = "2026-01-31T01:02:03Z"


def page(text: str, head: str = "") -> str:
    return f"<html lang=ja><head>{head}<title>題</title></head><body><nav>案内</nav><p>{text}</p></body></html>"


def record(
    payload: bytes,
    *headers: tuple[str, str],
    url: str = "https://example.jp/a",
    mime: str = "text/html",
    status: str = "200 OK",
    kind: str = "response",
    packed: bool = True,
    **warc_headers: str,
) -> bytes:
    """One record as crawlers write it; keyword WARC_Truncated is header WARC-Truncated."""
    raw = io.BytesIO()
    writer = WARCWriter(raw, gzip=packed)
    spoken = kind in ("response", "request")
    http = StatusAndHeaders(status, [("Content-Type", mime), *headers], protocol="HTTP/1.1")
    extra = {"WARC-Date": DATE} | {name.replace("_", "-"): value for name, value in warc_headers.items()}
    made = writer.create_warc_record(
        url, kind, payload=io.BytesIO(payload), warc_headers_dict=extra,
        http_headers=http if spoken else None, warc_content_type="" if spoken else mime,
    )  # fmt: skip
    writer.write_record(made)
    data = raw.getvalue()
    if "WARC_Payload_Digest" in warc_headers:  # warcio writes the right one
        bare = re.sub(rb"WARC-Payload-Digest: [^\r]*\r\n", b"", gzip.decompress(data))
        line = f"WARC-Payload-Digest: {warc_headers['WARC_Payload_Digest']}\r\n".encode()
        data = gzip.compress(bare.replace(b"\r\n", b"\r\n" + line, 1))
    return data


def plain(text: str) -> bytes:
    return page(text).encode()


@pytest.fixture
def read(read_file: Read) -> Read:
    """`read(data)`: what a file of these records gives."""

    def run(data: bytes, name: str = "a.warc.gz", **settings: Any) -> list[Document | Quarantined]:
        return read_file("warc", name, data, **settings)

    return run


def texts(found: list[Document | Quarantined]) -> list[str]:
    return [item.text if isinstance(item, Document) else item.error for item in found]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc", "a.warc.zst", "a.gz", "a.warc.bz2"])
def test_records_of_any_packing_are_documents_by_offset(read: Read, name: str) -> None:
    packed = name == "a.warc.gz"
    parts = [record(plain(f"第{number}頁"), url=f"https://example.jp/{number}", packed=packed) for number in range(3)]
    offsets = [str(sum(len(part) for part in parts[:number])) for number in range(3)]
    data = b"".join(parts)
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".zst": zstandard.compress, ".gz": gzip.compress, ".bz2": bz2.compress,
    }  # fmt: skip
    if name != "a.warc.gz":
        data = pack.get(Path(name).suffix, bytes)(data)
    found = read(data, name)
    assert texts(found) == ["第0頁", "第1頁", "第2頁"]
    stem = name if packed else name.removesuffix(".zst").removesuffix(".gz").removesuffix(".bz2")
    assert [item.id for item in found] == [f"s/{stem}#{offset}" for offset in offsets]
    first = found[0]
    assert isinstance(first, Document)
    assert (first.url, first.date, first.title, first.lang) == ("https://example.jp/0", DATE, "題", "ja")


def test_one_gzip_stream_of_all_records(read: Read) -> None:
    data = b"".join(record(plain(f"第{number}頁"), packed=False) for number in range(3))
    found = read(gzip.compress(data))
    assert texts(found) == ["第0頁", "第1頁", "第2頁"]
    assert len({item.id for item in found}) == 3


def test_offsets_are_those_of_warcio(read: Read) -> None:
    data = b"".join(record(plain("あ" * number)) for number in range(1, 40))
    iterator = ArchiveIterator(io.BytesIO(data))
    expected = []
    for _ in iterator:
        iterator.read_to_end()
        expected.append(iterator.get_record_offset())
    assert [int(item.id.partition("#")[2]) for item in read(data)] == expected


CHARSETS = {
    "meta says Shift_JIS": (page("㈱髙橋①", '<meta charset="Shift_JIS">').encode("cp932"), "text/html", "cp932", ""),
    "HTTP says EUC-JP": (page("経済の産業").encode("euc_jp"), "text/html; charset=EUC-JP", "euc_jp", "EUC-JP"),
    "HTTP wins over meta": (
        page("経済の産業", '<meta charset="utf-8">').encode("euc_jp"), 'text/html;charset="euc-jp"', "euc_jp", "euc-jp",
    ),
    "HTTP is wrong": (page("㈱髙橋①").encode("cp932"), "text/html; charset=ISO-8859-1", "cp932", "ISO-8859-1"),
    "JIS": (page("日本語です").encode("iso2022_jp"), "text/html; charset=iso-2022-jp", "iso2022_jp", "iso-2022-jp"),
    "XHTML": (page("日本語です").encode(), "application/xhtml+xml", "utf-8", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHARSETS)
def test_charsets(read: Read, kind: str) -> None:
    data, mime, codec, label = CHARSETS[kind]
    (found,) = read(record(data, mime=mime))
    assert isinstance(found, Document), found
    assert found.text in ("㈱髙橋①", "経済の産業", "日本語です")
    assert (found.encoding, found.meta.get("http_charset", "")) == (codec, label)


def chunked(data: bytes) -> bytes:
    half = len(data) // 2
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:half], data[half:])) + b"0\r\n\r\n"


GZIPPED = gzip.compress(plain("本文です"), mtime=0)
ENCODINGS: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "gzip": (GZIPPED, [("Content-Encoding", "gzip")]),
    "br": (brotli.compress(plain("本文です")), [("Content-Encoding", "br")]),
    "deflate": (zlib.compress(plain("本文です")), [("Content-Encoding", "deflate")]),
    "zstd": (zstandard.compress(plain("本文です")), [("Content-Encoding", "zstd")]),
    "chunked": (chunked(plain("本文です")), [("Transfer-Encoding", "chunked")]),
    "chunked gzip": (chunked(GZIPPED), [("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")]),
    "unpacked by the crawler": (plain("本文です"), [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]),
    "identity": (plain("本文です"), [("Content-Encoding", "identity")]),
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_bodies_are_unpacked(read: Read, kind: str) -> None:
    payload, headers = ENCODINGS[kind]
    assert texts(read(record(payload, *headers))) == ["本文です"]


@pytest.mark.parametrize(
    ("payload", "header"),
    [(b"\x1f\x8b" + b"\x00" * 50, ("Content-Encoding", "gzip")), (b"zz\r\nabc", ("Transfer-Encoding", "chunked"))],
)
def test_a_body_that_cannot_be_unpacked(read: Read, payload: bytes, header: tuple[str, str]) -> None:
    found = read(record(payload, header) + record(plain("次")))
    assert texts(found) == ["format", "次"]


def test_only_pages_that_are_asked_for(read: Read) -> None:
    data = b"".join(
        [
            record(b"", kind="warcinfo", mime="application/warc-fields"),
            record(b"", kind="request"),
            record(plain("頁")),
            record(b"\x89PNG", mime="image/png"),
            record(plain("無い"), status="404 Not Found"),
            record("平文です。".encode(), mime="text/plain; charset=utf-8"),
            record(plain("型なし"), mime="application/octet-stream"),
            record(b"{}", mime="application/json"),
            record("資源".encode(), kind="resource", mime="text/plain"),
        ]
    )
    assert texts(read(data)) == ["頁", "平文です。", "型なし", "資源"]
    assert texts(read(data, status=(404,))) == ["無い", "資源"]
    assert texts(read(data, mime=("text/plain",))) == ["平文です。", "資源"]
    assert read(data, records="conversion") == []


def test_wet_files(read: Read) -> None:
    text = "題\n一行目です。\n二行目です。"
    data = record(text.encode(), kind="conversion", mime="text/plain", WARC_Identified_Content_Language="jpn,eng")
    (found,) = read(data, "a.warc.wet.gz")
    assert isinstance(found, Document)
    assert (found.text, found.url, found.date) == (text, "https://example.jp/a", DATE)
    assert found.meta["languages"] == "jpn,eng"
    assert read(data, "a.warc.wet.gz", records="response") == []


# --- rights ---------------------------------------------------------------------------------------------------------

OPT_OUTS: dict[str, tuple[bytes, list[tuple[str, str]], bool]] = {
    "nothing": (plain("本文"), [], False),
    "noindex": (plain("本文"), [("X-Robots-Tag", "noindex, nofollow")], False),
    "noai": (plain("本文"), [("X-Robots-Tag", "noindex"), ("X-Robots-Tag", "noai, noimageai")], True),
    "tdm": (plain("本文"), [("tdm-reservation", "1"), ("tdm-policy", "https://example.jp/p")], True),
    "tdm 0": (plain("本文"), [("tdm-reservation", "0")], False),
    "meta": (page("本文", '<meta name="robots" content="noai">').encode(), [], True),
    "meta tdm": (page("本文", '<meta name="tdm-reservation" content="1">').encode(), [], True),
}


@pytest.mark.parametrize("kind", OPT_OUTS)
def test_opting_out(read: Read, kind: str) -> None:
    data, headers, out = OPT_OUTS[kind]
    assert texts(read(record(data, *headers))) == (["opt_out"] if out else ["本文"])
    (kept,) = read(record(data, *headers), opt_out="keep")
    assert isinstance(kept, Document)
    told = {"noindex": ("robots", "noindex, nofollow"), "noai": ("robots", "noindex, noai, noimageai"),
            "tdm": ("tdm", "1"), "tdm 0": ("tdm", "0"), "meta": ("robots_meta", "noai"),
            "meta tdm": ("tdm", "1")}  # fmt: skip
    if kind in told:
        assert kept.meta[told[kind][0]] == told[kind][1]


def test_licence_of_a_page_in_a_crawl(read: Read) -> None:
    (found,) = read(record(page("本文", '<link rel=license href="/licence.html">').encode()))
    assert isinstance(found, Document)
    assert found.licence == "https://example.jp/licence.html"


def sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def test_digests(read: Read) -> None:
    body = plain("本文です")
    good = record(body, WARC_Payload_Digest="sha1:" + hashlib.sha1(body).hexdigest())
    (found,) = read(good)
    assert isinstance(found, Document)
    assert found.meta["payload_digest"] == "sha1:" + hashlib.sha1(body).hexdigest()
    wrong = record(body, WARC_Payload_Digest=sha1(b"other"))
    assert texts(read(wrong + good)) == ["digest", "本文です"]
    assert texts(read(wrong, verify_digest=False)) == ["本文です"]
    assert texts(read(record(body, WARC_Payload_Digest="sha1:not base32!"))) == ["digest"]
    assert texts(read(record(body, WARC_Payload_Digest="md5:00"))) == ["本文です"]
    truncated = record(body, WARC_Payload_Digest=sha1(b"other"), WARC_Truncated="length")
    (found,) = read(truncated)
    assert isinstance(found, Document)
    assert found.meta["truncated"] == "length"
    cut = record("<p>本文です</p><p>途".encode("cp932")[:-1], WARC_Truncated="length")
    assert texts(read(cut)) == ["本文です"]
    for payload, headers in ENCODINGS.values():  # crawlers disagree about what they digest
        assert texts(read(record(payload, *headers, WARC_Payload_Digest=sha1(plain("本文です"))))) == ["本文です"]


# --- damage ---------------------------------------------------------------------------------------------------------


def noise(count: int, seed: int = 1) -> str:
    return "".join(chr(random.Random(seed + n).randrange(0x4E00, 0x9FA0)) for n in range(count))


@pytest.mark.parametrize("chars", [100, 60_000])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_a_broken_gzip_member_costs_one_record(read: Read, chars: int, place: float) -> None:
    parts = [record(plain(f"第{number}頁{noise(chars)}")) for number in range(3)]
    broken = bytearray(parts[1])
    at = int(len(broken) * place)
    broken[at : at + 8] = bytes(byte ^ 0xFF for byte in broken[at : at + 8])
    found = read(parts[0] + bytes(broken) + parts[2])
    assert [text[:3] for text in texts(found)] in (["第0頁", "for", "第2頁"], ["第0頁", "dig", "第2頁"])
    assert found[1].id == f"s/a.warc.gz#{len(parts[0])}"


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_member_cut_in_the_middle_of_the_file(read: Read, cut: float) -> None:
    parts = [record(plain(f"第{number}頁{noise(30_000)}")) for number in range(4)]
    data = parts[0] + parts[1][: int(len(parts[1]) * cut)] + parts[2] + parts[3]
    found = texts(read(data))
    assert [text[:3] for text in found if text != "format"] == ["第0頁", "第2頁", "第3頁"]
    assert found.count("format") >= 1


def test_a_file_cut_at_any_byte_keeps_what_came_before(read: Read) -> None:
    parts = [record(plain(f"第{number}頁")) for number in range(2)]
    whole = parts[0] + parts[1]
    for end in range(len(parts[0]) + 1, len(whole) - 20, 7):
        assert texts(read(whole[:end])) == ["第0頁", "format"], end
    unpacked = [record(plain(f"第{number}頁"), packed=False) for number in range(2)]
    whole = unpacked[0] + unpacked[1]
    for end in range(len(unpacked[0]) + 1, len(whole) - 4, 13):
        assert texts(read(whole[:end], "a.warc")) == ["第0頁", "format"], end


def test_junk_between_records(read: Read) -> None:
    one, two = record(plain("一")), record(plain("二"))
    assert texts(read(one + b"\x00junk" * 50 + two)) == ["一", "format", "二"]
    one, two = record(plain("一"), packed=False), record(plain("二"), packed=False)
    assert texts(read(one + b"\x00junk\n" * 50 + two, "a.warc")) == ["一", "format", "二"]
    assert texts(read(one + b"\x00junk\n" * 50, "a.warc")) == ["一", "format"]


@pytest.mark.parametrize("length", ["5", "99999999", "123456789012345", "-1", "x", ""])
def test_a_wrong_content_length_costs_one_record(read: Read, length: str) -> None:
    parts = [record(plain(f"第{number}頁"), packed=False) for number in range(3)]
    real = parts[1].partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    bad = parts[1].replace(b"Content-Length: " + real, b"Content-Length: " + length.encode(), 1)
    found = texts(read(parts[0] + bad + parts[2], "a.warc"))
    assert found[0] == "第0頁"
    if len(length) > 7:  # it says that the rest of the file is its own
        assert found == ["第0頁", "too_large"]
    else:
        assert found == ["第0頁", "format", "第2頁"]


def test_a_longer_content_length_does_not_swallow_the_next(read: Read) -> None:
    parts = [record(plain(f"第{number}頁"), packed=False) for number in range(3)]
    real = parts[1].partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    longer = str(int(real) + 300).encode()
    bad = parts[1].replace(b"Content-Length: " + real, b"Content-Length: " + longer, 1)
    assert texts(read(parts[0] + bad + parts[2], "a.warc")) == ["第0頁", "format", "第2頁"]
    assert texts(read(parts[0] + parts[2] + bad, "a.warc")) == ["第0頁", "第2頁", "format"]


def test_a_record_of_a_gigabyte_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: 1000000000\r\n\r\n"
    path = tmp_path / "bomb.warc.gz"
    with path.open("wb") as file:
        file.write(record(plain("前")))
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
            packed.write(head)
            block = b"\x00" * (1 << 20)
            for _ in range(300):  # what it says and what it holds differ: neither may be believed
                packed.write(block)
        file.write(record(plain("後")))
    tracemalloc.start()
    with path.open("rb") as stream:
        found = [(raw.error, len(raw.data) > 0) for raw in records(stream)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [error for error, _ in found] == ["", "too_large", ""]
    assert peak < 8 << 20


def test_a_body_that_unpacks_to_too_much(read: Read) -> None:
    bomb = gzip.compress(b"\x00" * (40 << 20))
    assert texts(read(record(bomb, ("Content-Encoding", "gzip")) + record(plain("後")))) == ["too_large", "後"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x1f\x8b", b"\x1f\x8b\x08", gzip.compress(b"", mtime=0), gzip.compress(b"\r\n" * 100, mtime=0), b"\r\n\r\n",
     b"WARC/1.0\r\n\r\n",
     b"WARC/1.0\r\nContent-Length: 0\r\n\r\n", b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 3\r\n\r\nabc",
     b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: 3\r\n\r\nabc",
     b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n\xff\x80\x81"],
)  # fmt: skip
def test_scraps(read: Read, data: bytes) -> None:
    for name in ("a.warc", "a.warc.gz"):
        assert all(isinstance(item, Quarantined) for item in read(data, name))


@given(st.binary(max_size=300), st.integers(0, 2000), st.integers(0, 60), st.booleans())
def test_any_damage_gives_records_or_errors(junk: bytes, at: int, cut: int, packed: bool) -> None:
    parts = [record(plain(f"第{number}頁"), packed=packed) for number in range(4)]
    data = b"".join(parts)
    at %= len(data)
    found = list(records(io.BytesIO(data[:at] + junk + data[at + cut :])))
    assert all(bool(raw.error) != bool(raw.data) for raw in found)
    assert len({raw.offset for raw in found}) == len(found)
    behind = b"".join(raw.data for raw in found)
    assert "第3頁".encode() in behind or at + cut > len(data) - len(parts[3]) or not packed


# --- Japanese only --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16"])
def test_kana_are_seen_in_every_encoding(codec: str) -> None:
    assert may_be_japanese("<p>これはテストです</p>".encode(codec))
    assert may_be_japanese("<p>カタカナ</p>".encode(codec)) or codec in ("cp932", "euc_jp")


def test_japanese_only(read: Read) -> None:
    english = b"<html lang=en><body><p>plain English text</p></body></html>"
    chinese = "<html lang=zh><body><p>这是中文的网页。</p></body></html>".encode()
    data = record(english) + record(plain("日本語の頁")) + record(chinese)
    assert len(read(data)) == 3
    assert texts(read(data, japanese_only=True)) == ["日本語の頁"]


# --- byte ranges ----------------------------------------------------------------------------------------------------


@pytest.fixture
def crawl(tmp_path: Path) -> list[dict[str, Any]]:
    """Two WARC files in `crawl/`, and the rows of a list of their Japanese pages."""
    rows = []
    for number in range(2):
        parts = [record(plain(f"{number}の{n}"), url=f"https://example.jp/{number}/{n}") for n in range(6)]
        name = f"segments/{number}.warc.gz"
        path = tmp_path / "crawl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(parts))
        offset = 0
        for n, part in enumerate(parts):
            if n % 2 == 0:
                rows.append({"warc_filename": name, "warc_record_offset": offset, "warc_record_length": len(part)})
            offset += len(part)
    return rows


def write_list(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist([{"url": "x"} | row for row in rows])
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"url": "x"} | row) + "\n" for row in rows))
    else:
        options = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        pyarrow.csv.write_csv(table, path, options)


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv", "jsonl"])
def test_ranges_are_fetched_alone(
    make_source: Callable[..., Any], tmp_path: Path, crawl: list[dict[str, Any]], form: str
) -> None:
    write_list(tmp_path / f"list.{form}", crawl)
    source = make_source("warc", paths=(f"list.{form}",), index=True, base="crawl")
    (piece,) = source.pieces(tmp_path, 1 << 20)
    assert piece.bytes == sum(row["warc_record_length"] for row in crawl)
    found = list(source.documents(piece))
    assert texts(found) == ["0の0", "0の2", "0の4", "1の0", "1の2", "1の4"]
    assert found[1].id == f"s/segments/0.warc.gz#{crawl[1]['warc_record_offset']}"
    small = list(source.pieces(tmp_path, crawl[0]["warc_record_length"] * 2 + 50))
    assert [(piece.start, piece.stop) for piece in small] == [(0, 2), (2, 4), (4, 6)]
    assert [item.id for piece in small for item in source.documents(piece)] == [item.id for item in found]
    (entry,) = source.entries(small)
    assert (entry.path, entry.sha256) == (
        f"list.{form}",
        hashlib.sha256((tmp_path / f"list.{form}").read_bytes()).hexdigest(),
    )


def test_ranges_from_a_url_and_the_names_of_the_cdx_server(
    make_source: Callable[..., Any], tmp_path: Path, crawl: list[dict[str, Any]]
) -> None:
    memory = fsspec.filesystem("memory")
    for path in sorted((tmp_path / "crawl").rglob("*.gz")):
        memory.pipe_file(f"/cc/segments/{path.name}", path.read_bytes())
    rows = [dict(zip(("filename", "offset", "length"), row.values(), strict=True)) for row in crawl]
    rows[1]["filename"] = "segments/none.warc.gz"
    rows[2]["length"] = 100_000
    rows[3]["offset"] += 1
    rows[4]["length"] = 64 << 20
    (tmp_path / "list.jsonl").write_text(
        "".join(json.dumps({k: str(v) for k, v in row.items()}) + "\n" for row in rows)
    )
    source = make_source("warc", paths=("list.jsonl",), index=True, base="memory://cc/")
    found = [item for piece in source.pieces(tmp_path, 1 << 30) for item in source.documents(piece)]
    assert texts(found) == ["0の0", "fetch", "fetch", "format", "fetch", "1の4"]


def test_a_server_that_does_not_answer_stops_the_run(
    make_source: Callable[..., Any], tmp_path: Path, crawl: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list(tmp_path / "list.parquet", crawl)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    source = make_source("warc", paths=("list.parquet",), index=True, base="http://127.0.0.1:9/")
    (piece,) = source.pieces(tmp_path, 1 << 20)
    with pytest.raises(DataError, match="cannot be fetched"):
        list(source.documents(piece))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [([{"url": "x"}], "no columns warc_filename"),
     ([{"filename": "a", "offset": "x", "length": "1"}], "no list of byte ranges"),
     ([{"filename": "a", "offset": -1, "length": 1}], "no byte range")],
)  # fmt: skip
def test_what_is_no_list_is_refused_before_the_run(
    make_source: Callable[..., Any], tmp_path: Path, rows: list[dict[str, Any]], problem: str
) -> None:
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=problem):
        list(make_source("warc", paths=("list.jsonl",), index=True).pieces(tmp_path, 1 << 20))
    (tmp_path / "list.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        list(make_source("warc", paths=("list.parquet",), index=True).pieces(tmp_path, 1 << 20))


def test_base_without_index_is_refused(make_source: Callable[..., Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="only read with index"):
        make_source("warc", base="crawl")


def test_a_recipe_over_ranges_adds_up(tmp_path: Path, crawl: list[dict[str, Any]]) -> None:
    write_list(tmp_path / "list.parquet", [*crawl, crawl[0] | {"warc_filename": "gone.warc.gz"}])
    source = {"format": "warc", "name": "cc", "paths": ("list.parquet",), "index": True, "base": "crawl"}
    body = {"stage": "data", "name": "cc", "root": str(tmp_path), "steps": (), "slice_bytes": 1000}
    recipe = Recipe.model_validate(body | {"sources": (source | {"rights": {"licence": "CC0-1.0"}},)})
    corpus = build(recipe, tmp_path / "out")
    assert corpus is not None
    total = corpus.manifest.stats["total"]
    assert (total["kept"], total["quarantined"]) == (6, {"fetch": 1})
    columns = pq.read_table(corpus.path / "documents").column_names
    assert {"http_charset", "robots", "tdm", "payload_digest", "robots_meta"} <= set(columns)
