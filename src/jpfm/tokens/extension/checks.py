"""Proof that an extended tokenizer keeps what the base had, and what it gains. A difference is an error, not a note.

    stats = check_extension(extension, held_out(corpus, 2_000_000))

1. Every old name has its old id.
2. Text comes back as the base gives it back: on held-out lines and on fuzzed strings (`tokens.fuzz`: half-width kana,
   combining marks, emoji sequences, control characters, names of special tokens, new pieces side by side). Where the
   base itself loses text (many Unigram tokenizers read a written <0xFF> as that byte), it is no measure.
3. BPE: on all of them, the ids with each new one written out in old ones are the base's ids.
   Unigram: a line without a new id has the base's ids (new pieces compete with old ones, so a line with one may differ
   further along).
4. A line without a Japanese character has the base's ids, where the rules say `japanese_only`.
5. A new piece's own text gives its id.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError
from jpfm.data.build import read_documents
from jpfm.tokens.extension.extend import Extension, is_text
from jpfm.tokens.extension.merges import I64
from jpfm.tokens.extension.pieces import JAPANESE_PATTERN
from jpfm.tokens.fuzz import strings

_KINDS = ("japanese", "japanese_and_latin", "latin", "other")
_BATCH_LINES = 20_000
FUZZED = 20_000
_LOST = "\ufffd"


class HeldOut(NamedTuple):
    """Text that no piece was learned from."""

    lines: pl.Series
    sources: pl.Series
    """Name of each line's source."""


def held_out(corpus: Artifact, max_chars: int) -> HeldOut:
    """Lines of the held-out split, from its beginning.

    Raises:
        UsageError: the corpus has no held-out split.
        DataError: it is empty.
    """
    frames, total = [], 0
    for batch in read_documents(corpus, ["text", "source"], split="held_out"):
        frame = pl.DataFrame(pl.from_arrow(batch)).with_columns(pl.col("text").str.split("\n")).explode("text")
        frames.append(frame.filter(pl.col("text").str.len_chars() > 0))
        total += int(frames[-1]["text"].str.len_chars().sum())
        if total >= max_chars:
            break
    if not total:
        raise DataError(f"{corpus.path}: no held-out documents", hint="raise held_out_share in the recipe's split step")
    frame = pl.concat(frames)
    return HeldOut(frame["text"], frame["source"])


def check_extension(extension: Extension, text: HeldOut, *, fuzzed: int = FUZZED, seed: int = 0) -> dict[str, Any]:
    """Run all checks.

    Returns:
        Figures for a manifest: lines and characters compared, the share of lines whose ids changed by kind of line,
        characters per token before and after by source, how many new pieces the held-out text uses.
    Raises:
        DataError: a check fails; the message shows the string.
    """
    extended = extension.tokenizer()
    _check_names(extension, extended)
    lines = text.lines.unique(maintain_order=True)
    pieces = [piece.spelled.decode() for piece in extension.pieces if is_text(piece.spelled)]
    made_up = strings(fuzzed, key=f"extension-{seed}", pieces=[*pieces, *_special_names(extension)])
    lines = pl.concat([lines, pl.Series(lines.name, pl.from_arrow(made_up))])
    spelled, offsets = extension.spelled_out()
    changed: dict[str, list[int]] = {kind: [0, 0] for kind in _KINDS}
    for start in range(0, len(lines), _BATCH_LINES):
        part = lines.slice(start, _BATCH_LINES)
        before, after = _encode(extension.base.text, part), _encode(extended, part)
        _check_text(extension, extended, part, before, after)
        different = _different(before, after)
        _check_ids(extension, part, before, after, different, spelled, offsets)
        kinds = _kinds(part)
        for kind in _KINDS:
            here = kinds == kind
            changed[kind][0] += int(np.count_nonzero(here))
            changed[kind][1] += int(np.count_nonzero(here & different))
    by_source, used = _compression(extension, extended, text)
    return {
        "lines_compared": len(lines),
        "fuzzed_strings": fuzzed,
        "lines_changed": {
            kind: {"lines": total, "share": round(count / total, 6)}
            for kind, (total, count) in changed.items()
            if total
        },
        "chars_per_token": by_source,
        "new_pieces_used": used,
    }


class _Ids(NamedTuple):
    flat: I64
    offsets: I64


def _encode(tokenizer: Any, lines: pl.Series) -> _Ids:
    encodings = tokenizer.encode_batch_fast(lines.to_list(), add_special_tokens=False)
    offsets = np.concatenate([[0], np.cumsum([len(encoding) for encoding in encodings])]).astype(np.int64)
    flat = np.fromiter(itertools.chain.from_iterable(e.ids for e in encodings), dtype=np.int64, count=int(offsets[-1]))
    return _Ids(flat, offsets)


def _rows(ids: _Ids) -> list[list[int]]:
    flat, ends = ids.flat.tolist(), ids.offsets.tolist()
    return [flat[a:b] for a, b in itertools.pairwise(ends)]


def _different(before: _Ids, after: _Ids) -> Any:
    """Whether the ids of each line differ. A new id is in a line, or the ids themselves are not the same."""
    return np.array([a != b for a, b in zip(_rows(before), _rows(after), strict=True)], dtype=np.bool_)


def _special_names(extension: Extension) -> list[str]:
    return [str(token["content"]) for token in extension.base.document.get("added_tokens", [])]


def _check_names(extension: Extension, extended: Any) -> None:
    for number, name in extension.base.names.items():
        if (found := extended.token_to_id(name)) != number:
            raise DataError(f"old piece {name!r} has id {found}, it had {number}", hint="report this tokenizer")
    for number, piece in enumerate(extension.pieces, extension.base.next_id):
        name = extension.base.piece_name(piece.spelled)
        if [token.id for token in extended.model.tokenize(name)] != [number]:
            raise DataError(f"new piece {name!r} is not encoded as its id {number}", hint="report this tokenizer")


def _check_text(extension: Extension, extended: Any, lines: pl.Series, before: _Ids, after: _Ids) -> None:
    old = extension.base.text.decode_batch(_rows(before), skip_special_tokens=False)
    new = extended.decode_batch(_rows(after), skip_special_tokens=False)
    for line, was, now in zip(lines.to_list(), old, new, strict=True):
        if was != now and was.count(_LOST) <= line.count(_LOST):
            raise DataError(
                f"{line[:60]!r} comes back as {now[:60]!r}; the base gives {was[:60]!r}",
                hint="report this line; do not use the tokenizer",
            )


def _check_ids(
    extension: Extension, lines: pl.Series, before: _Ids, after: _Ids, different: Any, spelled: I64, offsets: I64
) -> None:
    first = extension.base.next_id
    is_new = after.flat >= first
    has_new = np.add.reduceat(np.append(is_new, False), after.offsets[:-1]) > 0
    has_new &= np.diff(after.offsets) > 0
    wrong = different & ~has_new
    if extension.base.family != "unigram":
        wrong = _written_out_differs(before, after, first, spelled, offsets)
    if extension.rules.japanese_only:
        wrong |= different & ~lines.str.contains(JAPANESE_PATTERN).to_numpy()
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"the ids of {lines[place][:60]!r} changed: {_rows(after)[place][:12]} for {_rows(before)[place][:12]}",
            hint="report this line; do not use the tokenizer",
        )


def _written_out_differs(before: _Ids, after: _Ids, first: int, spelled: I64, offsets: I64) -> Any:
    """Whether a line's ids, new ones written out in old ones, are not the base's."""
    sizes = np.where(after.flat >= first, np.diff(offsets)[np.maximum(after.flat - first, 0)], 1)
    begins = np.where(after.flat >= first, offsets[np.maximum(after.flat - first, 0)], 0)
    ends = np.cumsum(sizes)
    within = np.arange(int(sizes.sum())) - np.repeat(ends - sizes, sizes)
    source = np.repeat(np.where(after.flat >= first, -1, after.flat), sizes)
    flat = np.where(source >= 0, source, spelled[np.minimum(np.repeat(begins, sizes) + within, len(spelled) - 1)])
    written = _Ids(flat, np.concatenate([[0], ends])[after.offsets])
    return _different(before, written)


def _kinds(lines: pl.Series) -> Any:
    japanese, latin = lines.str.contains(JAPANESE_PATTERN).to_numpy(), lines.str.contains(r"\p{Latin}").to_numpy()
    both = np.where(latin, "japanese_and_latin", "japanese")
    return np.where(japanese, both, np.where(latin, "latin", "other"))


def _compression(extension: Extension, extended: Any, text: HeldOut) -> tuple[Mapping[str, Any], int]:
    """Characters per token before and after, by source and in all; how many new pieces the text uses."""
    rows: dict[str, Any] = {}
    used: set[int] = set()
    sums = np.zeros(3, dtype=np.int64)
    for source, lines in _by_source(text):
        before, after = _encode(extension.base.text, lines), _encode(extended, lines)
        used.update(np.unique(after.flat[after.flat >= extension.base.next_id]).tolist())
        here = np.array([int(lines.str.len_chars().sum()), len(before.flat), len(after.flat)])
        rows[source] = _rates(here)
        sums += here
    return {"all": _rates(sums), "by_source": rows}, len(used)


def _by_source(text: HeldOut) -> Iterator[tuple[str, pl.Series]]:
    for source in text.sources.unique(maintain_order=True).to_list():
        yield source, text.lines.filter(text.sources == source)


def _rates(sums: I64) -> dict[str, Any]:
    chars, before, after = (int(value) for value in sums)
    return {"chars": chars, "before": round(chars / max(before, 1), 4), "after": round(chars / max(after, 1), 4)}
