"""What a vocabulary is made of, what of it is used, and which pieces no text can reach.

    table = piece_table(tokenizer, {"law": counts})          # a row a piece
    use = vocabulary_use(table, tokenizer)

A piece that its own text never gives is dead weight in the embedding, and an untrained vector that a prompt may still
reach by id (a "glitch token"). For Unigram and BPE the test is exact: how a stretch of text is cut inside does not
depend on what stands around it once it is one token. Each piece is tried alone, after a space, and inside other text.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jpfm.tokens.audit.tokenizer import BYTE, I64, KINDS, NORMAL, AuditedTokenizer, Bools

SCRIPTS = ("kanji", "hiragana", "katakana", "japanese", "latin", "digits", "symbols", "other", "byte", "special")
"""Of pieces: japanese mixes kana and kanji; symbols hold no letter; other mixes or is of another script."""
_LETTERS = ("kanji", "hiragana", "katakana", "latin", "digits", "symbols", "other")
MAX_LENGTH = 9
"""Longer pieces are counted with those of nine characters or more."""
_CARRIERS = (("あ", "あ"), ("a", "a"), (" ", " "), ("\n", "\n"), ("、", "。"), ("1", "1"))
_ZIPF_POINTS = 120


class Use(NamedTuple):
    """How a vocabulary is used on the text of an audit."""

    pieces: int
    """That text can give: without special ones and those the file marks as unused."""
    used: int
    never_used: int
    unreachable: int
    no_piece: int
    """Ids that stand for nothing, or are marked as unused."""
    special: int
    coverage: tuple[tuple[float, int, float], ...]
    """Share of tokens, how many of the most frequent pieces make it up, their share of the vocabulary."""
    unreachable_pieces: tuple[str, ...]
    never_used_pieces: tuple[str, ...]
    """Some of them: the longest first."""


def piece_table(tokenizer: AuditedTokenizer, counts: Mapping[str, I64]) -> pl.DataFrame:
    """A row a piece: id, piece, text, kind, script, chars, reachable (null where that cannot be tried), counts.

    Args:
        counts: by domain: how often each id was used. Shape (vocab_size,).
    """
    total = np.sum(list(counts.values()), axis=0)
    texts = [piece.text for piece in tokenizer.pieces]
    scripts, chars = scripts_of(tokenizer)
    reached = reachable(tokenizer)
    reached[total > 0] = True
    tried = tokenizer.kinds == NORMAL
    return pl.DataFrame(
        {
            "id": np.arange(tokenizer.vocab_size),
            "piece": [piece.piece for piece in tokenizer.pieces],
            "text": texts,
            "kind": [KINDS[piece.kind] for piece in tokenizer.pieces],
            "script": scripts,
            "chars": chars,
            "reachable": pl.Series(
                [bool(r) if t else None for r, t in zip(reached, tried, strict=True)], dtype=pl.Boolean
            ),
            "count": total,
            **{f"count:{name}": count for name, count in counts.items()},
        }
    )


def scripts_of(tokenizer: AuditedTokenizer) -> tuple[list[str], I64]:
    """By id: the script that a piece is written in, a space before it left out, and its length in characters.

    Bytes and special tokens have no length: 0.
    """
    bare = [piece.text.strip(" ") or piece.text for piece in tokenizer.pieces]
    sizes = np.fromiter(map(len, bare), dtype=np.int64, count=len(bare))
    points = np.frombuffer("".join(bare).encode("utf-32-le", "replace"), dtype=np.uint32)
    known, place = np.unique(points, return_inverse=True)
    classes = np.array([_script(chr(point)) for point in known.tolist()], dtype=np.int64)[place]
    owner = np.repeat(np.arange(len(bare)), sizes)
    found = np.bincount(owner * len(_LETTERS) + classes, minlength=len(bare) * len(_LETTERS))
    found = found.reshape(len(bare), len(_LETTERS))
    written = sizes > 0
    japanese = found[:, [_LETTERS.index(name) for name in ("kanji", "hiragana", "katakana")]].sum(axis=1)
    conditions = [tokenizer.kinds == BYTE, tokenizer.kinds != NORMAL]
    conditions += [written & (found[:, place] == sizes) for place in range(len(_LETTERS) - 1)]
    conditions.append(written & (japanese == sizes))
    names = ["byte", "special", *_LETTERS[:-1], "japanese"]
    chosen = np.select(conditions, [SCRIPTS.index(name) for name in names], SCRIPTS.index("other"))
    lengths = np.fromiter((len(piece.text) for piece in tokenizer.pieces), dtype=np.int64, count=len(bare))
    return [SCRIPTS[one] for one in chosen.tolist()], np.where(tokenizer.kinds == NORMAL, lengths, 0)


def _script(char: str) -> int:
    """The place in _LETTERS of one character.

    >>> [_LETTERS[_script(char)] for char in "々ーぁＡ９、Я"]
    ['kanji', 'katakana', 'hiragana', 'latin', 'digits', 'symbols', 'other']
    """
    code, category = ord(char), unicodedata.category(char)
    if char in "々〆〇" or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF:
        name = "kanji"
    elif 0x3041 <= code <= 0x309F:
        name = "hiragana"
    elif 0x30A1 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF or 0xFF66 <= code <= 0xFF9F:
        name = "symbols" if char == "・" else "katakana"
    elif category == "Nd":
        name = "digits"
    elif category[0] in "PSZC":
        name = "symbols"
    elif "LATIN" in unicodedata.name(char, ""):
        name = "latin"
    else:
        name = "other"
    return _LETTERS.index(name)


def reachable(tokenizer: AuditedTokenizer) -> Bools:
    """By id: some text gives this piece. Only normal pieces are tried; the others say True."""
    reached: Bools = tokenizer.kinds != NORMAL
    texts = [piece.text for piece in tokenizer.pieces]
    _try(tokenizer, reached, texts)
    bare = [text[1:] if tokenizer.adds_space and text.startswith(" ") else text for text in texts]
    _try(tokenizer, reached, bare)
    for before, after in _CARRIERS:
        _try(tokenizer, reached, [before + text + after for text in texts])
    return reached


def _try(tokenizer: AuditedTokenizer, reached: Bools, texts: Sequence[str]) -> None:
    """Mark the pieces that their own text gives."""
    left = np.flatnonzero(~reached)
    if not len(left):
        return
    found = tokenizer.encode([texts[number] for number in left.tolist()])
    asked = np.repeat(left, found.lengths)
    reached[asked[found.ids == asked]] = True


def vocabulary_use(table: pl.DataFrame, *, shown: int = 200) -> Use:
    """Figures of a vocabulary on the text whose counts the table holds.

    Args:
        shown: pieces of each list that are named.
    """
    spelled = table.filter(pl.col("kind").is_in(["normal", "byte"]))
    counts = np.sort(spelled["count"].to_numpy())[::-1]
    share = np.cumsum(counts) / max(int(counts.sum()), 1)
    coverage = []
    for wanted in (0.5, 0.9, 0.99):
        needed = int(np.searchsorted(share, wanted)) + 1 if counts.sum() else 0
        coverage.append((wanted, needed, needed / max(len(counts), 1)))
    unreachable = spelled.filter(pl.col("reachable").eq(False))
    unused = spelled.filter((pl.col("count") == 0) & pl.col("reachable").eq(True))
    order = [pl.col("chars"), pl.col("id")]
    return Use(
        len(spelled), int((spelled["count"] > 0).sum()), int((spelled["count"] == 0).sum()), len(unreachable),
        int((table["kind"] == "unused").sum()), int(table["kind"].is_in(["special", "unknown"]).sum()), tuple(coverage),
        tuple(unreachable.sort(order, descending=[True, False])["text"].head(shown).to_list()),
        tuple(unused.sort(order, descending=[True, False])["text"].head(shown).to_list()),
    )  # fmt: skip


def by_script(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """By script: pieces, share of the tokens of the text, pieces by length. Scripts without pieces are left out.

    `lengths` counts pieces of 1, 2, ... and MAX_LENGTH characters or more; a space before a word is a character.
    """
    total = max(int(table["count"].sum()), 1)
    found: dict[str, dict[str, Any]] = {}
    for script in SCRIPTS:
        rows = table.filter(pl.col("script") == script)
        if not rows.is_empty():
            sizes = rows["chars"].to_numpy()
            counted = np.bincount(np.clip(sizes[sizes > 0], 1, MAX_LENGTH), minlength=MAX_LENGTH + 1)[1:]
            found[script] = {
                "pieces": len(rows), "tokens": int(rows["count"].sum()) / total, "lengths": counted.tolist()
            }  # fmt: skip
    return found


def rank_frequency(table: pl.DataFrame) -> list[tuple[int, float]]:
    """Rank and share of tokens of the used pieces, at ranks evenly spaced on a logarithmic scale."""
    counts = np.sort(table.filter(pl.col("count") > 0)["count"].to_numpy())[::-1]
    if not len(counts):
        return []
    ranks = np.unique(np.geomspace(1, len(counts), _ZIPF_POINTS).round().astype(np.int64))
    return [(int(rank), float(counts[rank - 1] / counts.sum())) for rank in ranks]
