"""Bits per character by source on text that training does not see: comparable between tokenizers, and it moves early.

    corpora = held_out.find(settings, tokens)
    domains = held_out.domains(corpora, tokenizer.path, seq_len=512, max_chars=100_000)
    found = held_out.evaluate(domains, score)              # score(rows, targets) -> nats of a domain, by the loop
    found.bits_per_character["aozora"], found.overall

The definition is that of the task `bits_per_character` at evaluation: code length of a document *and its end*, read
after the EOS that begins it, over its characters. Numbers are equal for documents that fit into a row. A longer one is
cut into rows here and its tokens see what stands before them in their row only, where the task lets a window slide: the
number here is a little higher (half a window less context on average), the cost is half.

Documents share rows, each behind the EOS that ends the one before, so `score` must keep documents apart, as training
does by default. Refused: a row for each document, which is 6 times the rows for documents of 325 tokens in rows of
2,048; `packed=False` does so where the attention does not keep them apart.
"""

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.log import log
from jpfm.tokens.encoder import Encoder
from jpfm.train.settings import HeldOut

Ids = npt.NDArray[np.uint32]
Score = Callable[[Ids, npt.NDArray[np.int64]], float]
"""(rows, targets) of a domain -> nats: the sum of -log p over the targets that count."""


class Domain(NamedTuple):
    """The held-out text of one source, as rows to score."""

    source: str
    rows: Ids
    """Shape (n, seq_len + 1): inputs are row[:-1], targets row[1:]. What stands behind the targets is EOS."""
    targets: npt.NDArray[np.int64]
    """How many targets count in each row, from the left; shape (n,)."""
    chars: int
    documents: int


@dataclass(frozen=True)
class Evaluation:
    """What the model needs for held-out text."""

    bits_per_character: Mapping[str, float]
    """By source."""
    chars: Mapping[str, int]

    @property
    def overall(self) -> float:
        """Bits per character of all sources together: each counts by its characters."""
        bits = sum(self.bits_per_character[source] * count for source, count in self.chars.items())
        return bits / sum(self.chars.values())

    def row(self, step: int, tokens: int) -> dict[str, Any]:
        """The line of `logs/held_out.jsonl` after `step` steps."""
        return {
            "step": step, "tokens": tokens, "overall": self.overall,
            "bits_per_character": dict(self.bits_per_character), "chars": dict(self.chars),
        }  # fmt: skip


def bits_per_character(nats: float, chars: int) -> float:
    """Code length in bits over characters.

    >>> bits_per_character(math.log(2) * 30, 10)
    3.0
    """
    return nats / math.log(2) / chars


def evaluate(domains: Sequence[Domain], score: Score) -> Evaluation:
    """Score each domain."""
    return Evaluation(
        {one.source: bits_per_character(score(one.rows, one.targets), one.chars) for one in domains},
        {one.source: one.chars for one in domains},
    )


def find(settings: HeldOut, tokens: Sequence[Artifact]) -> list[Artifact]:
    """The corpora whose held-out documents are scored: the one that is named, or those the tokens were packed from.

    Raises:
        ArtifactError: a corpus is not found, or none of them keeps documents apart.
    """
    if settings.corpus is not None:
        corpora = [artifacts.open_artifact(Path(settings.corpus), "corpus")]
    else:
        corpora = list({corpus.id: corpus for one in tokens for corpus in _packed_from(one)}.values())
    names = ", ".join(str(one.path) for one in tokens)
    if not corpora:
        raise ArtifactError(
            f"held_out: {names} was packed from token files, not from a corpus: no text is kept apart",
            hint="set held_out.corpus=FOLDER of a corpus with a split step, or held_out=null",
        )
    apart = [corpus for corpus in corpora if corpus.manifest.stats["total"].get("held_out")]
    if not apart:
        raise ArtifactError(
            f"held_out: {', '.join(str(corpus.path) for corpus in corpora)} keeps no documents apart",
            hint="add `- step: split` to the recipe and build again, set held_out.corpus=FOLDER of another corpus, or "
            "held_out=null",
        )
    for corpus in corpora:
        if corpus not in apart:
            log.warning("%s keeps no documents apart: its sources are not in bits per character", corpus.path)
    return apart


def _packed_from(tokens: Artifact) -> list[Artifact]:
    found = []
    for parent in lineage.parents(tokens):
        if isinstance(parent, str):
            if parent.startswith("corpus-"):
                raise ArtifactError(
                    f"held_out: {parent}, which {tokens.path} was packed from, is neither beside it nor where it was",
                    hint="set held_out.corpus=FOLDER, or held_out=null",
                )
        elif parent.manifest.kind == "corpus":
            found.append(parent)
    return found


def domains(
    corpora: Artifact | Sequence[Artifact], tokenizer: Path, seq_len: int, max_chars: int, *, packed: bool = True
) -> list[Domain]:
    """The held-out text of each source, from its first document, as rows.

    Args:
        tokenizer: folder of the tokenizer.
        seq_len: targets of a row.
        max_chars: of a source; the document that passes it is cut there, and its end is then not scored.
        packed: whether documents share rows.
    Raises:
        ArtifactError: the files hold no held-out document.
    """
    encoder = Encoder.open(tokenizer)
    eos = encoder.check_eos(str(tokenizer))
    corpora = [corpora] if isinstance(corpora, Artifact) else list(corpora)
    made = []
    for source, (texts, cut) in sorted(_texts(corpora, max_chars).items()):
        ids, offsets = encoder.encode(texts)
        rows, targets = _rows(ids, offsets, eos, seq_len, last_is_cut=cut, packed=packed)
        made.append(Domain(source, rows, targets, int(pc.sum(pc.utf8_length(texts)).as_py()), len(texts)))
    if not made:
        raise ArtifactError(
            f"{', '.join(str(corpus.path) for corpus in corpora)}: no *.held_out.parquet in documents/",
            hint="copy the corpus again, or build it again",
        )
    return made


def _texts(corpora: Sequence[Artifact], max_chars: int) -> dict[str, tuple[pa.Array, bool]]:
    """By source: its first documents up to so many characters, and whether the last one is cut."""
    taken: dict[str, list[pa.Array]] = {}
    left: dict[str, int] = {}
    cut: set[str] = set()
    for corpus in corpora:
        for batch in _held_out(corpus, left):
            lengths = pc.utf8_length(batch.column("text"))
            batch = batch.append_column("chars", lengths).filter(pc.greater(lengths, 0))
            for source in pc.unique(batch.column("source")).to_pylist():
                room = left.setdefault(source, max_chars)
                if not room:
                    continue
                own = batch.filter(pc.equal(batch.column("source"), source))
                ends = np.cumsum(own.column("chars").to_numpy(zero_copy_only=False).astype(np.int64))
                whole = int(np.searchsorted(ends, room, side="right"))
                texts = taken.setdefault(source, [])
                texts.append(own.column("text").slice(0, whole))
                left[source] = room - (int(ends[whole - 1]) if whole else 0)
                if whole < len(ends) and left[source]:
                    texts.append(pc.utf8_slice_codeunits(own.column("text").slice(whole, 1), 0, left[source]))
                    left[source] = 0
                    cut.add(source)
                elif whole < len(ends):
                    left[source] = 0
    return {source: (pa.concat_arrays(parts), source in cut) for source, parts in taken.items()}


def _held_out(corpus: Artifact, left: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    """Held-out documents in the corpus's order; row groups of sources that are full already are not read."""
    for path in sorted((corpus.path / "documents").glob("*.held_out.parquet")):
        file = pq.ParquetFile(path)
        place = file.schema_arrow.names.index("source")
        for number in range(file.num_row_groups):
            known = file.metadata.row_group(number).column(place).statistics
            only = str(known.min) if known is not None and known.has_min_max and known.min == known.max else None
            if only is None or left.get(only, 1):
                yield from file.iter_batches(batch_size=1024, row_groups=[number], columns=["source", "text"])


class _Piece(NamedTuple):
    """A stretch of the stream EOS, document, EOS, document, EOS, ...: its leading token and the targets after it."""

    first: int
    """Place of the leading token."""
    targets: int


def _rows(
    ids: Ids, offsets: npt.NDArray[np.int64], eos: int, seq_len: int, *, last_is_cut: bool, packed: bool
) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Rows of seq_len + 1 tokens in which each token of each document, and each end, is a target once."""
    lengths = np.diff(offsets)
    stream = np.full(len(ids) + len(lengths) + 1, eos, dtype=np.uint32)
    starts = offsets[:-1] + np.arange(len(lengths))  # of the EOS that begins each document
    inside = np.ones(len(stream), dtype=bool)
    inside[starts], inside[-1] = False, False
    stream[inside] = ids
    counts = lengths + 1
    if last_is_cut:
        counts[-1] -= 1
    bins: list[list[_Piece]] = []
    room: list[tuple[int, int]] = []  # (targets that still fit, bin), in order

    def put(piece: _Piece, *, may_follow: bool, may_be_followed: bool) -> None:
        """Into the fullest row that has room, or into a new one."""
        place = bisect.bisect_left(room, (piece.targets, -1)) if may_follow else len(room)
        free, row = room.pop(place) if place < len(room) else (seq_len, len(bins))
        if row == len(bins):
            bins.append([])
        bins[row].append(piece)
        if packed and may_be_followed and free > piece.targets:
            bisect.insort(room, (free - piece.targets, row))

    order = np.argsort(-counts, kind="stable").tolist()  # the longest first; what begins inside a document leads a row
    for number in order:
        start, count = int(starts[number]), int(counts[number])
        ends_with_eos = not (last_is_cut and number == len(counts) - 1)
        if count > seq_len:
            for begin in range(0, count, seq_len):
                size = min(seq_len, count - begin)
                ends = ends_with_eos and begin + size == count
                put(_Piece(start + begin, size), may_follow=False, may_be_followed=ends)
        elif count:
            put(_Piece(start, count), may_follow=True, may_be_followed=ends_with_eos)
    rows = np.full((len(bins), seq_len + 1), eos, dtype=np.uint32)
    targets = np.array([sum(piece.targets for piece in pieces) for pieces in bins], dtype=np.int64)
    for row, pieces in enumerate(bins):
        filled = 0
        for first, size in pieces:
            rows[row, filled : filled + size + 1] = stream[first : first + size + 1]
            filled += size
    return rows, targets
