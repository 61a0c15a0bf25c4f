"""Vocabularies trained apart on parts of the text (Japanese, English, code), merged, their scores estimated again.

    model = learn(config, text, folder)                 # config.parts names the parts and their shares

LLM-jp's way: each part keeps its share of the vocabulary whatever its share of the text, so that a little English or
code is not crowded out. Each part is trained on its own lines, three tenths larger than its share where the text gives
so many; the union takes all single characters, then the best pieces of each part by turns of its share until the
vocabulary is full (pieces that two parts know count for both). Then `estimation` gives all pieces scores from the whole
mixture.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jpfm.core.errors import DataError, UsageError
from jpfm.tokens import sentencepiece_training
from jpfm.tokens.estimation import estimate
from jpfm.tokens.morphemes import cut
from jpfm.tokens.sentencepiece_training import read
from jpfm.tokens.tokenizer_config import Part, TokenizerConfig
from jpfm.tokens.training_text import TrainingText

_SPARE = 1.3


def learn(config: TokenizerConfig, text: TrainingText, folder: Path) -> bytes:
    """Train the parts, merge them, and estimate scores on the mixture.

    Raises:
        UsageError: a part names a source that the corpus does not have.
        DataError: a part has no text, or too little for its share.
    """
    for part in config.parts:
        _check(part, text)
    fixed = 4 + 256 + len(config.special_tokens.control) + len(config.special_tokens.in_text)
    room = config.vocab_size - fixed
    models = [_trained(config, part, text, folder, fixed) for part in config.parts]
    base = read(models[0])
    ranked: list[list[tuple[str, float]]] = []
    for model in models:
        scored = [(piece.piece, piece.score) for piece in read(model).pieces if piece.type == piece.NORMAL]
        ranked.append(sorted(scored, key=lambda item: (-item[1], item[0])))
    shares = [part.share for part in config.parts]
    check_enough(config.parts, ranked, fixed=fixed, room=room)
    pieces = merged(ranked, shares, room)
    start = np.full(len(pieces), -np.inf)
    places = {piece: index for index, piece in enumerate(pieces)}
    for share, part_pieces in zip(shares, ranked, strict=True):
        for piece, score in part_pieces:
            if piece in places:
                start[places[piece]] = np.logaddexp(start[places[piece]], score + np.log(share))
    scores = estimate(text.lines, pieces, start)
    kept = [piece for piece in base.pieces if piece.type != piece.NORMAL]
    del base.pieces[:]
    base.pieces.extend(kept)
    for index in np.lexsort((np.array(pieces), -scores)):
        base.pieces.add(piece=pieces[index], score=float(scores[index]), type=1)
    return bytes(base.SerializeToString(deterministic=True))


def _check(part: Part, text: TrainingText) -> None:
    """Refuse what can be seen of a part before any is trained."""
    for name in part.sources:
        if name not in text.sources:
            raise UsageError(
                f"parts: {part.name}: {name!r} names no source of the corpus",
                hint=f"the corpus has: {', '.join(text.sources)}",
            )
    if not len(text.only(part.kinds, part.sources).lines):
        raise DataError(
            f"parts: {part.name}: the training text has no line of these kinds and sources",
            hint="set other kinds or sources, or leave the part out",
        )


def _asked(share: float, room: int) -> int:
    """Pieces that a part is asked for."""
    return int(share * room * _SPARE)


def _trained(config: TokenizerConfig, part: Part, text: TrainingText, folder: Path, fixed: int) -> bytes:
    lines = cut(text.only(part.kinds, part.sources).lines, part.morphemes or config.morphemes, config.split_scripts)
    size = fixed + _asked(part.share, config.vocab_size - fixed)
    try:
        return sentencepiece_training.learn(
            lines, config, folder / f"{part.name}.tmp", vocab_size=size, hard_vocab_limit=False
        )
    except DataError as error:
        found = re.search(r"required_chars\. \d+ vs (\d+)", error.message)
        hint = _mend(config, part, fixed, int(found.group(1))) if found else "give the part more text, or leave it out"
        raise DataError(f"parts: {part.name}: {error.message}", hint=hint) from error


def _mend(config: TokenizerConfig, part: Part, fixed: int, needed: int) -> str:
    """What to do where single characters alone are more than the pieces of a part: each way with its figure."""
    wanted = (needed - fixed + 1) / _SPARE
    share = math.ceil(wanted / (config.vocab_size - fixed) * 1000) / 1000
    ways = [f"set vocab_size to {fixed + math.ceil(wanted / part.share)} or more"]
    if share <= 1 and len(config.parts) > 1:
        ways.append(f"give the part a larger share ({share:g} or more)")
    if config.required_characters != "none":
        ways.append("set required_characters: none")
    return f"{', '.join(ways)}, or lower character_coverage (single characters alone need {needed - fixed:,} pieces)"


def check_enough(parts: Sequence[Part], ranked: Sequence[list[tuple[str, float]]], *, fixed: int, room: int) -> None:
    """Refuse vocabularies whose union does not give `room` pieces, or has more single characters than that.

    Args:
        fixed: ids that are no pieces: special tokens and bytes.
    Raises:
        DataError: with the parts that fell short and a vocab_size that works.
    """
    union = {piece for pieces in ranked for piece, _ in pieces}
    single = sum(len(piece) == 1 for piece in union)
    if single > room:
        raise DataError(
            f"parts: single characters alone are {single:,}, and there is room for {_pieces(room)}",
            hint=f"set vocab_size to {fixed + single} or more, lower character_coverage, or require fewer",
        )
    if len(union) >= room:
        return
    short = [
        f"{part.name} gives {len(pieces):,} of {_asked(part.share, room):,} asked for"
        for part, pieces in zip(parts, ranked, strict=True)
        if len(pieces) < _asked(part.share, room)
    ]
    works = _enough_for(parts, [len(pieces) for pieces in ranked], len(union), room)
    ways = [f"set vocab_size to {fixed + works} or less"] if works > single else []
    if len(short) == 1:
        common = sum(map(len, ranked)) - len(union)
        given = next(
            len(have) for part, have in zip(parts, ranked, strict=True) if len(have) < _asked(part.share, room)
        )
        share = math.floor((1 - (room + common - given + len(parts)) / (_SPARE * room)) * 1000) / 1000
        less = f"a smaller share ({share:g} or less) or " if share > 0 else ""
        ways.append(f"give this part {less}more text")
    else:
        ways.append("give these parts smaller shares or more text" if short else "let the parts have less in common")
    raise DataError(
        f"parts: together they give {_pieces(len(union))}, {room:,} are wanted"
        + (f" ({'; '.join(short)})" if short else ""),
        hint=", or ".join(ways),
    )


def _enough_for(parts: Sequence[Part], given: Sequence[int], union: int, room: int) -> int:
    """The most pieces that the parts surely give: all they gave at most, and as many in common as now. 0 if none."""
    common = sum(given) - union
    for size in range(room, 0, -1):
        if (
            sum(min(number, _asked(part.share, size)) for part, number in zip(parts, given, strict=True)) - common
            >= size
        ):
            return size
    return 0


def _pieces(count: int) -> str:
    return f"{count:,} piece{'' if count == 1 else 's'}"


def merged(ranked: Sequence[list[tuple[str, float]]], shares: list[float], size: int) -> list[str]:
    """The union of vocabularies: all single characters, then pieces by rank so that each part has its share.

    Args:
        ranked: (piece, score) of each part, best first.
        size: pieces in the union; `check_enough` says whether there are so many.

    >>> merged([[("の", -3), ("東京", -5), ("都庁", -6)], [("a", -2), ("the", -4), ("of", -5)]], [0.5, 0.5], 4)
    ['の', 'a', '東京', 'the']
    """
    union = dict.fromkeys(piece for pieces in ranked for piece, _ in pieces if len(piece) == 1)
    longer = [[piece for piece, _ in pieces if len(piece) > 1] for pieces in ranked]
    taken = [0] * len(ranked)
    owned = [sum(len(piece) == 1 for piece, _ in pieces) for pieces in ranked]
    while len(union) < size:
        behind = [(owned[part] / share, part) for part, share in enumerate(shares) if taken[part] < len(longer[part])]
        part = min(behind)[1]
        piece = longer[part][taken[part]]
        taken[part] += 1
        owned[part] += 1
        union.setdefault(piece)
    return list(union)
