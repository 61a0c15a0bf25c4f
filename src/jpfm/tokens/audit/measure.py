"""Compare tokenizers on text: how much a token holds, where it cuts, what of the vocabulary is used.

    found = audit(tokenizers, domains, gold, AuditSettings())
    found.figures["fertility"], found.tables["ours"]

Works on whole documents, line ends and all, as training does: a tokenizer that drops them gains by it, and the round
trip says that it does. Everything is counted in columns (ids by bincount, cuts as masks over characters).
Refused: figures by line; they leave out the tokens of line ends, 1.6 % of old literature and 8.7 % of Markdown.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import polars as pl
import pydantic

from jpfm.core.config import Settings
from jpfm.core.log import progress
from jpfm.tokens.audit.boundaries import Agreement, Words, agreement, unidic_words
from jpfm.tokens.audit.fertility import compare, measure
from jpfm.tokens.audit.numbers import examples, number_rules
from jpfm.tokens.audit.text import TOTAL, Absent, Domain
from jpfm.tokens.audit.tokenizer import AuditedTokenizer
from jpfm.tokens.audit.vocabulary import (
    by_script,
    piece_table,
    rank_frequency,
    vocabulary_use,
)

_SHOWN_CHARS = 80


class AuditSettings(Settings):
    """What is measured, and on how much text."""

    max_chars: Annotated[int, pydantic.Field(ge=1_000)] = 2_000_000
    """Characters of each domain."""
    max_document_chars: Annotated[int, pydantic.Field(ge=100)] = 100_000
    """Characters of one document."""
    max_word_chars: Annotated[int, pydantic.Field(ge=100)] = 200_000
    """Characters of each domain that are cut into words, 1 to 3 MB/s."""
    max_trip_chars: Annotated[int, pydantic.Field(ge=100)] = 500_000
    """Characters of each domain that are encoded and decoded again."""
    draws: Annotated[int, pydantic.Field(ge=100)] = 1000
    """Of the bootstrap."""
    shown: Annotated[int, pydantic.Field(ge=0)] = 200
    """Pieces that a list names."""
    failures_shown: Annotated[int, pydantic.Field(ge=0)] = 5
    """Lines that do not come back of which 80 characters are shown. 0 keeps text of the domains out of the report."""
    seed: int = 0


class Audit(NamedTuple):
    """Figures as plain data, and the pieces of each tokenizer."""

    figures: dict[str, Any]
    tables: dict[str, pl.DataFrame]


def audit(
    tokenizers: Sequence[AuditedTokenizer], domains: Sequence[Domain], gold: Words | None, settings: AuditSettings
) -> Audit:
    """Measure everything but speed.

    Args:
        gold: sentences of a treebank; None leaves that comparison out.
    """
    with progress("tokenizer audit", total=float(3 * len(tokenizers) + 2 * len(domains)), unit="parts") as bar:
        measured = []
        for domain in domains:
            measured.append(measure(domain, tokenizers))
            bar.advance(1.0)
        words = []
        for domain in domains:
            words.append(unidic_words(domain.texts, settings.max_word_chars))
            bar.advance(1.0)
        tables: dict[str, pl.DataFrame] = {}
        per_tokenizer: list[dict[str, Any]] = []
        cuts: list[dict[str, Any]] = []
        for place, tokenizer in enumerate(tokenizers):
            table = piece_table(tokenizer, {one.domain: one.counts[place].pieces for one in measured})
            tables[tokenizer.name] = table
            bar.advance(1.0)
            cuts += _cuts(tokenizer, domains, words, gold, settings)
            bar.advance(1.0)
            per_tokenizer.append(_described(tokenizer, table, domains, settings))
            bar.advance(1.0)
    figures: dict[str, Any] = {
        "tokenizers": per_tokenizer,
        "domains": [
            {
                "name": domain.name, "documents": domain.documents, "measured": len(domain.texts),
                "chars": int(one.chars.sum()), "bytes": one.bytes, "split": domain.split,
                "corpus": domain.artifact.id if domain.artifact else None, "sha256": domain.sha256 or None,
                "word_lines": len(spelled.texts), "word_lines_left_out": spelled.left_out,
            }
            for domain, one, spelled in zip(domains, measured, words, strict=True)
        ],
        "absent": [{"corpus": corpus, **one._asdict()} for corpus, one in _absent(domains)],
        "fertility": [one._asdict() for one in compare(measured, tokenizers, draws=settings.draws, seed=settings.seed)],
        "boundaries": cuts,
        "examples": [
            {"group": one.group, "text": one.text, "cuts": [[piece._asdict() for piece in cut] for cut in one.cuts]}
            for one in examples(tokenizers)
        ],
    }  # fmt: skip
    return Audit(figures, tables)


def _absent(domains: Sequence[Domain]) -> list[tuple[str, Absent]]:
    """(id of the corpus, source) of what is measured nowhere, each once."""
    every = [(domain.artifact.id, one) for domain in domains if domain.artifact for one in domain.absent]
    return list(dict.fromkeys(every))


def _cuts(
    tokenizer: AuditedTokenizer,
    domains: Sequence[Domain],
    words: Sequence[Words],
    gold: Words | None,
    settings: AuditSettings,
) -> list[dict[str, Any]]:
    """Agreement with gold words, with UniDic by domain, and with UniDic in total."""
    rows: list[dict[str, Any]] = []
    draws, seed = settings.draws, settings.seed

    def add(against: str, domain: str, found: Agreement | None) -> None:
        if found is not None:
            rows.append({"tokenizer": tokenizer.name, "against": against, "domain": domain, **found._asdict()})

    if gold is not None:
        add("gold", TOTAL, agreement(gold, tokenizer, draws=draws, seed=seed))
    for domain, one in zip(domains, words, strict=True):
        add("unidic", domain.name, agreement(one, tokenizer, draws=draws, seed=seed))
    if len(domains) > 1:
        every = Words(tuple(t for one in words for t in one.texts), tuple(w for one in words for w in one.words))
        add("unidic", TOTAL, agreement(every, tokenizer, draws=draws, seed=seed))
    return rows


def _described(
    tokenizer: AuditedTokenizer, table: pl.DataFrame, domains: Sequence[Domain], settings: AuditSettings
) -> dict[str, Any]:
    rules = number_rules(tokenizer, seed=settings.seed)._asdict()
    return {
        "name": tokenizer.name,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "sha256": tokenizer.sha256,
        "adds_space": tokenizer.adds_space,
        "vocabulary": vocabulary_use(table, shown=settings.shown)._asdict(),
        "scripts": by_script(table),
        "ranks": rank_frequency(table),
        "numbers": rules,
        "round_trip": round_trip(tokenizer, domains, settings.max_trip_chars, settings.failures_shown),
    }


def round_trip(
    tokenizer: AuditedTokenizer, domains: Sequence[Domain], max_chars: int, shown: int = 5
) -> dict[str, Any]:
    """Encode and decode lines: how many come back as they were, and some that do not.

    A line that comes back in another form of the same text (NFKC) or with other white space counts as normalised.
    """
    import unicodedata

    lines: list[str] = []
    for domain in domains:
        taken = 0
        for line in (line for text in domain.texts for line in text.split("\n")):
            if taken >= max_chars:
                break
            if line:
                lines.append(line)
                taken += len(line)
    back = tokenizer.round_trip(lines)
    wrong = [(line, got) for line, got in zip(lines, back, strict=True) if line != got]

    def form(text: str) -> str:
        return "".join(unicodedata.normalize("NFKC", text).split())

    normalised = [pair for pair in wrong if form(pair[0]) == form(pair[1])]
    lost = [pair for pair in wrong if form(pair[0]) != form(pair[1])]
    return {
        "lines": len(lines),
        "equal": (len(lines) - len(wrong)) / max(len(lines), 1),
        "normalised": len(normalised) / max(len(lines), 1),
        "lost": len(lost) / max(len(lines), 1),
        "examples": [
            {"kind": kind, **_around(line, got)}
            for kind, pairs in (("lost", lost), ("normalised", normalised))
            for line, got in pairs[:shown]
        ],
    }


def _around(line: str, got: str) -> dict[str, str]:
    """Both texts from a little before where they begin to differ."""
    size = min(len(line), len(got))
    same = next((place for place in range(size) if line[place] != got[place]), size)
    start = max(0, same - 10)
    return {"before": line[start : start + _SHOWN_CHARS], "after": got[start : start + _SHOWN_CHARS]}


def texts_for_speed(domains: Sequence[Domain], max_bytes: int) -> list[str]:
    """Documents of all domains in turn, about so many bytes."""
    chosen: list[str] = []
    size = 0
    for turn in range(max((len(domain.texts) for domain in domains), default=0)):
        for domain in domains:
            if turn < len(domain.texts) and size < max_bytes:
                chosen.append(domain.texts[turn])
                size += len(domain.texts[turn].encode())
    return chosen
