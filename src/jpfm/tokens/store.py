"""Open tokens artifacts: one stream of ids a source, memory-mapped, and the documents that lie in it.

    store = TokenStore.open(artifact)                      # or several: open(first, second)
    store.read(start, stop)                                # ids, positions counted over all sources
    store.spans["aozora"]                                  # where a source's stream lies
    store.documents(start, stop)                           # id, source, licence, first, last

Positions count tokens over all files of all artifacts, in their order; a source's files lie side by side. Files are
mapped when they are first read (at most 256 at once, so that a store of a million files opens at once and stays below
the limit of open files); document boundaries are read from the index of a file when they are asked.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.tokens.index import read_documents, read_header

_OPEN_FILES = 256
DOCUMENTS = {
    "id": pl.String, "source": pl.String, "licence": pl.String, "first": pl.Int64, "last": pl.Int64,
}  # fmt: skip


class Span(NamedTuple):
    """Where a source lies: first position, and the one after its last."""

    first: int
    last: int

    @property
    def tokens(self) -> int:
        return self.last - self.first


class TokenFile(NamedTuple):
    """One `.bin/.idx/.docs.parquet` triple."""

    prefix: Path
    artifact: str
    source: str
    documents: int
    tokens: int

    @property
    def bin(self) -> Path:
        return self.prefix.with_name(self.prefix.name + ".bin")

    @property
    def idx(self) -> Path:
        return self.prefix.with_name(self.prefix.name + ".idx")

    @property
    def docs(self) -> Path:
        return self.prefix.with_name(self.prefix.name + ".docs.parquet")


def files_of(artifact: Artifact) -> list[TokenFile]:
    """The files of a tokens artifact in their order.

    Raises:
        ArtifactError: it was packed by an older version.
    """
    listed = artifact.manifest.stats.get("files")
    if listed is None:
        raise ArtifactError(
            f"{artifact.path}: these tokens were packed by an older version (no list of files)",
            hint="pack the corpus again with `jpfm tokens pack`",
        )
    return [
        TokenFile(artifact.path / one["name"], artifact.id, one["source"], one["documents"], one["tokens"])
        for one in listed
    ]


@dataclass(frozen=True)
class TokenStore:
    """Opened tokens artifacts."""

    artifacts: tuple[Artifact, ...]
    files: tuple[TokenFile, ...]
    """Source by source."""
    first: npt.NDArray[np.int64]
    """First position of each file, and the number of all tokens; shape (files + 1,)."""
    spans: dict[str, Span]
    """Of each source, in order."""
    dtypes: tuple[np.dtype[Any], ...]
    """Of each file."""
    _maps: "OrderedDict[int, npt.NDArray[Any]]" = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def open(cls, *artifacts: Artifact) -> "TokenStore":
        """Open artifacts that were packed with one tokenizer.

        Raises:
            ArtifactError: files are missing or cut off.
            UsageError: the artifacts differ in tokenizer, or hold sources of the same name.
        """
        head = artifacts[0].manifest.stats
        owner: dict[str, Artifact] = {}
        for artifact in artifacts:
            stats = artifact.manifest.stats
            for what in ("vocab_size", "eos", "tokenizer"):
                if stats.get(what) != head.get(what):
                    raise UsageError(
                        f"{artifacts[0].path} and {artifact.path} do not fit together: "
                        f"{what} {head.get(what)} and {stats.get(what)}",
                        hint="pack both with the same tokenizer",
                    )
            for source in stats.get("tokens_by_source", {}):
                if owner.setdefault(source, artifact) is not artifact:
                    raise UsageError(
                        f"{owner[source].path} and {artifact.path} both hold a source '{source}'",
                        hint="rename it in one recipe, so that weights and records can tell them apart",
                    )
        files = [file for artifact in artifacts for file in files_of(artifact)]
        order = {source: place for place, source in enumerate(dict.fromkeys(file.source for file in files))}
        files.sort(key=lambda file: order[file.source])  # stable
        of_artifact = {artifact.id: np.dtype(artifact.manifest.stats["dtype"]) for artifact in artifacts}
        dtypes = tuple(of_artifact[file.artifact] for file in files)
        for file, dtype in zip(files, dtypes, strict=True):
            _check(file, dtype)
        first = np.concatenate([[0], np.cumsum([file.tokens for file in files])]).astype(np.int64)
        spans: dict[str, Span] = {}
        for file, begin, end in zip(files, first[:-1].tolist(), first[1:].tolist(), strict=True):
            spans[file.source] = Span(spans[file.source].first if file.source in spans else begin, end)
        return cls(tuple(artifacts), tuple(files), first, spans, dtypes)

    @property
    def num_tokens(self) -> int:
        return int(self.first[-1])

    @property
    def vocab_size(self) -> int:
        """Pieces of the tokenizer that made the ids."""
        return int(self.artifacts[0].manifest.stats["vocab_size"])

    @property
    def eos(self) -> int:
        """Id that ends each document."""
        return int(self.artifacts[0].manifest.stats["eos"])

    def _map(self, number: int) -> npt.NDArray[Any]:
        found = self._maps.get(number)
        if found is None:
            found = np.memmap(self.files[number].bin, dtype=self.dtypes[number], mode="r").view(np.ndarray)
            self._maps[number] = found
            if len(self._maps) > _OPEN_FILES:
                self._maps.popitem(last=False)
        return found

    def fill(self, start: int, out: npt.NDArray[np.uint32]) -> None:
        """Write the ids from a position on into an array, over the ends of files."""
        number = int(np.searchsorted(self.first, start, side="right")) - 1
        done, wanted = 0, len(out)
        while done < wanted:
            begin = start + done - int(self.first[number])
            part = self._map(number)[begin : begin + wanted - done]
            out[done : done + len(part)] = part
            done += len(part)
            number += 1

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint32]:
        """Ids of positions start ... stop - 1; shape (stop - start,)."""
        out = np.empty(stop - start, dtype=np.uint32)
        self.fill(start, out)
        return out

    def refuse_ids(self, *ranges: Any) -> NoReturn:
        """Say which file holds an id that is not one of the vocabulary.

        Args:
            ranges: `Pieces` of which at least one holds such an id.
        Raises:
            ArtifactError: always.
        """
        for first, last in (pair for pieces in ranges for pair in zip(pieces.first, pieces.last, strict=True)):
            ids = self.read(int(first), int(last))
            wrong = np.flatnonzero(ids >= self.vocab_size)
            if len(wrong):
                at = int(first) + int(wrong[0])
                number = int(np.searchsorted(self.first, at, side="right")) - 1
                raise ArtifactError(
                    f"{self.files[number].bin}: token id {int(ids[wrong[0]]):,} at {at - int(self.first[number]):,} "
                    f"in a vocabulary of {self.vocab_size:,}",
                    hint="the file was damaged; `jpfm verify` the folder, copy it again or pack again",
                )
        raise AssertionError("no such id in these ranges")

    def lengths(self, number: int) -> npt.NDArray[np.int32]:
        """Tokens of each document of a file; shape (documents,).

        Raises:
            ArtifactError: the index is damaged or belongs to another file.
        """
        file = self.files[number]
        lengths, dtype = read_documents(file.idx)
        if len(lengths) != file.documents or int(lengths.sum(dtype=np.int64)) != file.tokens or (
            dtype != self.dtypes[number]
        ):  # fmt: skip
            raise ArtifactError(
                f"{file.idx}: {len(lengths):,} documents, {int(lengths.sum(dtype=np.int64)):,} tokens ({dtype}); "
                f"expected {file.documents:,}, {file.tokens:,} ({self.dtypes[number]})",
                hint="the index belongs to another file; copy both again or pack again",
            )
        return lengths

    def starts(self, source: str) -> npt.NDArray[np.int64]:
        """First position of each document of a source, ascending; shape (documents,)."""
        parts = [np.empty(0, dtype=np.int64)]
        for number in self.numbers(source):
            ends = np.cumsum(self.lengths(number), dtype=np.int64)
            parts.append(self.first[number] + np.concatenate([[0], ends[:-1]]))
        return np.concatenate(parts)

    def numbers(self, source: str) -> Iterator[int]:
        """The places in `files` of a source's files."""
        return (number for number, file in enumerate(self.files) if file.source == source)

    def table(self, number: int, columns: Sequence[str] = tuple(DOCUMENTS)) -> pl.DataFrame:
        """The documents of a file with their positions (`first`, `last` exclusive)."""
        file = self.files[number]
        try:
            rows = pl.read_parquet(file.docs)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{file.docs} cannot be read: {str(error).splitlines()[0]}", hint="copy it again, or pack again"
            ) from error
        held = int(rows["length"].sum()) if rows.height else 0
        if rows.height != file.documents or held != file.tokens or (rows["source"] != file.source).any():
            raise ArtifactError(
                f"{file.docs}: {rows.height:,} documents of {', '.join(rows['source'].unique().sort()[:3])}, {held:,} "
                f"tokens; expected {file.documents:,} of {file.source}, {file.tokens:,}",
                hint="the table belongs to another file; copy it again or pack again",
            )
        first = pl.col("start") + int(self.first[number])
        return rows.with_columns(first=first, last=first + pl.col("length")).select(columns)

    def documents(self, ranges: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """What lies in ranges of positions.

        Args:
            ranges: (first, last exclusive) pairs.
        Returns:
            One row for each (range, document): `range` (its place in the argument), id, source, licence, and the part
            of the document inside the range (first, last exclusive).
        """
        parts = [pl.DataFrame(schema={"range": pl.Int64, **DOCUMENTS})]
        by_file: dict[int, list[tuple[int, int, int]]] = {}
        for place, (begin, end) in enumerate(ranges):
            low = int(np.searchsorted(self.first, begin, side="right")) - 1
            high = int(np.searchsorted(self.first, end, side="left"))
            for number in range(low, high):
                by_file.setdefault(number, []).append((place, begin, end))
        for number, wanted in sorted(by_file.items()):
            rows = self.table(number)
            first, last = rows["first"].to_numpy(), rows["last"].to_numpy()
            for place, begin, end in wanted:
                low = int(np.searchsorted(last, begin, side="right"))
                high = int(np.searchsorted(first, end, side="left"))
                parts.append(
                    rows.slice(low, high - low).select(
                        pl.lit(place, pl.Int64).alias("range"), "id", "source", "licence",
                        pl.col("first").clip(lower_bound=begin), pl.col("last").clip(upper_bound=end),
                    )
                )  # fmt: skip
        return pl.concat(parts).sort("range", "first", maintain_order=True)


def _check(file: TokenFile, dtype: np.dtype[Any]) -> None:
    for path in (file.bin, file.idx, file.docs):
        if not path.exists():
            raise ArtifactError(f"{path} is missing", hint="copy the tokens again, or pack the corpus again")
    code, documents = read_header(file.idx)
    if (code, documents) != (dtype, file.documents):
        raise ArtifactError(
            f"{file.idx}: {documents:,} documents of {code.name}; expected {file.documents:,} of {dtype.name}",
            hint="the index belongs to another file; copy both again or pack again",
        )
    found, expected = file.bin.stat().st_size, file.tokens * dtype.itemsize
    if found != expected:
        raise ArtifactError(
            f"{file.bin}: {found:,} bytes, the manifest says {expected:,} ({file.tokens:,} tokens of {dtype.name})",
            hint="the file was cut off or belongs to other tokens; copy it again or pack again",
        )
