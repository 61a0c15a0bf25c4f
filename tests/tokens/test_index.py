"""The index is Megatron's: what others write is read, what is written here is what they read, damage is said."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import ArtifactError, DataError
from jpfm.tokens import index
from jpfm.tokens.index import open_pair, read_index, write_index


def write_pair(prefix: Path, documents: list[list[int]], dtype: type = np.uint16) -> None:
    np.array([token for ids in documents for token in ids], dtype=dtype).tofile(prefix.with_suffix(".bin"))
    write_index(prefix.with_suffix(".idx"), np.array([len(ids) for ids in documents], np.int32), np.dtype(dtype))


@given(
    st.lists(st.integers(1, 2**31 - 1) | st.integers(0, 9), max_size=40), st.sampled_from([np.uint16, np.int32]),
    st.sampled_from([1, 3, 1 << 20]),
)  # fmt: skip
def test_the_index_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], kind: type, block: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "a.idx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_BLOCK", block)
        write_index(path, np.array(lengths, dtype=np.int32), np.dtype(kind))
    found, dtype = read_index(path)
    assert found.tolist() == lengths
    assert dtype == np.dtype(kind)


def test_the_file_is_read_as_megatron_reads_it(tmp_path: Path) -> None:
    """The reading order of megatron/core/datasets/indexed_dataset.py, `_IndexReader`."""
    documents = [[5, 6, 2], [2], [7, 8, 9, 2]]
    write_pair(tmp_path / "a", documents)
    with (tmp_path / "a.idx").open("rb") as file:
        assert file.read(9) == b"MMIDIDX\x00\x00"
        assert struct.unpack("<Q", file.read(8)) == (1,)
        assert struct.unpack("<B", file.read(1)) == (8,)  # DType.uint16
        (sequences,) = struct.unpack("<Q", file.read(8))
        (num_indices,) = struct.unpack("<Q", file.read(8))
        rest = file.read()
    lengths = np.frombuffer(rest, np.int32, sequences)
    pointers = np.frombuffer(rest, np.int64, sequences, lengths.nbytes)
    indices = np.frombuffer(rest, np.int64, num_indices, lengths.nbytes + pointers.nbytes)
    assert len(rest) == lengths.nbytes + pointers.nbytes + indices.nbytes
    assert indices.tolist() == [0, 1, 2, 3]
    binary = (tmp_path / "a.bin").read_bytes()
    read = [np.frombuffer(binary, np.uint16, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]
    assert read == documents


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(1, "u1"), (2, "i1"), (3, "<i2"), (4, "<i4"), (5, "<i8"), (6, "<f8"), (7, "<f4"), (8, "<u2")],
)
def test_every_dtype_of_megatron_is_read(tmp_path: Path, code: int, dtype: str) -> None:
    np.array([1, 2, 3], dtype).tofile(tmp_path / "a.bin")
    size = np.dtype(dtype).itemsize
    (tmp_path / "a.idx").write_bytes(
        b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, 2, 3) + np.array([1, 2], "<i4").tobytes()
        + np.array([0, size], "<i8").tobytes() + np.array([0, 1, 2], "<i8").tobytes()
    )  # fmt: skip
    pair = open_pair(tmp_path / "a")
    assert pair.tokens.tolist() == [1, 2, 3]
    assert pair.tokens.dtype == np.dtype(dtype)
    assert pair.lengths.tolist() == [1, 2]


def test_sequences_of_one_document_are_added_up(tmp_path: Path) -> None:
    np.arange(6, dtype="<u2").tofile(tmp_path / "a.bin")
    (tmp_path / "a.idx").write_bytes(
        b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, 3, 3) + np.array([1, 2, 3], "<i4").tobytes()
        + np.array([0, 2, 6], "<i8").tobytes() + np.array([0, 2, 3], "<i8").tobytes()
    )  # fmt: skip
    assert open_pair(tmp_path / "a").lengths.tolist() == [3, 3]


def _put(place: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + value + data[place + len(value) :]


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("a.bin", lambda data: data[:-2], "is cut off, or another file's: 12 bytes, its index says 14 (7 tokens"),
        ("a.bin", lambda data: data + b"\0\0", "is another file's: 16 bytes, its index says 14"),
        ("a.bin", None, "a.bin is missing"),
        ("a.idx", None, "a.idx is missing"),
        ("a.idx", lambda data: data[:-8], "is cut off: "),
        ("a.idx", lambda data: data + b"12345", "is longer than its header says"),
        ("a.idx", lambda data: data + b"\0\0\0", "is a multimodal index"),
        ("a.idx", lambda data: data[:20], "is no MMIDIDX index"),
        ("a.idx", lambda data: b"PK" + data[2:], "is no MMIDIDX index"),
        ("a.idx", lambda data: b"", "is no MMIDIDX index"),
        ("a.idx", _put(9, b"\x02"), "version 2, dtype code 8"),
        ("a.idx", _put(17, b"\x09"), "version 1, dtype code 9"),
        ("a.idx", _put(34, b"\x04"), "sequence 1 begins at byte 6"),
        ("a.idx", _put(34, b"\xff\xff\xff\xff"), "sequence 0 begins at byte 0"),
        ("a.idx", _put(34 + 3 * 12 + 16, b"\x09"), "its documents do not cover its 3 sequences"),
    ],
)  # fmt: skip
def test_damage_is_said_in_one_line(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None, what: str
) -> None:
    write_pair(tmp_path / "a", [[5, 6, 2], [2], [7, 8, 2]])
    if change is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(ArtifactError) as caught:
        open_pair(tmp_path / "a")
    assert what in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_document_longer_than_the_format_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2,147,483,648 tokens"):
        write_index(tmp_path / "a.idx", np.array([1 << 31]), np.dtype(np.uint16))
