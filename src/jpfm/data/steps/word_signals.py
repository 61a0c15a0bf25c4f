"""Signals that look at words: lists of words, parts of speech, word n-grams. Loops over documents, 1 to 10 MB/s."""

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.core.config import Settings, place
from jpfm.core.errors import DataError, UsageError
from jpfm.data.steps.base import Signal
from jpfm.text.character_sets import parse
from jpfm.text.word_lists import Finder
from jpfm.text.words import Segmenter, fugashi_tagger, segment, word_repeats


class ByName:
    """Column names that depend on a step's settings; of the class itself none are known."""

    def __init__(self, names: Callable[[Any], tuple[str, ...]]) -> None:
        self.names = names

    def __get__(self, step: Any, kind: type) -> tuple[str, ...]:
        return () if step is None else self.names(step)


def columns_by_settings(names: Callable[[Any], tuple[str, ...]]) -> tuple[str, ...]:
    """For `adds` and `needs` of a step whose settings decide them; a class attribute like any other tuple of names."""
    return cast("tuple[str, ...]", ByName(names))


class WordList(Settings):
    """One list of words: a UTF-8 file, one word a line."""

    name: Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """What the columns are called by: words_NAME_hits ..."""
    path: str = place()
    """The file, relative to the current folder. It is read at run time; name its `sha256` to pin what it holds."""
    sha256: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Refuse a file with another hash. Part of the corpus's identity, which the path is not."""
    language: Literal["ja", "en"] = "ja"
    """ja: a word stands anywhere. en: a word stands between spaces (or before , or .), in capitals or not."""

    def words(self) -> list[str]:
        """The words without white space around them, in the file's order.

        Raises:
            UsageError: the file is missing, or its hash is another.
            DataError: no word, or not UTF-8.
        """
        try:
            data = Path(self.path).read_bytes()
        except OSError as error:
            raise UsageError(
                f"word list '{self.name}': {self.path}: {error.strerror}", hint="give `path` a file, one word a line"
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        if self.sha256 not in (None, digest):
            raise UsageError(
                f"word list '{self.name}': {self.path} has sha256 {digest}, the recipe says {self.sha256}",
                hint="use the file the recipe was written for, or change `sha256`",
            )
        try:
            found = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise DataError(
                f"word list '{self.name}': {self.path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8"
            ) from error
        if not any(found):
            raise DataError(f"word list '{self.name}': {self.path} holds no word", hint="write one word a line")
        return [word for word in found if word]


class WordLists(Signal):
    """Count the words of each list (Aho-Corasick; RE2 for English), for example advertising or abuse.

    Columns of list NAME: words_NAME_hits (words that stand anywhere), words_NAME_whole_hits (a word of katakana alone
    counts only where no katakana stands beside it: アス, not アスパラガス) and words_NAME_share (characters of the
    longest words among Japanese letters). An English list has the first only. Needs the `lines` step before it.
    """

    step: Literal["word_lists"]
    lists: Annotated[tuple[WordList, ...], pydantic.Field(min_length=1)]
    needs = ("num_japanese_letters",)
    adds = columns_by_settings(lambda step: tuple(name for words in step.lists for name in _columns(words)))

    def check(self) -> None:
        """Every list is there and as the recipe pins it."""
        for words in self.lists:
            words.words()

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Counts and shares by list."""
        text = batch.column("text")
        japanese = batch.column("num_japanese_letters").to_numpy()
        columns: dict[str, pa.Array] = {}
        texts: list[str] | None = None
        for words in self.lists:
            names = _columns(words)
            if words.language == "en":
                columns[names[0]] = pc.count_substring_regex(text, _english(words.words()))
                continue
            texts = text.to_pylist() if texts is None else texts
            finder = Finder(words.words())
            found = np.array([finder.find(one) for one in texts], dtype=np.int64).reshape(-1, 3)
            share = np.divide(found[:, 2], japanese, out=np.zeros(len(found)), where=japanese > 0)
            columns |= dict(zip(names, map(pa.array, (found[:, 0], found[:, 1], share)), strict=True))
        return columns


def _columns(words: WordList) -> tuple[str, ...]:
    names = tuple(f"words_{words.name}_{kind}" for kind in ("hits", "whole_hits", "share"))
    return names[:1] if words.language == "en" else names


def _english(words: list[str]) -> str:
    return rf"(?i)(?:^| )(?:{'|'.join(map(re.escape, words))})(?: |,|\.|\n?\z)"


class Nouns(Signal):
    """Share of nouns and of repeated 7-word sequences (fugashi with UniDic Lite, 2 MB/s): advertising, word salad."""

    step: Literal["nouns"]
    ngram_words: Annotated[int, pydantic.Field(ge=2)] = 7
    chunk_chars: Annotated[int, pydantic.Field(ge=1)] = 100_000
    """MeCab reads at most so many characters at once; no sequence spans two chunks."""
    adds = ("noun_share", "repeated_words_share")

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Nouns among words that are no symbols (補助記号); sequences that stand twice or more among all."""
        shares = [self._shares(text) for text in batch.column("text").to_pylist()]
        return {name: pa.array([pair[k] for pair in shares], pa.float64()) for k, name in enumerate(self.adds)}

    def _shares(self, text: str) -> tuple[float, float]:
        nouns = words = 0
        counts: dict[tuple[str, ...], int] = {}
        for start in range(0, len(text), self.chunk_chars):
            nodes = fugashi_tagger()(text[start : start + self.chunk_chars])
            kinds = [node.feature_raw.partition(",")[0] for node in nodes]  # feature.pos1 parses all: 3 times slower
            nouns += kinds.count("名詞")
            words += len(kinds) - kinds.count("補助記号")
            surfaces = [node.surface for node in nodes]
            for k in range(len(surfaces) - self.ngram_words + 1):
                gram = tuple(surfaces[k : k + self.ngram_words])
                counts[gram] = counts.get(gram, 0) + 1
        total = sum(counts.values())
        repeated = sum(count for count in counts.values() if count > 1)
        return nouns / words if words else 0.0, repeated / total if total else 0.0


_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6 "
    "17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 "
    "2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB "
    "FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 "
    "111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 "
    "1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 "
    "16B37-16B38 16B44 16E98 1BC9F 1DA88"
)  # fmt: skip
_PUNCTUATION = _TERMINAL + (
    " 0-8 B-1F 22-2D 2F 3A-3E 40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001 3008-300D "
    "3010-3011 FF05 FF08-FF09 FF0C FF11 FF1A-FF1B FF5E"
)
_GRAM_COLUMNS = (
    *(f"top_{n}_word_gram_share" for n in (2, 3, 4)), *(f"repeated_{n}_word_gram_share" for n in range(5, 11)),
)  # fmt: skip


class Words(Signal):
    """What FineWeb2 asks of words and lines: one analyser pass over each document (sudachi 1.5, fugashi 4 MB/s)."""

    step: Literal["words"]
    segmenter: Segmenter = "fugashi"
    """sudachi: as FineWeb2 (needs the packages sudachipy and sudachidict_core). fugashi: UniDic Lite, other words."""
    stop_words: tuple[str, ...] = (
        "の",
        "に",
        "を",
        "は",
        "た",
        "て",
        "が",
        "と",
        "で",
        "年",
        "し",
        "・",
        "月",
        "れ",
        "さ",
    )
    """Default: FineWeb2 jpn_Jpan."""
    adds = (
        "repeated_run_share", *_GRAM_COLUMNS, "num_printed_lines", "terminal_line_share", "repeated_printed_char_share",
        "line_ends_per_word", "num_words", "mean_word_chars", "hashes_per_word", "ellipses_per_word",
        "bullet_line_share", "trailing_line_share", "alphabetic_word_share", "num_stop_words",
    )  # fmt: skip

    def check(self) -> None:
        """The segmenter is installed."""
        segment("語", self.segmenter)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Gopher's and FineWeb's figures as datatrove computes them; a share of nothing is 0.

        repeated_run_share: lines between runs of line ends that stood before. *_gram_share: characters of word n-grams
        among all. printed lines: more than white space; terminal ones end in a full stop of any script.
        num_words, mean_word_chars: words that are more than punctuation. bullet lines begin with • or -, trailing ones
        end in … or ... (`str.splitlines`).
        """
        rows = [self._row(text) for text in batch.column("text").to_pylist()]
        return {name: pa.array([row[k] for row in rows], pa.float64()) for k, name in enumerate(self.adds)}

    def _row(self, text: str) -> tuple[float, ...]:
        words = segment(text, self.segmenter)
        chars = max(len(text), 1)
        grams = word_repeats(words)
        runs = re.split(r"\n+", text)
        printed = [line for line in text.split("\n") if line.strip()]
        repeated_chars = sum(map(len, printed)) - sum(map(len, set(printed)))
        spoken = [word for word in words if not _punctuation().issuperset(word)]
        lines = text.splitlines()
        count = max(len(words), 1)
        return (
            (len(runs) - len(set(runs))) / len(runs),
            *(grams.top / chars), *(grams.repeated / chars),
            len(printed),
            sum(line[-1] in _terminal() for line in printed) / max(len(printed), 1),
            repeated_chars / max(len(text) - text.count("\n"), 1),
            text.count("\n") / count,
            len(spoken),
            sum(map(len, spoken)) / max(len(spoken), 1),
            text.count("#") / count,
            (text.count("...") + text.count("…")) / count,
            sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1),
            sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1),
            sum(any(map(str.isalpha, word)) for word in words) / count,
            len(set(self.stop_words).intersection(words)),
        )  # fmt: skip


@functools.cache
def _terminal() -> frozenset[str]:
    return frozenset(map(chr, np.flatnonzero(parse(_TERMINAL))))


@functools.cache
def _punctuation() -> frozenset[str]:
    return frozenset(map(chr, np.flatnonzero(parse(_PUNCTUATION))))
