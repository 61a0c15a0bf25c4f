"""The ledger itself: one row a kept document, of whom it is, on what terms, and what was done to it. No text.

    write_ledger([Holding(corpus, tokens)], Path("ledger.parquet"))
    pl.scan_parquet("ledger.parquet").filter(host="example.jp")

Documents stream file by file in corpus order, so memory does not grow with the corpus; the tokens of a document are
read beside it, because a tokens artifact keeps that order. Characters are counted from the text, which costs nearly all
of the time. Refused: the column `num_chars` of the signal `characters`; it is what the text was before later steps.
A column that a corpus does not have is null, which is not the same as an empty one.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.log import progress
from jpfm.data.forget import host_of
from jpfm.tokens.store import files_of

NO_HOST = "-"
"""Host of a document without an address."""
ROW_GROUP = 1 << 17
_STATED = (
    "id",
    "source",
    "licence",
    "basis",
    "url",
    "retrieved",
    "date",
    "encoding",
    "decode_confidence",
    "changed_by",
)
_MEASURED = ("split", "num_copies", "cluster_size", "pii_count", "robots", "robots_meta", "tdm", "contaminated_by")
"""Columns that only some recipes or formats give."""
LEDGER = pa.schema(
    [
        pa.field("corpus", pa.string()),  # artifact id
        pa.field("id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("basis", pa.string()),
        pa.field("url", pa.string()),
        pa.field("host", pa.string()),  # as `jpfm forget --host` takes it; NO_HOST without an address
        pa.field("retrieved", pa.string()),
        pa.field("date", pa.string()),
        pa.field("year", pa.int32()),  # of `date`; null where there is none or it is not ISO 8601
        pa.field("encoding", pa.string()),
        pa.field("decode_confidence", pa.float32()),
        pa.field("changed_by", pa.string()),  # steps that changed the text, joined by commas
        pa.field("split", pa.string()),
        pa.field("chars", pa.int64()),
        pa.field("tokens", pa.int64()),  # null for documents held out, and where no tokens artifact is known
        pa.field("num_copies", pa.int64()),
        pa.field("cluster_size", pa.int64()),
        pa.field("pii_count", pa.int64()),
        pa.field("robots", pa.string()),  # X-Robots-Tag header
        pa.field("robots_meta", pa.string()),
        pa.field("tdm", pa.string()),
        pa.field("contaminated", pa.list_(pa.string())),  # benchmarks of which it holds an item
    ]
)


class Holding(NamedTuple):
    """A corpus, and its tokens where they are known."""

    corpus: Artifact
    tokens: Artifact | None = None


def write_ledger(holdings: Sequence[Holding], file: Path) -> None:
    """Write the ledger of these corpora, one after the other.

    Raises:
        ArtifactError: a corpus lacks columns or cannot be read, or its tokens are not of its documents.
    """
    temporary = file.with_name(file.name + ".tmp")
    total = sum(int(holding.corpus.manifest.stats["total"]["kept"]) for holding in holdings)
    waiting: list[pa.RecordBatch] = []
    with (
        pq.ParquetWriter(temporary, LEDGER, compression="zstd") as out,
        progress("ledger", total=total, unit="documents") as bar,
    ):
        for batch in itertools.chain.from_iterable(map(_rows, holdings)):
            waiting.append(batch)
            bar.advance(batch.num_rows)
            if sum(rows.num_rows for rows in waiting) >= ROW_GROUP:
                out.write_table(pa.Table.from_batches(waiting), row_group_size=2 * ROW_GROUP)
                waiting = []
        if waiting:
            out.write_table(pa.Table.from_batches(waiting), row_group_size=2 * ROW_GROUP)
    temporary.rename(file)


def document_files(corpus: Artifact) -> list[Path]:
    """The files of a corpus's documents, in its order."""
    return sorted((corpus.path / "documents").glob("*.parquet"))


def _rows(holding: Holding) -> Iterator[pa.RecordBatch]:
    corpus = holding.corpus
    lengths = None if holding.tokens is None else _Lengths(holding.tokens, corpus)
    for path in document_files(corpus):
        try:
            file = pq.ParquetFile(path)
            columns = _columns(corpus, path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                yield _ledger_rows(batch, corpus, lengths)
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(
                f"{path} cannot be read: {str(error).splitlines()[0]}",
                hint=f"`jpfm verify {corpus.path}` tells which files are not as they were made; copy them again",
            ) from error
    if lengths is not None:
        lengths.end()


def _columns(corpus: Artifact, path: Path, there: Sequence[str]) -> list[str]:
    """The columns to read of a file.

    Raises:
        ArtifactError: the corpus was made before documents carried their rights.
    """
    missing = [name for name in (*_STATED, "text") if name not in there]
    if missing:
        raise ArtifactError(
            f"{path}: no column {', '.join(missing)}; the corpus was made by an earlier version of jpfm "
            f"(data stage {corpus.manifest.stage_version}), whose documents do not carry them",
            hint="build it again from the same recipe into another folder: jpfm data build RECIPE --out NEW",
        )
    return [*_STATED, "text", *(name for name in _MEASURED if name in there)]


def _ledger_rows(batch: pa.RecordBatch, corpus: Artifact, lengths: "_Lengths | None") -> pa.RecordBatch:
    count = batch.num_rows
    columns = {name: batch.column(name) for name in batch.schema.names if name != "text"}
    columns |= {
        "corpus": pa.array([corpus.id] * count, pa.string()),
        "host": hosts(batch.column("url")),
        "year": pl.select(year_of(pl.lit(pl.from_arrow(batch.column("date"))))).to_series().to_arrow(),
        "chars": pc.utf8_length(batch.column("text")),
    }
    if lengths is not None:
        columns["tokens"] = lengths.take(batch.column("id"), batch.column("source"), columns.get("split"))
    if "contaminated_by" in columns:
        columns["contaminated"] = columns["contaminated_by"]
    arrays = [columns.get(field.name, pa.nulls(count, field.type)).cast(field.type) for field in LEDGER]
    return pa.record_batch(arrays, schema=LEDGER)


def hosts(urls: pa.Array) -> pa.Array:
    """The host of each address, NO_HOST where there is none.

    >>> hosts(pa.array(["https://User@Example.JP:8080/道", "https://xn--wgv71a119e.jp", "青空文庫", ""])).to_pylist()
    ['example.jp', 'xn--wgv71a119e.jp', '-', '-']

    A page's path has no say in it, so each distinct beginning of an address is read once.
    """
    beginnings = pc.struct_field(pc.extract_regex(urls, r"^(?P<it>[^/?#]*//[^/?#]*)"), "it").dictionary_encode()
    found = pa.array([host_of(url) or NO_HOST for url in beginnings.dictionary.to_pylist()], pa.string())
    return pc.fill_null(found.take(beginnings.indices), NO_HOST)


def year_of(dates: pl.Expr) -> pl.Expr:
    """The year of each ISO 8601 date, as far as it goes; null for no date and for what is none.

    >>> dates = pl.Series(["2026", "2026-01", "20260131", "2026-02-28T09:00", "2026-02-30", "令和8年", ""])
    >>> pl.select(year_of(pl.lit(dates))).to_series().to_list()
    [2026, 2026, 2026, 2026, None, None, None]
    """
    digits = dates.str.replace(r"^([0-9]{4})([0-9]{2})([0-9]{2})$", "$1-$2-$3")
    day = digits.str.extract(r"^([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)(?:$|[T ])")
    return (day + "-01-01").str.head(10).str.to_date("%Y-%m-%d", strict=False).dt.year()


class _SourceLengths:
    """Documents of one source's files. The files are in the corpus' order; the parts of a document count as one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._rest = pl.DataFrame(schema={"id": pl.String, "length": pl.Int64})

    def _read(self) -> None:
        rows = pl.read_parquet(self._files.pop(0), columns=["id", "length"])
        self._rest = pl.concat([self._rest, rows.group_by("id", maintain_order=True).agg(pl.col("length").sum())])

    def take(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Lengths of documents (`id`), in that order; null for one that the files do not have."""
        while True:
            found = wanted.join(self._rest, on="id", how="left", maintain_order="left")
            if not self._files or not found["length"].null_count():
                break
            self._read()
        self._rest = self._rest.join(wanted, on="id", how="anti", maintain_order="left")
        return found

    def left(self) -> bool:
        """Whether documents are left."""
        while not self._rest.height and self._files:
            self._read()
        return self._rest.height > 0


class _Lengths:
    """Tokens of each document, read beside the corpus: each source's files of tokens are in the corpus' order."""

    def __init__(self, tokens: Artifact, corpus: Artifact) -> None:
        self._tokens, self._corpus = tokens, corpus
        files: dict[str, list[Path]] = {}
        for file in files_of(tokens):
            if file.source in corpus.manifest.stats["sources"]:  # others were taken in as token files
                files.setdefault(file.source, []).append(file.docs)
        self._sources = {source: _SourceLengths(paths) for source, paths in files.items()}

    def take(self, ids: pa.Array, sources: pa.Array, split: pa.Array | None) -> pa.Array:
        """Tokens of the next documents of the corpus; null for those held out."""
        packed = pa.array([True] * len(ids)) if split is None else pc.equal(split, "train")
        lengths = pa.nulls(len(ids), pa.int64())
        for source in pc.unique(sources.filter(packed)).to_pylist():
            here = pc.and_(packed, pc.equal(sources, source))
            wanted = pl.DataFrame({"id": pl.Series(pl.from_arrow(ids.filter(here)))})
            if source not in self._sources:
                self._refuse(f"the tokens have no source '{source}'")
            found = self._sources[source].take(wanted)
            if found["length"].null_count():
                missing = found.filter(pl.col("length").is_null())["id"][0]
                self._refuse(f"document {missing} of the corpus is not in the tokens")
            lengths = pc.replace_with_mask(lengths, here, found["length"].to_arrow())
        return lengths

    def end(self) -> None:
        """All tokens were of documents of the corpus."""
        if any(source.left() for source in self._sources.values()):
            self._refuse("the tokens have documents that the corpus does not have")

    def _refuse(self, where: str) -> NoReturn:
        raise ArtifactError(
            f"{self._tokens.path} and {self._corpus.path} do not hold the same documents: {where}",
            hint=f"one of them was changed; `jpfm verify` both, or pack {self._corpus.id} again",
        )
