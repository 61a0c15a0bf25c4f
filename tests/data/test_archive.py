"""Files inside files: Japanese names, cut and hostile archives. Nothing is written, nothing is lost in silence."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jpfm.data.sources import archive
from jpfm.data.sources.archive import BrokenInput, Member, TooLarge, members

TEXT = ("吾輩は猫である。名前はまだ無い。\n" * 400).encode() + os.urandom(4000)


def _tar(files: dict[str, bytes], *, encoding: str = "utf-8") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding=encoding) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return out.getvalue()


def _cp932_zip(name: str, data: bytes) -> bytes:
    """A zip as Japanese Windows writes it: CP932 name, no UTF-8 flag."""
    stand_in = "n" * len(name.encode("cp932"))
    return _zip({stand_in: data}).replace(stand_in.encode(), name.encode("cp932"))


class Found(NamedTuple):
    """A member read to its end."""

    name: str
    data: bytes
    error: str | None = None


def _found(member: Member) -> Found:
    try:
        return Found(member.name, member.read(), member.error)
    except (BrokenInput, TooLarge) as error:
        return Found(member.name, b"", error.message)


def _read(folder: Path, name: str, data: bytes) -> list[Found]:
    (folder / name).write_bytes(data)
    return [_found(member) for member in members(folder / name, name)]


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_and_tars_are_read(tmp_path: Path, suffix: str) -> None:
    pack = COMPRESS[suffix]
    assert _read(tmp_path, f"本.txt.{suffix}", pack(TEXT)) == [Found("本.txt", TEXT)]
    tar = _tar({"第一章.txt": TEXT, "空.txt": b"", "下/第二章.txt": b"x"})
    found = _read(tmp_path, f"本.tar.{suffix}", pack(tar))
    assert found == [
        Found("本.tar/第一章.txt", TEXT),
        Found("本.tar/空.txt", b""),
        Found("本.tar/下/第二章.txt", b"x"),
    ]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.97])
def test_a_cut_file_is_an_error_not_a_shorter_text(tmp_path: Path, suffix: str, kept: float) -> None:
    packed = COMPRESS[suffix](TEXT)
    (found,) = _read(tmp_path, f"本.txt.{suffix}", packed[: max(6, int(len(packed) * kept))])
    assert found.data == b""
    assert found.error
    assert "cannot be read to its end" in found.error


def test_a_cut_tar_gives_its_whole_members_and_one_error(tmp_path: Path) -> None:
    packed = gzip.compress(_tar({"一.txt": b"whole", "二.txt": TEXT}))
    found = _read(tmp_path, "本.tar.gz", packed[: len(packed) * 2 // 3])
    assert found[0] == Found("本.tar/一.txt", b"whole")
    assert [bool(member.error) for member in found[1:]] == [True, True]  # the member that was cut, and the archive


@given(st.lists(st.binary(max_size=3000), max_size=3))
def test_zstandard_frames_follow_each_other(tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]) -> None:
    packed = b"".join(zstandard.ZstdCompressor().compress(frame) for frame in frames)
    (found,) = _read(tmp_path_factory.mktemp("zst"), "a.zst", packed)
    assert (found.data, found.error) == (b"".join(frames), None)


def test_names_of_japanese_windows_are_read(tmp_path: Path) -> None:
    (found,) = _read(tmp_path, "a.zip", _cp932_zip("第①四半期/報告書～表.txt", b"x"))
    assert found.name == "a.zip/第①四半期/報告書～表.txt"
    (found,) = _read(tmp_path, "b.zip", _zip({"第①四半期/報告書.txt": b"x"}))
    assert found.name == "b.zip/第①四半期/報告書.txt"
    for encoding in ("cp932", "euc_jp", "utf-8"):
        (found,) = _read(tmp_path, "c.tar", _tar({"株式会社/議事録.txt": b"x"}, encoding=encoding))
        assert found.name == "c.tar/株式会社/議事録.txt"
        found.name.encode()  # no lone surrogates: a name becomes part of an id


HOSTILE = ["../../etc/passwd", "/etc/shadow", "..\\..\\boot.ini", "a/../../b", "C:\\x", "\u202etxt.exe"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_points_outside_is_only_a_label(tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.parent.iterdir())
    for file, data in (("a.zip", _zip({name: b"x"})), ("a.tar", _tar({name: b"x"}))):
        (found,) = _read(tmp_path, file, data)
        assert (found.data, found.error) == (b"x", None)
        assert found.name.startswith(f"{file}/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.zip"]
    assert sorted(tmp_path.parent.iterdir()) == before


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        entry = tarfile.TarInfo("plain")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    assert [m for m in _read(tmp_path, "a.tar", out.getvalue()) if m.error is None] == [Found("a.tar/plain", b"x")]


def test_a_bad_entry_of_a_zip_does_not_hide_the_next(tmp_path: Path) -> None:
    data = bytearray(_zip({"一.txt": TEXT, "二.txt": b"good"}))
    data[60:80] = bytes(20)
    bad, good = _read(tmp_path, "a.zip", bytes(data))
    assert bad.error
    assert "cannot be read to its end" in bad.error
    assert good == Found("a.zip/二.txt", b"good")


def test_an_encrypted_entry_says_so(tmp_path: Path) -> None:
    data = bytearray(_zip({"a.txt": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (found,) = _read(tmp_path, "a.zip", bytes(data))
    assert "encrypted" in str(found.error)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_bomb_is_refused(tmp_path: Path, suffix: str) -> None:
    zeros = bytes(archive.WHOLE_BYTES + 1)
    (found,) = _read(tmp_path, f"a.txt.{suffix}", COMPRESS[suffix](zeros))
    assert (found.data, found.error) == (b"", "a.txt: larger than 64 MiB unpacked")
    (found,) = _read(tmp_path, "a.zip", _zip({"a": zeros}))
    assert "larger than 64 MiB" in str(found.error)


def test_archives_inside_archives_are_opened_a_few_deep(tmp_path: Path) -> None:
    inner = gzip.compress(TEXT)
    found = _read(tmp_path, "a.tar.zst", COMPRESS["zst"](_tar({"b.zip": _zip({"c.txt.gz": inner})})))
    assert [(m.name, m.error) for m in found] == [("a.tar/b.zip/c.txt", None)]
    found = _read(tmp_path, "b.zip", _zip({"c.tar": _tar({"d.txt.gz": inner})}))
    assert found == [Found("b.zip/c.tar/d.txt", TEXT)]
    data = TEXT
    for _ in range(6):
        data = _zip({"next.zip": data})
    (found_deep,) = _read(tmp_path, "deep.zip", data)
    assert "more than 4 deep" in str(found_deep.error)


@pytest.mark.parametrize("name", ["a.gz", "a.zst", "a.zip", "a.tar", "a.tar.gz", "a.xz", "a.bz2", "a.tgz"])
@pytest.mark.parametrize("data", [b"no archive at all", "日本語のただの文章です。".encode() * 90])
def test_what_is_no_archive_is_an_error(tmp_path: Path, name: str, data: bytes) -> None:
    (found,) = _read(tmp_path, name, data)
    assert found.data == b""
    assert found.error


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (found,) = members(tmp_path / "gone.txt", "gone.txt")
    assert "No such file" in str(found.error)
