"""Over twenty thousand damaged files over all readers: each gives documents or quarantine, in bounded time.

Seeds are real files of every format (examples/all_formats); a seeded generator cuts, flips, repeats and splices them,
half of the time behind the checksum of the archive they lie in.
"""

import bz2
import gzip
import importlib.util
import io
import signal
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import numpy as np
import pytest

from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources import AnySource
from jpfm.data.sources.base import Piece, Source

TOTAL = 24_000
SECONDS_EACH = 20
MAKE = Path(__file__).parents[2] / "examples" / "all_formats" / "make.py"
# format: (folder of its seeds, settings)
SEEDS: dict[str, tuple[str, dict[str, Any]]] = {
    "aozora": ("aozora", {}),
    "cirrus": ("cirrus", {}),
    "csv": ("csv", {}),
    "docbook": ("docbook", {}),
    "docx": ("office", {}),
    "edinet": ("edinet", {}),
    "gettext": ("gettext", {}),
    "html": ("html", {}),
    "json": ("json", {"records_field": "rows"}),
    "jsonl": ("jsonl", {}),
    "kokkai": ("kokkai", {}),
    "law_xml": ("law", {}),
    "mail": ("mail", {}),
    "markdown": ("markdown", {}),
    "mediawiki": ("mediawiki", {}),
    "parquet": ("parquet", {}),
    "pdf": ("pdf", {}),
    "pptx": ("office", {}),
    "rst": ("rst", {}),
    "text": ("text", {}),
    "warc": ("warc", {}),
    "xlsx": ("office", {}),
}
TOKENS = (
    b"<", b">", b"&", b"]]>", b"<!DOCTYPE a [", b"\x00", b"\xff", b"\x1b$B", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{{",
    b"[[", b"\n", b'"', b"\\ud800", b"PK\x03\x04", b"From ", b"WARC/1.0\r\n", b"\r\n\r\n", "《".encode(),
    "［＃".encode("cp932"), b"(" * 50, b"<b>" * 50, b"%PDF-", b"999999999999", b"-1",
)  # fmt: skip


def _files() -> dict[str, bytes]:
    spec = importlib.util.spec_from_file_location("all_formats", MAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, bytes] = module.files()
    return made


@pytest.fixture(scope="module")
def seeds() -> dict[str, bytes]:
    """Every file of the example, by path."""
    return _files()


def damaged(seed: bytes, other: bytes, draw: np.random.Generator) -> bytes:
    """One to four accidents."""
    data = bytearray(seed)
    for _ in range(int(draw.integers(1, 5))):
        at = int(draw.integers(0, len(data) + 1))
        length = int(draw.integers(1, 200))
        match int(draw.integers(0, 7)):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at : at + length] = draw.bytes(min(length, len(data) - at))
            case 3:
                data[at:at] = TOKENS[int(draw.integers(len(TOKENS)))] * int(draw.integers(1, 20))
            case 4:
                data[at:at] = data[max(0, at - length) : at] * int(draw.integers(1, 10))
            case 5:
                start = int(draw.integers(0, len(other) + 1))
                data[at:] = other[start:]
            case _ if at < len(data):
                data[at] ^= 1 << int(draw.integers(8))
            case _:
                data[:0] = data[-length:]
    return bytes(data)


def damaged_inside(name: str, seed: bytes, other: bytes, draw: np.random.Generator) -> bytes:
    """Damage behind the checksum: a packed file is unpacked, hurt and packed again."""
    if seed.startswith(b"PK\x03\x04"):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(seed)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            entries = old.infolist()
            hurt = int(draw.integers(len(entries)))
            for number, entry in enumerate(entries):
                inner = old.read(entry)
                new.writestr(entry.filename, damaged(inner, other, draw) if number == hurt else inner)
        return out.getvalue()
    if name.endswith(".bz2"):
        return bz2.compress(damaged(bz2.decompress(seed), other, draw))
    if name.endswith(".gz") and not name.endswith(("bad-truncated.txt.gz", ".warc.gz")):
        return gzip.compress(damaged(gzip.decompress(seed), other, draw), 1)
    if name.endswith(".warc.gz"):  # members one after the other, one of them broken on purpose: hurt the first alone
        opened = zlib.decompressobj(31)
        first = opened.decompress(seed)
        return gzip.compress(damaged(first, other, draw), 1) + opened.unused_data
    return damaged(seed, other, draw)


@pytest.fixture
def alarm() -> Iterator[None]:
    """A hang becomes a failure with the place where it hung."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError("a reader takes too long")

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_every_reader_has_seeds() -> None:
    kinds = [kind for kind in get_args(get_args(AnySource)[0]) if issubclass(kind, Source)]
    assert {get_args(kind.model_fields["format"].annotation)[0] for kind in kinds} - {"hf"} == set(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("form", SEEDS)
def test_damaged_files_give_documents_or_quarantine(
    form: str, make_source: Callable[..., Any], tmp_path: Path, seeds: dict[str, bytes], alarm: None
) -> None:
    folder, settings = SEEDS[form]
    own = {name: data for name, data in seeds.items() if name.startswith(f"{folder}/")}
    assert own, folder
    names = sorted(own)
    everything = sorted(seeds)
    source = make_source(form, **settings)
    for number in range(-(-TOTAL // len(SEEDS))):
        draw = np.random.default_rng([number, *form.encode()])
        name = names[int(draw.integers(len(names)))]
        other = seeds[everything[int(draw.integers(len(everything)))]]
        data = damaged_inside(name, own[name], other, draw) if number % 2 else damaged(own[name], other, draw)
        path = tmp_path / Path(name).name
        path.write_bytes(data)
        signal.alarm(SECONDS_EACH)
        try:
            found = list(source.documents(Piece(str(path), path.name, len(data))))
        except Exception as error:
            pytest.fail(f"{form} {name} number {number}: {type(error).__name__}: {error}")
        signal.alarm(0)
        documents = [item for item in found if isinstance(item, Document)]
        assert all(isinstance(item, Quarantined) for item in found if not isinstance(item, Document))
        to_batch(documents, "s", "CC0-1.0", source.columns)
