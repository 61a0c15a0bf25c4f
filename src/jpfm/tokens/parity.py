"""Check that the exported tokenizer gives SentencePiece's ids and that text comes back, on a corpus and on fuzz.

    checked = compare(folder, corpus)                   # figures for the manifest; a difference is a DataError

Every line of the corpus and 50,000 fuzzed strings are encoded and decoded both ways. Strings are cut after 2,000
characters for both: SentencePiece adds scores in 32-bit floats, exact up to a sum of 65,536, which longer ones could
pass. What SentencePiece itself cannot give back is ▁ (U+2581), which it writes for spaces: a written ▁ comes back as a
space, in both.
"""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import sentencepiece
from transformers import PreTrainedTokenizerFast

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError
from jpfm.core.log import log, progress
from jpfm.data.build import read_documents
from jpfm.text.lines import Units, texts, units
from jpfm.tokens.fuzz import strings
from jpfm.tokens.sentencepiece_training import read

FUZZED = 50_000
MAX_CHARS = 2_000
_REPORT = "report these strings; do not use the tokenizer"

I64 = npt.NDArray[np.int64]


class Encoded(NamedTuple):
    """Ids of many strings, one after the other."""

    ids: I64
    lengths: I64

    @classmethod
    def of(cls, lists: list[list[int]]) -> "Encoded":
        """Join lists of ids."""
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        ids = np.fromiter(itertools.chain.from_iterable(lists), dtype=np.int64, count=int(lengths.sum()))
        return cls(ids, lengths)


class Checker:
    """Both tokenizers of a folder."""

    def __init__(self, folder: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
        self.fast = PreTrainedTokenizerFast.from_pretrained(folder)
        self.fast._tokenizer.encode_special_tokens = True  # text that spells <|eos|> is text, as SentencePiece reads it

    def check(self, lines: list[str], *, comes_back: bool = True) -> Encoded:
        """Encode and decode both ways.

        Raises:
            DataError: ids differ, or text does not come back; with the string and both.
        """
        right = self.pieces.encode(lines, num_threads=2)
        encodings = self.fast._tokenizer.encode_batch_fast(lines, add_special_tokens=False)
        found = [encoding.ids for encoding in encodings]
        if right != found:
            at = next(index for index, pair in enumerate(zip(right, found, strict=True)) if pair[0] != pair[1])
            text, one, two = _around(lines[at], right[at], found[at], self.pieces)
            raise DataError(
                f"the exported tokenizer differs from SentencePiece on {text!r}: {two} for {one}", hint=_REPORT
            )
        if comes_back:
            for name, texts_back in (
                ("SentencePiece", self.pieces.decode(right)),
                ("transformers", self.fast._tokenizer.decode_batch(right, skip_special_tokens=False)),
            ):
                self._same_text(name, lines, texts_back)
        return Encoded.of(right)

    def _same_text(self, name: str, lines: list[str], back: list[str]) -> None:
        for line, text in zip(lines, back, strict=True):
            if text != line and text != line.replace("▁", " "):
                at = next((i for i, pair in enumerate(zip(line, text, strict=False)) if pair[0] != pair[1]), 0)
                raise DataError(
                    f"{name} does not give text back: {text[max(at - 20, 0) : at + 20]!r} "
                    f"for {line[max(at - 20, 0) : at + 20]!r}",
                    hint=_REPORT,
                )


def _around(text: str, right: list[int], found: list[int], pieces: Any) -> tuple[str, list[int], list[int]]:
    """The place of the first difference in a string: the text there and the ids of both from there on."""
    first = next((i for i, pair in enumerate(zip(right, found, strict=False)) if pair[0] != pair[1]), 0)
    start = len(pieces.decode(right[:first]))
    return text[max(start - 10, 0) : start + 40], right[first : first + 12], found[first : first + 12]


def fuzz(checker: Checker, *, key: str, count: int = FUZZED) -> int:
    """Check fuzzed strings; how many there were. Line ends split them, as they split documents."""
    proto = read(checker.pieces.serialized_model_proto())
    own = [piece.piece for piece in proto.pieces if piece.type in (piece.NORMAL, piece.USER_DEFINED)]
    lines = strings(count, key=key, pieces=own).to_pylist()
    for start in range(0, count, 10_000):
        checker.check(lines[start : start + 10_000])
    return count


def compare(folder: Path, corpus: Artifact, *, key: str) -> dict[str, Any]:
    """Check a whole corpus and fuzzed strings; the figures for the manifest.

    `chars_per_token` is of the whole corpus, which the tokenizer was trained on; `chars_per_token_held_out` is of the
    held-out split alone, where the corpus has one.

    Raises:
        DataError: an id differs, or text does not come back.
    """
    checker = Checker(folder)
    fuzzed = fuzz(checker, key=key)
    size = checker.pieces.vocab_size()
    is_byte = np.fromiter((checker.pieces.is_byte(piece) for piece in range(size)), dtype=np.bool_, count=size)
    used = np.zeros(size, dtype=np.int64)
    lines_done = 0
    has_split = corpus.manifest.stats["total"].get("held_out", 0) > 0
    columns = ["source", "text", *(["split"] if has_split else [])]
    sums: list[pl.DataFrame] = []
    with progress("comparing ids", total=corpus.manifest.stats["total"]["chars"] / 1e6, unit="M chars") as bar:
        for batch in read_documents(corpus, columns):
            found = units(batch.column("text"), "line", code=True)
            lines = _cut(batch, found)
            encoded = checker.check(lines["line"].to_list())
            used += np.bincount(encoded.ids, minlength=size)
            lines_done += len(found.rows)
            counted = lines.with_columns(tokens=pl.Series(encoded.lengths), chars=pl.col("line").str.len_chars())
            sums.append(counted.group_by("source", "held_out").agg(pl.col("chars", "tokens").sum()))
            bar.advance(float(counted["chars"].sum()) / 1e6)
    everything = pl.concat(sums)
    held_out = everything.filter("held_out")
    chars, tokens = (int(everything[name].sum()) for name in ("chars", "tokens"))
    words = f"{chars / max(tokens, 1):.3f} characters a token, training text included"
    if len(held_out):
        words += f"; {int(held_out['chars'].sum()) / max(int(held_out['tokens'].sum()), 1):.3f} of held-out text"
    log.info("ids equal on %s lines and %s fuzzed strings; %s", f"{lines_done:,}", f"{fuzzed:,}", words)
    rate, rates = _rates(everything)
    apart = dict(zip(("chars_per_token_held_out", "chars_per_token_held_out_by_source"), _rates(held_out), strict=True))
    return {
        "vocab_size": size,
        "lines_compared": lines_done,
        "strings_fuzzed": fuzzed,
        "chars": chars,
        "tokens": tokens,
        "chars_per_token": rate,
        "chars_per_token_by_source": rates,
        **(apart if len(held_out) else {}),
        "byte_token_share": round(int(used[is_byte].sum()) / max(tokens, 1), 6),
        "pieces_used": int(np.count_nonzero(used)),
    }


def _rates(counted: pl.DataFrame) -> tuple[float, dict[str, float]]:
    """Characters a token, in all and by source, to four places."""
    sums = counted.group_by("source").agg(pl.col("chars", "tokens").sum()).sort("source")
    by_source = {source: round(chars / max(tokens, 1), 4) for source, chars, tokens in sums.iter_rows()}
    return round(int(sums["chars"].sum()) / max(int(sums["tokens"].sum()), 1), 4), by_source


def _cut(batch: pa.RecordBatch, found: Units) -> pl.DataFrame:
    """Lines of a batch with their sources, and whether they are held out, cut after MAX_CHARS characters."""
    rows = pa.array(found.rows)
    apart: pl.Series | pl.Expr = pl.lit(value=False)
    if "split" in batch.schema.names:
        apart = pl.Series(pl.from_arrow(batch.column("split").take(rows))) == "held_out"
    lines = pl.DataFrame({
        "source": pl.Series(pl.from_arrow(batch.column("source").take(rows))),
        "line": pl.Series(pl.from_arrow(texts(batch.column("text"), found))),
    }).with_columns(held_out=apart)  # fmt: skip
    return lines.with_columns(pl.col("line").str.extract_all(rf"(?s).{{1,{MAX_CHARS}}}")).explode("line")
