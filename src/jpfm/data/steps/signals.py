"""Signals: columns that filters compare. Each step is one pass; what it costs stands in its docstring.

Measure once and decide late: presets (`steps/presets/`) hold thresholds over these columns only, so another threshold,
or another group's rules, rereads columns and no text. A definition lives here, beside the column that carries it.
Figures: MB of UTF-8 a second on one core (benchmarks/results/signals.md).
"""

import itertools
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.data.steps.base import Signal
from jpfm.text import kernels
from jpfm.text.kernels import CLASSES
from jpfm.text.measure import measure
from jpfm.text.repeats import SHARES, repeats


class Characters(Signal):
    """Count characters by class in one pass over the bytes, and the shares that filters compare."""

    step: Literal["characters"]
    adds = (
        "num_chars", "num_lines", "japanese_share", "kana_share", "mojibake_share", "symbol_share",
        "hiragana_share", "katakana_share", "kanji_share", "latin_share", "digit_share", "punctuation_share",
        "space_share",
    )  # fmt: skip

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Counts, and shares of visible characters, of letters (japanese_share) or of all (the last seven)."""
        counts = kernels.count_characters(batch.column("text"))
        of = {name: counts[:, index] for index, name in enumerate(CLASSES)}
        visible = np.maximum(of["chars"] - of["spaces"], 1)
        every = np.maximum(of["chars"], 1)
        japanese = of["hiragana"] + of["katakana"] + of["kanji"]
        letters = np.maximum(japanese + of["latin"], 1)
        return {
            "num_chars": pa.array(of["chars"]),
            "num_lines": pa.array(of["lines"]),
            "japanese_share": pa.array(japanese / letters),
            "kana_share": pa.array((of["hiragana"] + of["katakana"]) / visible),
            "mojibake_share": pa.array(of["mojibake"] / visible),
            "symbol_share": pa.array((of["punctuation"] + of["digits"]) / visible),
            "hiragana_share": pa.array(of["hiragana"] / every),
            "katakana_share": pa.array(of["katakana"] / every),
            "kanji_share": pa.array(of["kanji"] / every),
            "latin_share": pa.array(of["latin"] / every),
            "digit_share": pa.array(of["digits"] / every),
            "punctuation_share": pa.array(of["punctuation"] / every),
            "space_share": pa.array(of["spaces"] / every),
        }


class Repetition(Signal):
    """Share of character 10-grams that stood before in the same document: keyword spam and copied menus are high."""

    step: Literal["repetition"]
    ngram_chars: Annotated[int, pydantic.Field(ge=2, le=64)] = 10
    adds = ("repeated_ngram_share",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The share, 0 to 1."""
        return {
            "repeated_ngram_share": pa.array(kernels.repeated_ngram_share(batch.column("text"), size=self.ngram_chars))
        }


class Lines(Signal):
    """Lines, sentences and letters as Swallow, LLM-jp and HojiChar count them: one pass over the bytes.

    Definitions of line, sentence and markup stand in `text.measure`. Repeated lines and sentences are those that stood
    before in the document. Japanese letters are hiragana, katakana without ー, kanji, and the marks 。．！？、，.
    """

    step: Literal["lines"]
    as_published: bool = False
    """Count Japanese letters as Swallow v1 does: kanji outside the basic plane (𠮷 𩸽) are none."""
    adds = (
        "num_sentences", "mean_sentence_chars", "max_sentence_chars", "ellipsis_sentence_share",
        "repeated_sentence_share", "repeated_sentence_char_share", "repeated_line_share", "repeated_line_char_share",
        "num_japanese_letters", "hiragana_of_japanese", "katakana_of_japanese", "japanese_of_chars",
        "num_visible_chars", "chars_before_kana", "chars_per_kuten", "ellipsis_line_share", "short_line_share",
        "list_line_share", "longest_run", "special_share", "markup_share",
    )  # fmt: skip

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Counts and shares; a share of nothing is 0.

        `chars_before_kana` is infinite where no kana stands, `chars_per_kuten` where no 。 stands (0 in an empty text).
        `short_line_share` is of all lines, `list_line_share` of lines that are not blank, `ellipsis_line_share` of line
        ends (as HojiChar divides).
        """
        found = measure(batch.column("text"))
        japanese = found["hiragana"] + found["katakana"] + found["kanji"] + found["stops"] + found["commas"]
        if not self.as_published:
            japanese = japanese + found["rare_kanji"]
        with np.errstate(divide="ignore", invalid="ignore"):
            per_kuten = np.where(found["chars"] > 0, found["chars"] / found["kuten"], 0.0)
        line_chars = found["sentence_chars"]  # a paragraph is its sentences joined
        columns = {
            "num_sentences": found["sentences"],
            "mean_sentence_chars": _share(found["sentence_chars"], found["sentences"]),
            "max_sentence_chars": found["longest_sentence"],
            "ellipsis_sentence_share": _share(found["ellipsis_sentences"], found["sentences"]),
            "repeated_sentence_share": _share(found["repeated_sentences"], found["sentences"]),
            "repeated_sentence_char_share": _share(found["repeated_sentence_chars"], line_chars),
            "repeated_line_share": _share(found["repeated_paragraphs"], found["lines"]),
            "repeated_line_char_share": _share(found["repeated_paragraph_chars"], line_chars),
            "num_japanese_letters": japanese,
            "hiragana_of_japanese": _share(found["hiragana"], japanese),
            "katakana_of_japanese": _share(found["katakana"], japanese),
            "japanese_of_chars": _share(japanese, found["chars"]),
            "num_visible_chars": found["chars"] - found["whitespace"],
            "chars_before_kana": np.where(found["kana"] > 0, found["chars_before_kana"], np.inf),
            "chars_per_kuten": per_kuten,
            "ellipsis_line_share": found["ellipsis_lines"] / np.maximum(found["lines"] - 1, 1),
            "short_line_share": _share(found["short_lines"], found["lines"]),
            "list_line_share": _share(found["list_lines"], found["filled_lines"]),
            "longest_run": found["longest_run"],
            "special_share": _share(found["special"], found["chars"]),
            "markup_share": _share(found["markup_chars"], found["chars"]),
        }
        return {name: pa.array(values) for name, values in columns.items()}


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


class Repeats(Signal):
    """Exact shares of repeated character n-grams, 2 to 10: the dearest of the fast signals (`text.repeats`)."""

    step: Literal["repeats"]
    adds = SHARES

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The shares, 0 to 1."""
        return {name: pa.array(values) for name, values in repeats(batch.column("text")).items()}


class Compression(Signal):
    """Bytes after LZ4 for each byte of UTF-8 (`lz4_ratio`): low in repetition, high in noise; C a document."""

    step: Literal["compression"]
    adds = ("lz4_ratio",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The ratio; 1 for an empty text."""
        codec = pa.Codec("lz4_raw")
        return {"lz4_ratio": _ratios(batch, lambda data: len(codec.compress(data)))}


class ZlibCompression(Signal):
    """Bytes after zlib (level 9) for each byte of UTF-8, as LLM-jp computes it. Slow: ask for it where a rule does."""

    step: Literal["zlib_compression"]
    adds = ("zlib_ratio",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The ratio; 1 for an empty text."""
        return {"zlib_ratio": _ratios(batch, lambda data: len(zlib.compress(data, level=9)))}


def _ratios(batch: pa.RecordBatch, compressed: Callable[[memoryview], int]) -> pa.Array:
    """A loop over documents around a C function."""
    view = kernels.buffers(batch.column("text"))
    data = view.data.data
    bounds = view.offsets.tolist()
    return pa.array(
        [
            compressed(data[start:end]) / (end - start) if end > start else 1.0
            for start, end in itertools.pairwise(bounds)
        ],
        pa.float64(),
    )


class BulletinBoard(Signal):
    """Count marks of bulletin boards, shops and comment lists: dates, コメント, SOLD OUT, 質問, 12話 ... (RE2)."""

    step: Literal["bulletin_board"]
    as_published: bool = False
    """Count every hyphen too, as HojiChar does: 15 hyphens then make a bulletin board."""
    adds = ("bulletin_board_marks",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Matches without overlap."""
        pattern = _BULLETIN_BOARD + ("|-" if self.as_published else "")
        return {"bulletin_board_marks": pc.count_substring_regex(batch.column("text"), pattern)}


_DIGIT = r"\p{Nd}"
_BULLETIN_BOARD = (
    rf"{_DIGIT}{{4}}[年./-] *{_DIGIT}{{1,2}}[月./-] *{_DIGIT}{{1,2}}日*|コメント|SOLD OUT|レビュー|投稿|ページ"
    rf"|\([月火水木金土日]\)|質問|{_DIGIT}+話|楽天市場"
)


class Domains(Signal):
    """Is the document's URL on a wanted top-level domain and not on a refused site? Documents without URL pass."""

    step: Literal["domains"]
    top_level: tuple[str, ...] = (
        "jp", "com", "net", "org", "work", "info", "xyz", "biz", "me", "tv", "site", "tokyo", "cc",
    )  # fmt: skip
    """Default: LLM-jp corpus v1."""
    refused: tuple[str, ...] = ("https://ja.wikipedia.org/",)
    """Beginnings of URLs that are not wanted. Default: LLM-jp corpus v1, which takes Wikipedia from its dump."""
    adds = ("domain_allowed",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """1 for allowed, 0 for not."""
        url = batch.column("url")
        names = "|".join(re.escape(name) for name in self.top_level)
        host = rf"(?i)^[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?(?:[^/?#@:]*\.)?(?:{names})(?::\d*)?(?:[/?#]|$)"
        allowed = pc.match_substring_regex(url, host)
        for beginning in self.refused:
            allowed = pc.and_not(allowed, pc.starts_with(url, beginning))
        allowed = pc.or_(allowed, pc.equal(url, ""))
        return {"domain_allowed": allowed.cast(pa.int8())}
