"""How much text a token holds, by domain and in total, with intervals that tokenizers share.

    measured = measure(domain, tokenizers)                    # counts of every tokenizer on the same documents
    rows = compare(measured, draws=1000)                      # figures with 95 % intervals

The bootstrap draws documents, the same ones for all tokenizers: the interval of a difference is that of pairs, several
times narrower than two intervals side by side would suggest. Refused: intervals over tokens or lines; those of one
document resemble each other, and the interval comes out too narrow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jpfm.tokens.audit.bootstrap import MIN_UNITS, quantiles, resample
from jpfm.tokens.audit.text import TOTAL, Domain
from jpfm.tokens.audit.tokenizer import I64, UNKNOWN, AuditedTokenizer


class Counts(NamedTuple):
    """What one tokenizer made of the documents of a domain."""

    tokens: I64
    """By document."""
    pieces: I64
    """By id: how often it was used."""


class Measured(NamedTuple):
    """A domain with the counts of every tokenizer."""

    domain: str
    chars: I64
    """By document."""
    bytes: int
    """UTF-8."""
    counts: tuple[Counts, ...]


class Figures(NamedTuple):
    """A tokenizer on a domain."""

    domain: str
    tokenizer: str
    documents: int
    chars: int
    bytes: int
    tokens: int
    chars_per_token: float
    low: float | None
    high: float | None
    """95 % interval of chars_per_token; None under five documents."""
    bytes_per_token: float
    byte_tokens: float
    """Share of tokens that are no whole characters."""
    chars_in_bytes: float
    """Share of characters that no token holds whole."""
    unknown: float
    """Share of tokens that stand for what the vocabulary cannot spell."""
    ratio: float
    """chars_per_token over that of the first tokenizer."""
    ratio_low: float | None
    ratio_high: float | None


def measure(domain: Domain, tokenizers: Sequence[AuditedTokenizer]) -> Measured:
    """Encode the documents of a domain with every tokenizer."""
    counts = []
    for tokenizer in tokenizers:
        found = tokenizer.encode(domain.texts)
        counts.append(Counts(found.lengths, np.bincount(found.ids, minlength=tokenizer.vocab_size).astype(np.int64)))
    chars = np.fromiter(map(len, domain.texts), dtype=np.int64, count=len(domain.texts))
    size = sum(len(text.encode()) for text in domain.texts)
    return Measured(domain.name, chars, size, tuple(counts))


def compare(
    measured: Sequence[Measured], tokenizers: Sequence[AuditedTokenizer], *, draws: int = 1000, seed: int = 0
) -> list[Figures]:
    """Figures of every tokenizer on every domain, and in total (domain TOTAL); the first tokenizer is the measure.

    The total resamples each domain apart, as the domains were chosen and not drawn.
    """
    rows: list[Figures] = []
    sums = np.zeros((draws, 1 + len(tokenizers)))
    for number, one in enumerate(measured):
        table = np.stack([one.chars, *(count.tokens for count in one.counts)], axis=1).astype(np.float64)
        drawn = resample(table, draws, (seed, number))
        sums += drawn
        rows += _rows(one, tokenizers, drawn if len(one.chars) >= MIN_UNITS else None)
    whole = Measured(
        TOTAL,
        np.concatenate([one.chars for one in measured]),
        sum(one.bytes for one in measured),
        tuple(
            Counts(
                np.concatenate([one.counts[place].tokens for one in measured]),
                np.sum([one.counts[place].pieces for one in measured], axis=0),
            )
            for place in range(len(tokenizers))
        ),
    )
    enough = all(len(one.chars) >= MIN_UNITS for one in measured)
    return rows + _rows(whole, tokenizers, sums if enough else None)


def _rows(
    one: Measured, tokenizers: Sequence[AuditedTokenizer], drawn: npt.NDArray[np.float64] | None
) -> list[Figures]:
    rows = []
    chars = int(one.chars.sum())
    base = int(one.counts[0].tokens.sum())
    for place, (tokenizer, count) in enumerate(zip(tokenizers, one.counts, strict=True), start=1):
        tokens = int(count.tokens.sum())
        low, high = quantiles(drawn[:, 0] / drawn[:, place]) if drawn is not None else (None, None)
        ratio_low, ratio_high = quantiles(drawn[:, 1] / drawn[:, place]) if drawn is not None else (None, None)
        rows.append(
            Figures(
                domain=one.domain,
                tokenizer=tokenizer.name,
                documents=len(one.chars),
                chars=chars,
                bytes=one.bytes,
                tokens=tokens,
                chars_per_token=chars / tokens,
                low=low,
                high=high,
                bytes_per_token=one.bytes / tokens,
                byte_tokens=float(count.pieces[tokenizer.is_byte].sum() / tokens),
                chars_in_bytes=float((count.pieces * tokenizer.unfinished).sum() / chars),
                unknown=float(count.pieces[tokenizer.kinds == UNKNOWN].sum() / tokens),
                ratio=base / tokens,
                ratio_low=ratio_low,
                ratio_high=ratio_high,
            )
        )
    return rows
