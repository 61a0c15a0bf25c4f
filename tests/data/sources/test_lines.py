"""Lines of files of any size: every line once, whatever the ranges; one bad line costs one line."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import lines as module
from jpfm.data.sources.archive import BrokenInput, Member, TooLarge
from jpfm.data.sources.base import Piece
from jpfm.data.sources.lines import Line, lines


def _lines(data: bytes, start: int = 0, stop: int | None = None) -> list[str]:
    member = Member("a", io.BytesIO(data[start - 1 if start else 0 :]))
    return [line.text for line in lines(member, start=start, stop=stop)]


def _as_file(data: bytes) -> list[str]:
    return data.decode().removesuffix("\n").split("\n") if data else []


@given(
    st.lists(st.text("あア漢a 。\r", max_size=9), max_size=30), st.lists(st.integers(0, 400), max_size=5), st.booleans()
)
def test_ranges_share_the_lines_of_a_file(rows: list[str], cuts: list[int], ended: bool) -> None:
    data = "\n".join(rows).encode() + (b"\n" if ended else b"")
    whole = _lines(data)
    assert whole == [row.removesuffix("\r") for row in _as_file(data)]
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [line for begin, end in itertools.pairwise(at) for line in _lines(data, begin, end)]
    assert parts == whole


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    data = "一行目\r\n\n三行目は長い行である。\n終".encode()
    assert _lines(data) == ["一行目", "", "三行目は長い行である。", "終"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp", "utf-16", "utf-16-be"])
def test_encodings_with_other_line_ends(encoding: str) -> None:
    text = (
        "吾輩は猫である。\r\n名前はまだ無い。上Ċ਀字\n" if "16" in encoding else "吾輩は猫である。\r\n名前はまだ無い。\n"
    )
    data = text.encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    assert _lines(data) == text.replace("\r", "").removesuffix("\n").split("\n")


def test_one_bad_line_costs_one_line() -> None:
    good = "これは読める行です。".encode()
    found = list(lines(Member("a", io.BytesIO(good + b"\n\xff\x00\x80\xfd\n" + good + b"\n"))))
    assert [(line.number, bool(line.error)) for line in found] == [(1, False), (2, True), (3, False)]
    assert [line.text for line in found] == [good.decode(), "", good.decode()]


def test_a_line_without_an_end_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(module, "BLOCK_BYTES", 256)
    for stop in (None, 400, 5000):
        data = b"first\n" + b"x" * 5000 + b"\nlast\n"
        found = list(lines(Member("a", io.BytesIO(data)), stop=stop))
        assert found[0].text == "first"
        assert isinstance(found[1].error, TooLarge)
        assert [line.text for line in found[2:]] == ([] if stop else ["last"])
    rest = list(lines(Member("a", io.BytesIO(data[399:])), start=400, stop=5100))
    assert [line.text for line in rest] == ["last"]


def test_a_cut_archive_gives_the_lines_before(tmp_path: Path) -> None:
    import gzip
    import os

    packed = gzip.compress(b"".join(b"%d %s\n" % (n, os.urandom(20).hex().encode()) for n in range(200_000)))
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    seen: list[Line] = []
    with gzip.open(tmp_path / "a.gz") as stream, pytest.raises(BrokenInput):
        seen.extend(lines(Member("a", stream)))  # type: ignore[arg-type]
    assert len(seen) > 10_000


# --- the formats that are read in lines -----------------------------------------------------------------------------


def _read(source: Any, root: Path, slice_bytes: int) -> list[Document | Quarantined]:
    return [doc for piece in source.pieces(root, slice_bytes) for doc in source.documents(piece)]


def test_a_large_jsonl_file_is_read_in_ranges(make_source: Callable[..., Any], tmp_path: Path) -> None:
    rows = [f'{{"text": "第{n}の文書"}}' for n in range(500)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    source = make_source("jsonl")
    whole, parts = _read(source, tmp_path, 1 << 20), _read(source, tmp_path, 1000)
    assert len(list(source.pieces(tmp_path, 1000))) > 10
    assert [doc.text for doc in whole] == [doc.text for doc in parts] == [f"第{n}の文書" for n in range(500)]  # type: ignore[union-attr]
    assert len({doc.id for doc in parts}) == 500


def test_text_of_a_line_or_a_paragraph(read_file: Callable[..., Any]) -> None:
    data = "一\n二\n\n\n三\n".encode()
    assert [doc.text for doc in read_file("text", "a.txt", data, unit="line")] == ["一", "二", "三"]
    assert [doc.text for doc in read_file("text", "a.txt", data, unit="paragraph")] == ["一\n二", "三"]


def test_a_long_text_is_cut_at_line_ends(read_file: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jpfm.data.sources.text.PART_BYTES", 4000)
    text = "\n".join(f"第{n}行、これは長い本の一行である。" for n in range(400))
    found = read_file("text", "a.txt", text.encode())
    assert len(found) > 5
    assert "\n".join(doc.text for doc in found) == text


def test_urls_are_read_as_files_are(make_source: Callable[..., Any], tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/urls/{name}.jsonl", f'{{"text": "{name}の文書"}}\n'.encode())
    found = _read(make_source("jsonl", paths=("memory://urls/*.jsonl",)), tmp_path, 1000)
    assert [(doc.id, doc.text) for doc in found] == [("s/urls/a.jsonl#1", "aの文書"), ("s/urls/b.jsonl#1", "bの文書")]  # type: ignore[union-attr]
    (entry, _) = make_source("jsonl", paths=("memory://urls/*.jsonl",)).entries(
        [Piece("memory://urls/a.jsonl", "a", 0), Piece("memory://urls/b.jsonl", "b", 0)]
    )
    assert (entry.bytes, len(entry.sha256)) == (len('{"text": "aの文書"}\n'.encode()), 64)
