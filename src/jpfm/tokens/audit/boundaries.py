"""How far the cuts of a tokenizer are the cuts between words: against gold words, and against UniDic's.

    gold = read_conllu(Path("ja_gsd-ud-dev.conllu.gz"))
    figures = agreement(gold, tokenizer)                  # precision, recall, F1 ...

Counted in columns over all sentences at once. White space is taken out first: a token that begins before a space and
one that begins after it make the same cut. A byte token inside a character makes none. Beginnings and ends of
sentences are no cuts: they are always right. Refused: counting matching tokens; a word in five bytes would weigh five.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jpfm.core.errors import DataError, UsageError
from jpfm.text.words import segment
from jpfm.tokens.audit.bootstrap import MIN_UNITS, quantiles, resample
from jpfm.tokens.audit.tokenizer import BYTE, I64, AuditedTokenizer, Bools

_WHITE_SPACE = tuple(code for code in range(0x3001) if chr(code).isspace())


class Words(NamedTuple):
    """Sentences and the words they consist of; white space stands between words or inside none."""

    texts: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    left_out: int = 0
    """Lines whose words do not spell them."""


class Agreement(NamedTuple):
    """Cuts of a tokenizer against cuts between words."""

    sentences: int
    words: int
    tokens: int
    precision: float | None
    """Of the tokenizer's cuts, how many lie between words. None where it makes none."""
    recall: float | None
    """Of the cuts between words, how many the tokenizer makes."""
    f1: float | None
    f1_low: float | None
    f1_high: float | None
    """95 % interval of F1 by a bootstrap over sentences; None under five."""
    tokens_per_word: float
    whole_words: float
    """Share of words that are one token."""
    crossing: float
    """Share of tokens (characters spelled in bytes are one) that reach over the end of a word."""


def read_conllu(path: Path) -> Words:
    """Sentences of a treebank in CoNLL-U, plain or gzip.

    Raises:
        UsageError: there is no such file.
        DataError: it is no CoNLL-U, or the words of a sentence do not spell its text.
    Source: https://universaldependencies.org/format.html. A range (`3-4`) is one written word; `3.1` is none.
    """
    if not path.is_file():
        raise UsageError(f"--gold {path}: no such file", hint="name a .conllu or .conllu.gz of a treebank")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"--gold {path}: cannot be read: {error}", hint="copy the file again") from error
    texts: list[str] = []
    words: list[tuple[str, ...]] = []
    for first, block in _blocks(text):
        stated, forms = _sentence(path, first, block)
        joined = "".join("".join(form.split()) for form, _ in forms)
        written = stated if stated is not None else "".join(form + " " * space for form, space in forms).rstrip()
        if "".join(written.split()) != joined:
            raise DataError(
                f"{path}:{first}: the words spell {joined[:40]!r}, the text is {written[:40]!r}",
                hint="the treebank is damaged; take the file as it was released",
            )
        if joined:
            texts.append(written)
            words.append(tuple(part for form, _ in forms for part in form.split()))
    if not texts:
        raise DataError(f"--gold {path}: holds no sentence", hint="name a .conllu file of a treebank")
    return Words(tuple(texts), tuple(words))


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Sentences as (number of the first line, lines)."""
    first, block = 1, list[str]()
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.rstrip("\r"))
        elif block:
            yield first, block
            block = []
        if not line.strip():
            first = number + 1


def _sentence(path: Path, first: int, block: Sequence[str]) -> tuple[str | None, list[tuple[str, bool]]]:
    stated, forms, inside = None, list[tuple[str, bool]](), 0
    for number, line in enumerate(block, start=first):
        if line.startswith("#"):
            if line.startswith("# text = "):
                stated = line.removeprefix("# text = ")
            continue
        fields = line.split("\t")
        if len(fields) != 10:
            raise DataError(f"{path}:{number}: {len(fields)} columns, CoNLL-U has 10", hint="name a .conllu file")
        start, dash, end = fields[0].partition("-")
        if "." in fields[0]:
            continue
        if not start.isdecimal() or (dash and not end.isdecimal()):
            raise DataError(f"{path}:{number}: '{fields[0]}' is no number of a word", hint="name a .conllu file")
        if dash:
            inside = int(end)
        elif int(start) <= inside:
            continue
        forms.append((fields[1], "SpaceAfter=No" not in fields[9].split("|")))
    return stated, forms


def unidic_words(texts: Sequence[str], max_chars: int) -> Words:
    """Lines of texts, until there are so many characters, with the words of UniDic (fugashi).

    This is the one loop over lines: an analyser takes a line at a time, 1 to 3 MB/s.
    """
    lines: list[str] = []
    words: list[tuple[str, ...]] = []
    taken = left_out = 0
    for line in (line for text in texts for line in text.split("\n")):
        if taken >= max_chars:
            break
        bare = "".join(line.split())
        if not bare:
            continue
        taken += len(line)
        found = tuple(segment(line, "fugashi"))
        if "".join(found) == bare:
            lines.append(line)
            words.append(found)
        else:
            left_out += 1
    return Words(tuple(lines), tuple(words), left_out)


def agreement(gold: Words, tokenizer: AuditedTokenizer, *, draws: int = 1000, seed: int = 0) -> Agreement | None:
    """Compare the cuts of a tokenizer with words. None where there is no sentence.

    Precision, recall and F1 are those of cuts inside sentences, over all sentences together.
    """
    if not gold.texts:
        return None
    cuts, num_tokens = token_starts(gold.texts, tokenizer)
    first, word = word_starts(gold)
    sentence = np.cumsum(first) - 1
    marks = (cuts & word & ~first, cuts & ~first, word & ~first)
    table = np.stack([np.bincount(sentence, weights=mark) for mark in marks], axis=1).astype(np.float64)
    right, made, wanted = (int(total) for total in table.sum(axis=0))
    missed, extra = word & ~cuts, cuts & ~word
    word_of, token_of = np.cumsum(word) - 1, np.cumsum(cuts) - 1
    num_words, num_units = int(word.sum()), int(cuts.sum())
    broken = np.bincount(word_of[extra], minlength=num_words) > 0
    starts = np.flatnonzero(word)
    begins = cuts[starts]
    ends = np.append(begins[1:], True)  # a word ends where the next begins; the last one at the end
    precision = right / made if made else None
    recall = right / wanted if wanted else None
    f1 = None if precision is None or recall is None else 2 * right / (made + wanted)
    low = high = None
    if f1 is not None and len(table) >= MIN_UNITS:
        drawn = resample(table, draws, (seed, len(table)))
        low, high = quantiles(2 * drawn[:, 0] / np.maximum(drawn[:, 1] + drawn[:, 2], 1))
    return Agreement(
        len(gold.texts), num_words, num_tokens, precision, recall, f1, low, high, num_tokens / num_words,
        float((begins & ends & ~broken).mean()),
        float((np.bincount(token_of[missed], minlength=num_units) > 0).mean()),
    )  # fmt: skip


def word_starts(gold: Words) -> tuple[Bools, Bools]:
    """By character that is no white space: begins a sentence, begins a word."""
    lengths = np.fromiter((len(word) for words in gold.words for word in words), dtype=np.int64)
    per_text = np.fromiter(map(len, gold.words), dtype=np.int64, count=len(gold.words))
    word_at = np.cumsum(lengths) - lengths
    first, word = (np.zeros(int(lengths.sum()), dtype=np.bool_) for _ in range(2))
    word[word_at] = True
    first[word_at[np.cumsum(per_text) - per_text]] = True
    return first, word


def token_starts(texts: Sequence[str], tokenizer: AuditedTokenizer) -> tuple[Bools, int]:
    """By character that is no white space: a token begins here, or in the white space before. And how many tokens."""
    marks, num_tokens = start_marks(texts, tokenizer)
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    spaces = np.isin(points, np.array(_WHITE_SPACE, dtype=np.uint32))
    passed = np.cumsum(marks)
    here = passed[~spaces]
    return np.diff(here, prepend=0) > 0, num_tokens


def start_marks(texts: Sequence[str], tokenizer: AuditedTokenizer) -> tuple[Bools, int]:
    """By character of all texts, one after the other: a token begins here, as a text does. And how many tokens."""
    found = tokenizer.locate(texts)
    sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    origin = np.cumsum(sizes) - sizes
    marks = np.zeros(int(sizes.sum()), dtype=np.bool_)
    marks[origin[sizes > 0]] = True
    is_byte = tokenizer.kinds[found.ids] == BYTE
    begins = np.where(is_byte, ~tokenizer.inside[found.ids], found.ends > found.starts)
    limit: I64 = np.repeat(sizes, found.lengths)
    begins &= found.starts < limit
    marks[(np.repeat(origin, found.lengths) + found.starts)[begins]] = True
    return marks, len(found.ids)
