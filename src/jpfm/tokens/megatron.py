"""Token files that others made (Megatron-LM, datatrove, LLM-jp) as a source of `jpfm tokens pack`.

    megatron:
      - name: llm-jp-wiki
        prefix: /data/ja_wiki_text_document                  # .bin and .idx
        rights: {licence: CC-BY-SA-4.0, basis: licence}
        eos: 7
        vocab_size: 99574

Every id is looked at before it counts: ids at or above the vocabulary, a width that cannot hold it, and documents that
end some with EOS and some without are errors, because each would be learned in silence. Where nothing must change, the
`.bin` is a hard link to the original (no second copy on the disk), else a copy in the artifact's width.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.core.artifact import FileEntry, sha256
from jpfm.core.config import Settings, place
from jpfm.core.errors import DataError
from jpfm.core.rights import LINE, SourceRights
from jpfm.data.sources.base import Name, Piece
from jpfm.tokens.index import Pair, open_pair
from jpfm.tokens.token_file import FileJob

_jit: Any = numba.njit(cache=True, nogil=True)
_BLOCK_DOCUMENTS = 1 << 18
_BLOCK_TOKENS = 1 << 23


class MegatronSource(Settings):
    """A `.bin/.idx` pair, and on what terms it may be used."""

    name: Name
    """Short name; it begins every document id."""
    prefix: str = place(...)
    """Path without its ending: PREFIX.bin and PREFIX.idx."""
    rights: SourceRights = pydantic.Field(json_schema_extra={"jpfm_example": LINE})
    """On what terms the text may be used. Required: token files tell nothing of it."""
    eos: Annotated[int, pydantic.Field(ge=0)] | None = None
    """Id that ends a document in these files; null takes the tokenizer's."""
    vocab_size: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Ids are below it; null takes the tokenizer's."""

    def pieces(self) -> list[Piece]:
        """The two files.

        Raises:
            ArtifactError: one is missing or damaged, or they do not belong together.
        """
        prefix = Path(self.prefix)
        open_pair(prefix)
        found = []
        for ending in (".idx", ".bin"):
            path = prefix.with_name(prefix.name + ending)
            facts = path.stat()
            found.append(Piece(str(path.absolute()), self.name + ending, facts.st_size, modified=facts.st_mtime_ns))
        return found

    def entries(self, pieces: list[Piece]) -> Iterator[FileEntry]:
        """The files by content, for the source's manifest."""
        for piece in pieces:
            yield FileEntry(path=piece.name, bytes=piece.bytes, sha256=sha256(Path(piece.path)))


class Facts(NamedTuple):
    """What a pass over all ids found."""

    ended: int
    """Documents whose last id is EOS."""
    empty: int
    """Documents without an id."""
    highest: int
    lowest: int


@dataclass(frozen=True)
class MegatronJob(FileJob):
    """A file made from a pair."""

    prefix: str
    licence: str
    eos: int
    vocab_size: int
    append_eos: bool

    def run(self) -> int:
        """Check every id and write the file; returns its tokens."""
        pair = open_pair(Path(self.prefix))
        facts = check(self, pair)
        missing = self.append_eos and _ends_to_add(self, pair, facts)
        links = not missing and pair.tokens.dtype == np.dtype(self.dtype)
        with self.writing() as file:
            if links:
                _link(Path(self.prefix + ".bin"), file.binary)
            if missing:
                file.eos_added = len(pair.lengths)
            for first, ids, lengths in _blocks(pair):
                if missing:
                    ids, lengths = _with_ends(ids, lengths, self.eos), lengths + 1
                file.add(None if links else ids, lengths, self._documents(first, len(lengths)))
        return file.tokens

    def _documents(self, first: int, count: int) -> pa.Table:
        ordinals = pc.cast(pa.array(np.arange(first, first + count)), pa.string())
        names, licences = (pa.repeat(pa.scalar(value), count) for value in (self.source, self.licence))
        return pa.table({"id": pc.binary_join_element_wise(names, ordinals, ":"), "source": names, "licence": licences})


def check(job: MegatronJob, pair: Pair) -> Facts:
    """Look at every id.

    Raises:
        DataError: ids are no integers, too narrow for the vocabulary, or beyond it; or there is no document.
    """
    dtype, where = pair.tokens.dtype, f"{job.prefix}.bin"
    if dtype.kind not in "iu":
        raise DataError(f"{where}: {dtype.name}, not token ids", hint="name a pair whose index says integers")
    if np.iinfo(dtype).max < job.vocab_size - 1:
        raise DataError(
            f"{where}: ids of {dtype.name} end at {np.iinfo(dtype).max:,}, the vocabulary has {job.vocab_size:,} "
            "pieces: higher ids were cut off when it was written",
            hint="tokenize the text again with int32 ids; or set the vocab_size of the tokenizer that made this file",
        )
    if not len(pair.lengths):
        raise DataError(f"{where}: no document in it", hint="leave this source out")
    ended = empty = 0
    highest, lowest = -1, 0
    for _, ids, lengths in _blocks(pair):
        high, low, here, without = _facts(ids, lengths, job.eos)
        ended, empty = ended + here, empty + without
        highest, lowest = max(highest, high), min(lowest, low)
    if highest >= job.vocab_size or lowest < 0:
        worst = lowest if lowest < 0 else highest
        raise DataError(
            f"{where}: token id {worst:,} in a vocabulary of {job.vocab_size:,}",
            hint="set the tokenizer (or vocab_size) that this file was made with; if it is, the file is damaged",
        )
    return Facts(ended, empty, highest, lowest)


def _ends_to_add(job: MegatronJob, pair: Pair, facts: Facts) -> bool:
    """Whether EOS must be put after each document.

    Raises:
        DataError: some documents have it and some do not.
    """
    count = len(pair.lengths)
    if 0 < facts.ended < count:
        empty = f", {facts.empty:,} of them empty" if facts.empty else ""
        raise DataError(
            f"{job.prefix}.bin: {facts.ended:,} of {count:,} documents end with EOS (id {job.eos}), the others do not"
            + empty,
            hint="check `eos`; if it is right, write the file again with EOS after every document (Megatron's "
            "preprocess_data.py: --append-eod), or after none",
        )
    return facts.ended == 0


def _blocks(pair: Pair) -> Iterator[tuple[int, npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """Runs of whole documents of bounded size: number of the first, their ids, their lengths."""
    start = 0
    for first in range(0, len(pair.lengths), _BLOCK_DOCUMENTS):
        lengths = pair.lengths[first : first + _BLOCK_DOCUMENTS].astype(np.int64)
        ends = np.cumsum(lengths)
        cuts = [0, *(np.flatnonzero(np.diff(ends // _BLOCK_TOKENS)) + 1).tolist(), len(lengths)]
        for low, high in itertools.pairwise(cuts):
            begin, end = int(ends[low] - lengths[low]), int(ends[high - 1])
            yield first + low, np.asarray(pair.tokens[start + begin : start + end]), lengths[low:high]
        start += int(ends[-1])


@_jit
def _facts(ids, lengths, eos):  # type: ignore[no-untyped-def]
    """Highest and lowest id, documents that end with `eos`, documents without an id."""
    high, low = np.int64(-1), np.int64(0)
    for at in range(ids.shape[0]):
        high = max(high, np.int64(ids[at]))
        low = min(low, np.int64(ids[at]))
    ended = empty = end = np.int64(0)
    for number in range(lengths.shape[0]):
        end += lengths[number]
        if lengths[number] == 0:
            empty += 1
        elif ids[end - 1] == eos:
            ended += 1
    return high, low, ended, empty


@_jit
def _with_ends(ids, lengths, eos):  # type: ignore[no-untyped-def]
    out = np.empty(ids.shape[0] + lengths.shape[0], dtype=np.uint32)
    filled = start = 0
    for number in range(lengths.shape[0]):
        for at in range(start, start + lengths[number]):
            out[filled] = ids[at]
            filled += 1
        start += lengths[number]
        out[filled] = eos
        filled += 1
    return out


def _link(original: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has none."""
    target.unlink(missing_ok=True)
    try:
        os.link(original.resolve(), target)
    except OSError:
        shutil.copyfile(original, target)
