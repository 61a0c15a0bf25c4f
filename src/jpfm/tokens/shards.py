"""Tokens on disk: Megatron's `.bin/.idx` pair and `docs.parquet`, which says where each token came from.

    artifact = pack(config, corpus, tokenizer, Path("out/tokens"))
    store = TokenStore.open(artifact)
    store.tokens[1000:1010], store.documents

`train.bin` is the token ids of all documents one after the other, each ended by EOS, uint16 below 65,500 pieces and
int32 above (Megatron has no uint32). `train.idx` is MMIDIDX version 1. `docs.parquet` holds one row a document:
ordinal, id, source, licence, start and length in tokens.
"""

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.config import Settings, place
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.log import progress
from jpfm.data.build import read_documents
from jpfm.tokens.tokenizer import EOS, NEWLINE, load_sentencepiece

VERSION = 1
_MAGIC = b"MMIDIDX\x00\x00"
_DTYPE_CODES: dict[int, npt.DTypeLike] = {8: np.uint16, 4: np.int32}
_UINT16_VOCAB = 65_500


class TokensConfig(Settings):
    """Settings of `jpfm tokens pack`."""

    stage: Literal["tokens"]
    corpus: str | None = place()
    """Folder of a corpus artifact."""
    tokenizer: str | None = place()
    """Folder of a tokenizer artifact."""


def pack(config: TokensConfig, corpus: Artifact, tokenizer: Artifact, out: Path) -> Artifact:
    """Tokenize the train split of a corpus. Documents stay whole and in corpus order; EOS follows each."""

    def work(draft: Draft) -> Finished:
        return _work(draft, corpus, tokenizer)

    return artifacts.produce(
        out, kind="tokens", version=VERSION, config=config.identity(), parents=[corpus, tokenizer], work=work
    )


def _work(draft: Draft, corpus: Artifact, tokenizer: Artifact) -> Finished:
    draft.status("tokenizing")
    pieces = load_sentencepiece(tokenizer)
    vocab = pieces.vocab_size()
    dtype = np.dtype(np.uint16 if vocab < _UINT16_VOCAB else np.int32)
    newline = pieces.piece_to_id(NEWLINE)
    lengths: list[int] = []
    rows: list[pa.Table] = []
    total = corpus.manifest.stats["total"]["chars"]
    with (draft.path / "train.bin").open("wb") as file, progress("packing", total=total / 1e6, unit="M chars") as bar:
        for batch in read_documents(corpus, ["id", "source", "licence", "text"], split="train"):
            texts = batch.column("text")
            here = []
            for tokens in _encode(pieces, texts, newline):
                tokens.append(EOS)
                here.append(len(tokens))
                file.write(np.array(tokens, dtype=dtype).tobytes())
            lengths += here
            rows.append(
                pa.table({name: batch.column(name) for name in ("id", "source", "licence")}).append_column(
                    "length", pa.array(here, pa.int64())
                )
            )
            bar.advance(sum(len(text) for text in texts.to_pylist()) / 1e6)
    if not lengths:
        raise DataError("the corpus has no documents in its train split", hint="lower held_out_share in the recipe")
    write_index(draft.path / "train.idx", np.array(lengths, dtype=np.int32), dtype)
    documents = pa.concat_tables(rows)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    documents = documents.add_column(0, "ordinal", pa.array(np.arange(len(lengths), dtype=np.int64)))
    pq.write_table(documents.append_column("start", pa.array(starts)), draft.path / "docs.parquet", compression="zstd")
    frame = pl.DataFrame(pl.from_arrow(documents))
    by_source = frame.group_by("source").agg(pl.col("length").sum(), pl.len().alias("documents")).sort("source")
    return Finished(
        {
            "documents": len(lengths),
            "tokens": int(sum(lengths)),
            "vocab_size": vocab,
            "eos": EOS,
            "dtype": dtype.name,
            "tokenizer": tokenizer.id,
            "tokens_by_source": dict(zip(by_source["source"].to_list(), by_source["length"].to_list(), strict=True)),
        }
    )


def _encode(pieces: Any, texts: pa.Array, newline: int) -> list[list[int]]:
    """Token ids of each document, line by line: the tokenizer never sees across a line end."""
    lines = pl.Series(pl.from_arrow(texts)).str.split("\n")
    counts = lines.list.len().to_list()
    encoded = iter(pieces.encode(lines.explode().to_list(), num_threads=2))
    documents = []
    for count in counts:
        document: list[int] = []
        for number, line in enumerate(itertools.islice(encoded, count)):
            if number:
                document.append(newline)
            document += line
        documents.append(document)
    return documents


def write_index(path: Path, lengths: npt.NDArray[np.int32], dtype: np.dtype[Any]) -> None:
    """Write Megatron's index: one sequence a document.

    Source: Megatron-LM `megatron/core/datasets/indexed_dataset.py`, format version 1.
    """
    code = next(code for code, known in _DTYPE_CODES.items() if np.dtype(known) == dtype)
    count = len(lengths)
    pointers = np.zeros(count, dtype=np.int64)
    np.cumsum(lengths[:-1].astype(np.int64) * dtype.itemsize, out=pointers[1:])
    with path.open("wb") as file:
        file.write(_MAGIC)
        file.write(struct.pack("<QBQQ", 1, code, count, count + 1))
        file.write(lengths.astype("<i4").tobytes())
        file.write(pointers.astype("<i8").tobytes())
        file.write(np.arange(count + 1, dtype="<i8").tobytes())


def read_index(path: Path) -> tuple[npt.NDArray[np.int32], np.dtype[Any]]:
    """Read Megatron's index: (sequence lengths, token dtype).

    Raises:
        ArtifactError: not an MMIDIDX version 1 file, or cut off.
    """
    data = path.read_bytes()
    header = len(_MAGIC) + struct.calcsize("<QBQQ")
    if not data.startswith(_MAGIC) or len(data) < header:
        raise ArtifactError(f"{path} is no MMIDIDX index", hint="pack the tokens again")
    version, code, count, documents = struct.unpack_from("<QBQQ", data, len(_MAGIC))
    if version != 1 or code not in _DTYPE_CODES:
        raise ArtifactError(f"{path}: version {version}, dtype code {code}", hint="expected version 1, dtype 4 or 8")
    if len(data) != header + 12 * count + 8 * documents:
        raise ArtifactError(f"{path} is cut off", hint="copy it again, or pack the tokens again")
    return np.frombuffer(data, dtype="<i4", count=count, offset=header), np.dtype(_DTYPE_CODES[code])


@dataclass(frozen=True)
class TokenStore:
    """An opened tokens artifact. `tokens` is memory-mapped, shape (num_tokens,)."""

    artifact: Artifact
    tokens: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    """First token of each document, ascending; shape (num_documents,)."""

    @classmethod
    def open(cls, artifact: Artifact) -> "TokenStore":
        """Map the files of a tokens artifact.

        Raises:
            ArtifactError: `.bin`, `.idx` and `docs.parquet` do not belong together.
        """
        lengths, dtype = read_index(artifact.path / "train.idx")
        binary = artifact.path / "train.bin"
        expected = int(lengths.sum(dtype=np.int64)) * dtype.itemsize
        if binary.stat().st_size != expected:
            raise ArtifactError(
                f"{binary}: {binary.stat().st_size} bytes, its index says {expected}",
                hint="the pair does not belong together or a copy was cut off; copy again or pack again",
            )
        tokens = np.memmap(binary, dtype=dtype, mode="r")
        starts = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))[:-1]]).astype(np.int64)
        return cls(artifact, tokens, starts)

    @property
    def vocab_size(self) -> int:
        """Pieces of the tokenizer that made the ids."""
        return int(self.artifact.manifest.stats["vocab_size"])

    @property
    def eos(self) -> int:
        """Id that ends each document."""
        return int(self.artifact.manifest.stats["eos"])
