"""Megatron's `.idx`: how many tokens each sequence of the `.bin` beside it has, and of which width.

    write_index(path, lengths, np.dtype(np.uint16))
    lengths, dtype = read_index(path)
    pair = open_pair(Path("out/tokens/aozora-00000"))        # .bin and .idx, checked against each other, mapped

MMIDIDX version 1, little-endian: 9 bytes of magic, u64 version, u8 dtype code, u64 sequences, u64 document indices;
int32 lengths (tokens), int64 pointers (bytes), int64 document indices (the first sequence of each document, and the
end). Written here: one sequence a document, uint16 or int32 (Megatron has no uint32). Read here: every dtype code of
Megatron, several sequences a document, and an index of any size, because it is mapped and summed in blocks: an index
of 10^9 documents is 20 GB, its blocks here 24 MB.
Source: Megatron-LM `megatron/core/datasets/indexed_dataset.py`.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jpfm.core.errors import ArtifactError, DataError

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_DTYPES: dict[int, npt.DTypeLike] = {
    1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float64, 7: np.float32, 8: np.uint16
}  # fmt: skip
_WRITTEN = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
_UINT16_VOCAB = 65_500  # as Megatron and its tools choose
_BLOCK = 1 << 20


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """The width of token ids that Megatron takes for a vocabulary.

    >>> dtype_for(32_000).name, dtype_for(99_574).name
    ('uint16', 'int32')
    """
    return np.dtype(np.uint16 if vocab_size < _UINT16_VOCAB else np.int32)


def write_index(path: Path, lengths: npt.NDArray[np.int32], dtype: np.dtype[Any]) -> None:
    """Write the index of a file with one sequence a document.

    Args:
        lengths: tokens of each document, EOS included; shape (documents,).
        dtype: of the ids in the `.bin`: uint16 or int32.
    Raises:
        DataError: a document has more than 2^31 - 1 tokens.
    """
    count = len(lengths)
    if count and int(lengths.max()) > np.iinfo(np.int32).max:
        raise DataError(
            f"{path.name}: a document of {int(lengths.max()):,} tokens; the format holds 2,147,483,647 at most",
            hint="set max_document_tokens to cut longer documents",
        )
    with path.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, 1, _WRITTEN[dtype], count, count + 1))
        for begin in range(0, count, _BLOCK):
            file.write(lengths[begin : begin + _BLOCK].astype("<i4").tobytes())
        pointer = 0
        for begin in range(0, count, _BLOCK):
            ends = np.cumsum(lengths[begin : begin + _BLOCK], dtype=np.int64) * dtype.itemsize + pointer
            file.write(np.concatenate([[pointer], ends[:-1]]).astype("<i8").tobytes())
            pointer = int(ends[-1])
        for begin in range(0, count + 1, _BLOCK):
            file.write(np.arange(begin, min(begin + _BLOCK, count + 1), dtype="<i8").tobytes())


def read_index(path: Path) -> tuple[npt.NDArray[np.int32], np.dtype[Any]]:
    """Read an index: (tokens of each sequence, dtype of the ids). The lengths are mapped, not read.

    Raises:
        ArtifactError: there is none, it is not MMIDIDX version 1, or it is cut off.
    """
    count, _, dtype = _header(path)
    return _map(path, "<i4", _HEADER.size, count), dtype


def read_header(path: Path) -> tuple[np.dtype[Any], int]:
    """Dtype of the ids and number of documents, without reading the index.

    Raises:
        ArtifactError: as `read_index`.
    """
    _, documents, dtype = _header(path)
    return dtype, documents - 1


def read_documents(path: Path) -> tuple[npt.NDArray[np.int32], np.dtype[Any]]:
    """As `read_index`, with the sequences of one document added up."""
    count, documents, dtype = _header(path)
    return _by_document(path, _map(path, "<i4", _HEADER.size, count), count, documents), dtype


def _header(path: Path) -> tuple[int, int, np.dtype[Any]]:
    """Sequences, document indices and dtype; the file's size agrees with them."""
    if not path.exists():
        raise ArtifactError(f"{path} is missing", hint="it lies beside the .bin file of that name; copy both")
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise ArtifactError(f"{path} is no MMIDIDX index", hint="name an index that Megatron, datatrove or jpfm wrote")
    _, version, code, count, documents = _HEADER.unpack(head)
    if version != 1 or code not in _DTYPES:
        known = ", ".join(f"{key} {np.dtype(dtype).name}" for key, dtype in _DTYPES.items())
        raise ArtifactError(
            f"{path}: version {version}, dtype code {code}", hint=f"expected version 1 and a dtype code of {known}"
        )
    size, expected = path.stat().st_size, _HEADER.size + 12 * count + 8 * documents
    if size == expected + count and count:
        raise ArtifactError(
            f"{path} is a multimodal index (one mode a sequence)", hint="jpfm reads text only: export it without modes"
        )
    if size != expected:
        what = "is cut off" if size < expected else "is longer than its header says"
        raise ArtifactError(
            f"{path} {what}: {size:,} bytes, expected {expected:,}", hint="copy it again, or pack the tokens again"
        )
    return count, documents, np.dtype(_DTYPES[code])


def _map(path: Path, dtype: str, offset: int, count: int) -> npt.NDArray[Any]:
    if count == 0:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))


@dataclass(frozen=True)
class Pair:
    """A `.bin` and its `.idx`, mapped."""

    tokens: npt.NDArray[Any]
    """Ids of all documents one after the other; shape (tokens,)."""
    lengths: npt.NDArray[np.int32]
    """Tokens of each document; shape (documents,)."""


def open_pair(prefix: Path) -> Pair:
    """Map `PREFIX.bin` and `PREFIX.idx`; sequences of one document are added up.

    Raises:
        ArtifactError: one is missing or damaged, or they do not belong together.
    """
    binary, index = (prefix.with_name(prefix.name + ending) for ending in (".bin", ".idx"))
    count, documents, dtype = _header(index)
    if not binary.exists():
        raise ArtifactError(f"{binary} is missing", hint="it lies beside the .idx file of that name; copy both")
    lengths = _map(index, "<i4", _HEADER.size, count)
    pointers = _map(index, "<i8", _HEADER.size + 4 * count, count)
    total = _check_contiguous(index, lengths, pointers, dtype.itemsize)
    size = binary.stat().st_size
    if size != total * dtype.itemsize:
        what = "is cut off, or another file's" if size < total * dtype.itemsize else "is another file's"
        raise ArtifactError(
            f"{binary} {what}: {size:,} bytes, its index says {total * dtype.itemsize:,} "
            f"({total:,} tokens of {dtype.name})",
            hint="the two do not belong together or a copy was cut off; copy both again, or pack again",
        )
    return Pair(_map(binary, dtype.str, 0, total), _by_document(index, lengths, count, documents))


def _check_contiguous(path: Path, lengths: npt.NDArray[np.int32], pointers: npt.NDArray[np.int64], width: int) -> int:
    """Check that sequences follow each other without gap; returns the sum of their lengths."""
    total = 0
    for begin in range(0, len(lengths), _BLOCK):
        here = lengths[begin : begin + _BLOCK]
        ends = np.cumsum(here, dtype=np.int64) + total
        found = pointers[begin : begin + _BLOCK]
        bad = (found != (ends - here) * width) | (here < 0)
        if bad.any():
            place = int(np.argmax(bad))
            raise ArtifactError(
                f"{path}: sequence {begin + place:,} begins at byte {int(found[place]):,}, where "
                f"{int(ends[place] - here[place]) * width:,} bytes lie before it",
                hint="the index is damaged or its sequences are not in file order; write the pair again",
            )
        total = int(ends[-1])
    return total


def _by_document(path: Path, lengths: npt.NDArray[np.int32], count: int, documents: int) -> npt.NDArray[np.int32]:
    """Tokens of each document, where a document may have several sequences."""
    firsts = _map(path, "<i8", _HEADER.size + 12 * count, documents)
    steps = np.diff(firsts)
    if documents < 1 or int(firsts[0]) != 0 or int(firsts[-1]) != count or bool((steps < 0).any()):
        raise ArtifactError(
            f"{path}: its documents do not cover its {count:,} sequences", hint="write the pair again, or copy it again"
        )
    if documents == count + 1 and bool((steps == 1).all()):
        return lengths
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return np.diff(ends[firsts])
