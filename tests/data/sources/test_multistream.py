"""A multistream dump in ranges: the same pages and the same damage as in one piece, whatever the ranges."""

import bz2
import html
import io
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import mediawiki
from jpfm.data.sources.base import Piece
from jpfm.data.sources.multistream import first_unit

Make = Callable[..., Any]
NAME = "jawiki-20260101-pages-articles-multistream.xml.bz2"
HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ja">\n  <siteinfo>\n'
    "    <dbname>jawiki</dbname>\n    <base>https://ja.wikipedia.org/wiki/%E3%83%A1</base>\n  </siteinfo>\n"
)


def page(number: int, text: str, *, ns: int = 0, extra: str = "") -> str:
    return (
        f"  <page>\n    <title>第{number}頁</title>\n    <ns>{ns}</ns>\n    <id>{number}</id>{extra}\n    <revision>"
        f"<id>{number}9</id><timestamp>2026-01-01T00:00:00Z</timestamp><model>wikitext</model>"
        f'<text xml:space="preserve">{html.escape(text)}</text></revision>\n  </page>\n'
    )


def noise(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(chr(draw.randrange(0x4E00, 0x9FA0)) for _ in range(count))


def pages(count: int, begin: int = 1, chars: int = 300) -> str:
    """Articles, a talk page and a redirect among them."""
    made = [page(begin + n, f"'''{noise(chars, begin + n)}'''。[[墨|すみ]]") for n in range(count)]
    made.append(page(begin + count, "話す", ns=1))
    made.append(page(begin + count + 1, "#転送 [[墨]]", extra='\n    <redirect title="墨" />'))
    return "".join(made)


def streams(*parts: str, level: int = 9) -> list[bytes]:
    return [bz2.compress(part.encode(), level) for part in parts]


def dump(count: int, each: int = 3) -> list[bytes]:
    """As Wikimedia packs it: head, groups of pages and closing tag, each a stream."""
    return streams(HEAD, *(pages(each, 1 + n * (each + 2)) for n in range(count)), "</mediawiki>\n")


def _plain(item: Document | Quarantined) -> tuple[Any, ...]:
    if isinstance(item, Document):
        return (item.id, item.text, item.title, item.url, item.lang, item.date, item.meta)
    return (item.id, item.error, item.detail)


def found_in(source: Any, root: Path, slice_bytes: int) -> list[tuple[Any, ...]]:
    return [_plain(item) for piece in source.pieces(root, slice_bytes) for item in source.documents(piece)]


def check(source: Any, data: bytes, slices: Sequence[int]) -> list[tuple[Any, ...]]:
    """The dump gives the same in pieces of any size; returns what."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / NAME).write_bytes(data)
        whole = found_in(source, root, len(data))
        for size in slices:
            assert found_in(source, root, size) == whole, size
        return whole


def test_any_slice_of_a_small_dump(make_source: Make) -> None:
    parts = dump(6)
    data = b"".join(parts)
    whole = check(make_source("mediawiki"), data, [1, 7, 100, len(parts[1]), len(data) // 2, len(data) - 1])
    assert [item[2] for item in whole] == [f"第{n * 5 + k}頁" for n in range(6) for k in (1, 2, 3)]
    assert whole[4][0] == f"s/{NAME.removesuffix('.bz2')}#7"
    assert whole[4][3] == "https://ja.wikipedia.org/wiki/%E7%AC%AC7%E9%A0%81"
    assert whole[4][6] == {"page_id": "7", "revision_id": "79", "site": "jawiki"}


def test_the_same_as_the_unpacked_dump(make_source: Make, tmp_path: Path) -> None:
    data = b"".join(dump(8))
    whole = check(make_source("mediawiki", redirects=True, namespaces=(0, 1)), data, [500, 3000])
    (tmp_path / NAME.removesuffix(".bz2")).write_bytes(bz2.decompress(data))
    plain = make_source("mediawiki", redirects=True, namespaces=(0, 1))
    assert found_in(plain, tmp_path, 1000) == whole
    assert len(whole) == 40


def test_a_stream_belongs_to_the_range_of_its_first_byte(make_source: Make, tmp_path: Path) -> None:
    parts = dump(20)
    begins = [sum(map(len, parts[: 1 + n])) for n in range(20)]
    (tmp_path / NAME).write_bytes(b"".join(parts))
    source = make_source("mediawiki")
    for piece in source.pieces(tmp_path, 2000):
        here = {int(item.title[1:-1]) // 5 for item in source.documents(piece)}
        assert here == {n for n, at in enumerate(begins) if piece.start <= at < piece.stop}


def test_a_beginning_is_found_across_the_edge_of_what_is_read_at_once() -> None:
    parts = [*streams(HEAD, pages(2, chars=30_000)), *dump(2)[1:]]
    at = len(parts[0]) + len(parts[1])
    file = io.BytesIO(b"".join(parts))
    for start in range(at - (1 << 16) - 2, at - (1 << 16) + 12):
        assert start > len(parts[0])
        assert first_unit(file, start, at + 1) == at
        assert first_unit(file, start, at) is None


def test_what_cannot_be_cut_stays_one_piece(make_source: Make, tmp_path: Path) -> None:
    whole = HEAD + pages(200) + "</mediawiki>"
    middle = len(whole) // 2
    cases = {
        "one.xml.bz2": bz2.compress(whole.encode()),
        "anywhere.xml.bz2": b"".join(streams(whole[:middle], whole[middle:])),  # as pbzip2 cuts
        "plain.xml": whole.encode(),
        "none.xml.bz2": b"no bzip2" * 500,
        "empty.xml.bz2": b"".join(streams(HEAD, "</mediawiki>")),
        "other.tar.bz2": bz2.compress(bytes(10_000)) * 20,
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        source = make_source("mediawiki", paths=(name,))
        (piece,) = source.pieces(tmp_path, 100 if len(data) > 100 else 1)
        assert piece.stop is None, name
        if name in ("one.xml.bz2", "anywhere.xml.bz2", "plain.xml"):
            assert len(list(source.documents(piece))) == 200


def test_planning_reads_the_beginning_alone(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    class Counted(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            nonlocal taken
            data = super().read(count)
            taken += len(data)
            return data

    data = b"".join(dump(40, each=20))
    monkeypatch.setattr(mediawiki, "open_raw", lambda path, seek: Counted(data))
    assert len(list(make_source("mediawiki").cut(Piece(NAME, NAME, len(data)), 50_000))) > 5
    assert taken < 200_000 < len(data) / 2


def test_streams_of_other_packers(make_source: Make) -> None:
    """The head with the first pages; streams that go on in the middle of a page; empty streams; several blocks."""
    text = pages(30, 500)
    middle = len(text) // 2
    parts = [
        *streams(HEAD + pages(3), pages(3, 100)),
        *streams(text[:middle], text[middle:]),
        *streams("", pages(3, 700), ""),
        *streams(pages(400, 1000, chars=200), level=1),
        *streams(pages(3, 9000) + "</mediawiki>"),
    ]
    whole = check(make_source("mediawiki"), b"".join(parts), [100, 2000, 20_000])
    assert len(whole) == 3 + 3 + 30 + 3 + 400 + 3
    assert all(len(item) == 7 for item in whole)


def test_a_page_as_text_is_no_page(make_source: Make) -> None:
    parts = streams(HEAD, pages(2), page(50, "<page>\n<title>偽</title>" + noise(3000, 1) + "BZh91AY&SY"), pages(2, 60))
    whole = check(make_source("mediawiki"), b"".join([*parts, *streams("</mediawiki>")]), [1, 300])
    assert [item[0].partition("#")[2] for item in whole] == ["1", "2", "50", "60", "61"]


# --- damage -----------------------------------------------------------------------------------------------------------


def test_damage_costs_a_stream(make_source: Make) -> None:
    parts = dump(6)
    begins = [sum(map(len, parts[:n])) for n in range(8)]
    broken = bytearray(parts[3])
    broken[len(broken) // 2] ^= 0xFF
    whole = check(make_source("mediawiki"), b"".join([*parts[:3], bytes(broken), *parts[4:]]), [1, 500, 3000])
    assert [item[0].partition("#")[2] for item in whole] == [
        "1", "2", "3", "6", "7", "8", "@" + str(begins[2]), *("16", "17", "18", "21", "22", "23", "26", "27", "28")
    ]  # fmt: skip
    assert whole[6][1] == "archive"
    assert f"the stream at byte {begins[3]:,} cannot be unpacked" in whole[6][2]


def test_broken_xml_costs_a_stream(make_source: Make) -> None:
    parts = dump(4)
    bad = pages(3, 6).replace("</title>", "</titel>", 2).replace("</titel>", "</title>", 1)
    data = b"".join([*parts[:2], *streams(bad), *parts[3:]])
    whole = check(make_source("mediawiki"), data, [1, 900])
    assert [item[0].partition("#")[2] for item in whole] == [
        "1", "2", "3", "6", f"@{len(parts[0]) + len(parts[1])}", "11", "12", "13", "16", "17", "18",
    ]  # fmt: skip
    assert whole[4][1] == "format"


@pytest.mark.parametrize("end", ["tag", "stream", "bytes"])
def test_a_cut_dump_is_told(make_source: Make, end: str) -> None:
    parts = dump(5)
    data = b"".join(parts[:-1])
    data = data + parts[-1] if end == "tag" else data[:-9] if end == "bytes" else data
    whole = check(make_source("mediawiki"), data, [1, 500, 2000])
    assert [len(item) for item in whole] == ([7] * 15 if end == "tag" else [7] * 15 + [3])
    if end != "tag":
        assert whole[-1][1] == ("format" if end == "stream" else "archive")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["", "flip", "cut", "gone", "junk", "split"]),
                       st.integers(0, 5000)), min_size=1, max_size=9),
    st.integers(0, 400), st.integers(1, 60),
)  # fmt: skip
@example([(3, "", 0), (3, "flip", 400), (3, "split", 600), (3, "cut", 900), (3, "", 0)], 30, 17)
def test_ranges_give_what_the_whole_dump_gives(
    make_source: Make, groups: list[tuple[int, str, int]], end: int, count: int
) -> None:
    parts = streams(HEAD)
    for number, (size, harm, at) in enumerate(groups):
        text = pages(size, 1 + number * 10)
        (part,) = streams(text)
        at %= len(part)
        if harm == "flip":
            part = part[:at] + bytes([part[at] ^ 0x41]) + part[at + 1 :]
        elif harm == "cut":
            part = part[:at]
        elif harm == "gone":
            part = b""
        elif harm == "junk":
            part += random.Random(at).randbytes(at // 9) + b"BZh91AY&SY"
        elif harm == "split":
            part = b"".join(streams(text[:at], text[at:]))
        parts.append(part)
    data = b"".join([*parts, *streams("</mediawiki>")])
    data = data[: len(data) - end]
    check(make_source("mediawiki"), data, sorted({max(1, len(data) // count), max(1, len(data) // 50)}))


# --- where the bytes come from ----------------------------------------------------------------------------------------


def test_ranges_of_a_url(make_source: Make, tmp_path: Path) -> None:
    data = b"".join(dump(12))
    fsspec.filesystem("memory").pipe_file(f"/dumps/{NAME}", data)
    source = make_source("mediawiki", paths=(f"memory://dumps/{NAME}",))
    assert len(list(source.pieces(tmp_path, len(data) // 9 + 1))) == 9
    assert found_in(source, tmp_path, len(data) // 9 + 1) == found_in(source, tmp_path, 1 << 30)
    assert len(found_in(source, tmp_path, 1 << 30)) == 36


def test_a_dump_that_went_away(make_source: Make, tmp_path: Path) -> None:
    data = b"".join(dump(12))
    (tmp_path / NAME).write_bytes(data)
    source = make_source("mediawiki")
    pieces = list(source.pieces(tmp_path, 1000))
    (tmp_path / NAME).unlink()
    for piece in [*pieces, pieces[0]._replace(start=0, stop=None)]:
        (found,) = source.documents(piece)
        assert (found.error, found.id[:9]) == ("archive", "s/jawiki-")
