"""One WARC file in ranges: the same documents, ids and damage as in one piece, whatever the ranges and the writer."""

import contextlib
import gzip
import io
import random
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastwarc
import fsspec
import pytest
from fastwarc import WarcRecord, WarcRecordType
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warcio.warcwriter import WARCWriter

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import base, warc_ranges
from jpfm.data.sources.base import Piece
from jpfm.data.sources.warc_records import READ, records

Make = Callable[..., Any]
DATE = "2026-01-31T01:02:03Z"


def record(payload: bytes, *, packed: bool = True, mime: str = "text/plain") -> bytes:
    """A record as warcio writes it: read when it is text, passed over otherwise."""
    raw = io.BytesIO()
    writer = WARCWriter(raw, gzip=packed)
    identity = f"<urn:uuid:{zlib.crc32(payload):032x}>"
    made = writer.create_warc_record(
        "https://example.jp/a", "resource", payload=io.BytesIO(payload), warc_content_type=mime,
        warc_headers_dict={"WARC-Date": DATE, "WARC-Record-ID": identity},
    )  # fmt: skip
    writer.write_record(made)
    return raw.getvalue()


def noise(count: int, seed: int) -> str:
    """Text that hardly packs."""
    draw = random.Random(seed)
    return "".join(chr(draw.randrange(0x4E00, 0x9FA0)) for _ in range(count))


def found_in(source: Any, root: Path, slice_bytes: int) -> list[tuple[str, ...]]:
    """What the file gives, read in pieces of this size."""
    found = [item for piece in source.pieces(root, slice_bytes) for item in source.documents(piece)]
    return [_plain(item) for item in found]


def _plain(item: Document | Quarantined) -> tuple[str, ...]:
    return (item.id, item.text) if isinstance(item, Document) else (item.id, item.error, item.detail)


def check(source: Any, data: bytes, name: str, slices: Sequence[int]) -> int:
    """The file gives the same in pieces of any size; returns in how many of the finest something lies."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / name).write_bytes(data)
        whole = found_in(source, root, len(data))
        for size in slices:
            assert found_in(source, root, size) == whole, size
        return sum(bool(list(source.documents(piece))) for piece in source.pieces(root, min(slices)))


@pytest.mark.parametrize(("name", "packed"), [("a.warc.gz", True), ("a.wet.gz", True), ("a.warc", False)])
def test_any_slice_of_a_small_file(make_source: Make, name: str, packed: bool) -> None:
    parts = [record(f"第{number}の文書".encode(), packed=packed) for number in range(5)]
    data = b"".join(parts)
    assert check(make_source("warc"), data, name, [1, 2, 3, 50, 333, len(parts[0]), len(data) - 1]) == 5


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_a_record_belongs_to_the_range_of_its_first_byte(make_source: Make, tmp_path: Path, name: str) -> None:
    parts = [record(noise(2000, number).encode(), packed=name.endswith("gz")) for number in range(40)]
    begins = [sum(map(len, parts[:number])) for number in range(40)]
    (tmp_path / name).write_bytes(b"".join(parts))
    source = make_source("warc")
    seen: list[int] = []
    for piece in source.pieces(tmp_path, 10_000):
        here = [int(item.id.partition("#")[2]) for item in source.documents(piece)]
        assert here == [at for at in begins if piece.start <= at < piece.stop]
        seen += here
    assert seen == begins


def fastwarc_file(texts: Sequence[str], *, apart: bool) -> bytes:
    """Text records as fastwarc writes them: each a gzip member, or all in one."""
    raw = io.BytesIO()
    writer = fastwarc.GzipWriter(raw)
    for text in texts:
        made = WarcRecord()
        made.init_headers(record_type=WarcRecordType.conversion)
        made.set_bytes_content(text.encode())
        made.headers["Content-Type"] = "text/plain"
        made.write(writer)
        if apart:
            writer.finish()
    writer.finish()
    return raw.getvalue()


def test_a_file_of_fastwarc(make_source: Make, tmp_path: Path) -> None:
    texts = [noise(random.Random(number).randrange(1, 9000), number) for number in range(60)]
    data = fastwarc_file(texts, apart=True)
    (tmp_path / "a.warc.gz").write_bytes(data)
    source = make_source("warc")
    found = found_in(source, tmp_path, 7000)
    assert [item[1] for item in found] == texts
    expected = [made.stream_pos for made in fastwarc.ArchiveIterator(io.BytesIO(data))]
    assert [int(item[0].partition("#")[2]) for item in found] == expected
    assert found == found_in(source, tmp_path, len(data))


def test_one_gzip_member_over_all_records_stays_one_piece(make_source: Make, tmp_path: Path) -> None:
    texts = [noise(5000, number) for number in range(20)]
    (tmp_path / "a.warc.gz").write_bytes(fastwarc_file(texts, apart=False))
    source = make_source("warc")
    (piece,) = source.pieces(tmp_path, 1000)
    assert piece.stop is None
    assert [item[1] for item in found_in(source, tmp_path, 1000)] == texts


def test_what_holds_no_records_and_packed_files_stay_one_piece(make_source: Make, tmp_path: Path) -> None:
    data = b"".join(record(b"a", packed=False) for _ in range(9))
    for name, content in {"a.warc.bz2": b"BZh9" * 99, "b.gz": gzip.compress(data), "c.warc": bytes(5000),
                          "d.warc.gz": gzip.compress(noise(5000, 1).encode())}.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert len(list(make_source("warc", paths=(name,)).pieces(tmp_path, 100))) == 1, name


class Counted(io.BytesIO):
    """Bytes that know how many of them were read."""

    taken = 0

    def read(self, count: int | None = -1) -> bytes:
        data = super().read(count)
        Counted.taken += len(data)
        return data


def test_planning_reads_the_beginning_alone(make_source: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = b"".join(record(noise(20_000, number).encode()) for number in range(60))
    (tmp_path / "a.warc.gz").write_bytes(data)
    source = make_source("warc")
    (piece,) = source.files(tmp_path)
    monkeypatch.setattr(warc_ranges, "open_raw", lambda path: Counted(data))
    Counted.taken = 0
    assert len(list(source.cut(piece, 100_000))) == -(-len(data) // 100_000)
    assert Counted.taken < 200_000 < len(data) / 10
    plain = b"".join(record(noise(20_000, number).encode(), packed=False) for number in range(60))
    monkeypatch.setattr(warc_ranges, "open_raw", lambda path: Counted(plain))
    Counted.taken = 0
    assert len(list(source.cut(Piece("a.warc", "a.warc", len(plain)), 100_000))) > 20
    assert Counted.taken < len(plain) / 5


# --- records that look like others, and damage ------------------------------------------------------------------------

STORED = b"".join(record(f"中の{number}".encode()) for number in range(40))
PLAIN = b"\r\n\r\n" + b"".join(record(f"中の{number}".encode(), packed=False) for number in range(20))
DISGUISES = {
    "gzip magic": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" * 30,
    "the text": "本文に\r\n\r\nWARC/1.0\r\nと書いてある。\n\nWARC/1.1\n".encode(),
    "a lying header": b"x\r\n\r\nWARC/1.0\r\nContent-Length: 99999999999\r\n\r\n" + b"y" * 99,
    "a stored plain WARC": PLAIN,
    "a stored packed WARC": STORED,
    "two packed WARCs": STORED + random.Random(5).randbytes(70_000) + STORED,
    "many packed members": STORED * 9,
    "a long packed member": gzip.compress(record(noise(70_000, 3).encode(), packed=False), 0),
}


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("kind", DISGUISES)
def test_records_inside_records_are_no_records(
    make_source: Make, monkeypatch: pytest.MonkeyPatch, kind: str, level: int
) -> None:
    """Level 0 stores every byte as it is: the inner gzip members stand verbatim in the file."""
    inner = DISGUISES[kind]
    for packed in (True, False):
        outer = record(inner, packed=False, mime="application/gzip")
        around = [record(noise(4000, number).encode(), packed=packed) for number in range(12)]
        middle = gzip.compress(outer, level) if packed else outer
        data = b"".join(around[:6]) + middle + b"".join(around[6:])
        source = make_source("warc")
        pieces = check(source, data, "a.warc.gz" if packed else "a.warc", [len(data) // 150, 5000, 20_000])
        assert pieces == 12  # each in a range of its own, none from inside


def test_a_beginning_is_found_wherever_it_lies(make_source: Make, tmp_path: Path) -> None:
    """Across the edge of what is read at once, and behind a magic that overlaps its own."""
    parts = [record(noise(30_000, number).encode()) for number in range(6)]
    junk = b"\x1f\x8b\x08\x00\x00"  # with the next five bytes it looks like the header of a member
    parts.insert(3, junk)
    (tmp_path / "a.warc.gz").write_bytes(b"".join(parts))
    source = make_source("warc")
    (piece,) = source.files(tmp_path)
    at = sum(map(len, parts[:4]))
    for start in [at - len(junk), *range(at - READ - 2, at - READ + 12)]:
        found = source.documents(piece._replace(start=start, stop=at + 1, bytes=at + 1 - start))
        ids = [int(item.id.partition("#")[2]) for item in found if isinstance(item, Document)]
        assert ids[-1] == at, start
        assert len(list(source.documents(piece._replace(start=at, stop=at + 1, bytes=1)))) == 1


def test_a_lying_length_cuts_nothing_inside_a_record(make_source: Make) -> None:
    parts = [record(noise(3000, number).encode(), packed=False) for number in range(9)]
    parts[4] = record(b"x" * 999 + PLAIN, packed=False, mime="image/png")
    before = len(parts[3]) - len(b"\r\n\r\n")  # the third now says that it goes on into the fourth
    length = int(parts[2].partition(b"Content-Length: ")[2].partition(b"\r")[0])
    lie = b"Content-Length: %d" % (length + before + parts[4].index(b"x") + 500)
    parts[2] = parts[2].replace(b"Content-Length: %d" % length, lie, 1)
    check(make_source("warc"), b"".join(parts), "a.warc", [1, 2000, 9000])


def test_damage_of_a_long_member_is_the_same_from_any_record_on() -> None:
    inner = b"".join(random.Random(number).randbytes(5000) + STORED[:2000] for number in range(200))
    long = bytearray(gzip.compress(record(inner, packed=False), 0))
    long[-6] ^= 1  # its checksum: all of it is unpacked before the damage shows
    parts = [record(noise(2000 + 300 * number, number).encode()) for number in range(12)]
    data = b"".join(parts) + bytes(long) + record(b"a")
    whole = list(records(io.BytesIO(data)))
    for raw in whole[:12]:
        assert list(records(io.BytesIO(data[raw.begins :]), begins=raw.begins)) == whole[whole.index(raw) :]


def file_of(parts: list[tuple[str, int]], packed: bool) -> list[bytes]:
    """Records of these kinds and numbers."""
    made = []
    for kind, number in parts:
        if kind == "short":
            made.append(record(f"第{number}の文書".encode(), packed=packed))
        elif kind == "long":
            made.append(record(noise(9000 + number, number).encode(), packed=packed))
        elif kind == "blank":
            made.append(b"\r\n" * number if not packed else gzip.compress(b"\r\n" * number))
        elif kind == "junk":
            made.append(random.Random(number).randbytes(number * 7))
        else:
            outer = record(DISGUISES[kind], packed=False, mime="image/png")
            made.append(gzip.compress(outer, number % 2) if packed else outer)
    return made


KINDS = st.sampled_from(["short", "short", "long", "long", "long", "blank", "junk", *DISGUISES])
HURTS = st.sampled_from(["", "flip", "cut", "insert", "length"])


def hurt(parts: list[bytes], hurts: list[tuple[str, int]], end: int) -> bytes:
    """Damage in some records; the file ends `end` bytes early."""
    out = []
    for part, (kind, at) in zip(parts, hurts, strict=False):
        at = at % max(len(part), 1)
        if kind == "flip":
            part = part[:at] + bytes(byte ^ 0x5A for byte in part[at : at + 3]) + part[at + 3 :]
        elif kind == "cut":
            part = part[:at]
        elif kind == "insert":
            part = part[:at] + b"\x00WARC/1.0\r\n\x1f\x8b\x08" + part[at:]
        elif kind == "length":
            part = part.replace(b"Content-Length: ", b"Content-Length: 1", 1)
        out.append(part)
    whole = b"".join([*out, *parts[len(out) :]])
    return whole[: len(whole) - end]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.integers(0, 99)), min_size=1, max_size=14),
    st.lists(st.tuples(HURTS, st.integers(0, 1 << 17)), max_size=14),
    st.integers(0, 300),
    st.integers(1, 99),
    st.booleans(),
)
@example([("long", n) for n in range(14)], [("", 0)] * 3 + [("flip", 9000), ("", 0), ("cut", 7000)], 20, 31, True)
@example([("long", n) for n in range(14)], [("", 0)] * 3 + [("length", 0), ("", 0), ("cut", 7000)], 20, 31, False)
def test_ranges_give_what_the_whole_file_gives(
    make_source: Make, kinds: list[tuple[str, int]], hurts: list[tuple[str, int]], end: int, count: int, packed: bool
) -> None:
    data = hurt(file_of(kinds, packed), hurts, end)
    slices = {max(1, len(data) // count), max(1, len(data) // 40), max(1, len(data) - 1)}
    check(make_source("warc"), data, "a.warc.gz" if packed else "a.warc", sorted(slices))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(HURTS, st.integers(0, 5000)), max_size=6), st.integers(0, 300), st.data(), st.booleans())
def test_records_are_the_same_from_any_record_on(
    hurts: list[tuple[str, int]], end: int, draw: st.DataObject, packed: bool
) -> None:
    """What follows a record depends on the file from there on, damage included: why ranges can work at all."""
    kinds = ["short", "long", "gzip magic", "junk", "long", "short", "a stored packed WARC", "long", "short"]
    data = hurt(file_of([(kind, 40 + n) for n, kind in enumerate(kinds)], packed), hurts, end)
    whole = list(records(io.BytesIO(data)))
    starts = sorted({raw.begins for raw in whole if not raw.error})
    if starts:
        at = draw.draw(st.sampled_from(starts))
        again = list(records(io.BytesIO(data[at:]), begins=at))
        assert again == [raw for raw in whole if raw.begins >= at]


def test_a_record_larger_than_is_read(make_source: Make) -> None:
    big = record(bytes(33 << 20), packed=False)
    for packed in (True, False):
        parts = [record(noise(3000, number).encode(), packed=packed) for number in range(4)]
        middle = gzip.compress(big, 1) if packed else big
        data = b"".join([*parts[:2], middle, *parts[2:]])
        check(make_source("warc"), data, "a.warc.gz" if packed else "a.warc", [len(data) // 5])


# --- where the bytes come from ----------------------------------------------------------------------------------------


def test_ranges_of_a_url(make_source: Make, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    data = b"".join(record(noise(3000, number).encode()) for number in range(30))
    memory.pipe_file("/ranges/a.warc.gz", data)
    memory.pipe_file("/ranges/b.warc", gzip.decompress(data))
    for name, count in (("a.warc.gz", 20), ("b.warc", 1)):  # a plain one behind a URL would be fetched to be cut
        source = make_source("warc", paths=(f"memory://ranges/{name}",))
        assert len(list(source.pieces(tmp_path, len(data) // 20 + 1))) == count
        assert found_in(source, tmp_path, len(data) // 20 + 1) == found_in(source, tmp_path, 1 << 30)
        assert len(found_in(source, tmp_path, 1 << 30)) == 30


def test_a_file_that_went_away(make_source: Make, tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(b"".join(record(noise(3000, number).encode()) for number in range(30)))
    source = make_source("warc")
    pieces = list(source.pieces(tmp_path, 10_000))
    (tmp_path / "a.warc.gz").unlink()
    for piece in pieces:
        (found,) = source.documents(piece)
        assert (found.id, found.error) == ("s/a.warc.gz", "archive")


def test_ranges_of_bytes_cover_the_file() -> None:
    for size, slice_bytes in ((10, 3), (100, 7), (7, 1), (64, 64)):
        ranges = list(base.byte_ranges(Piece("a", "a", size), slice_bytes))
        assert [n for piece in ranges for n in range(piece.start, piece.stop or 0)] == list(range(size))
        assert all(piece.bytes <= slice_bytes for piece in ranges)
    with contextlib.suppress(StopIteration):
        assert next(iter(base.byte_ranges(Piece("a", "a", 5), 5))).stop == 5
