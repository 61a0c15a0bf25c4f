"""Vocabularies trained apart on parts of the text (Japanese, English, code), merged, their scores estimated again.

    model = learn(config, text, folder)                 # config.parts names the parts and their shares

LLM-jp's way: each part keeps its share of the vocabulary whatever its share of the text, so that a little English or
code is not crowded out. Each part is trained on its own lines, three tenths larger than its share where the text gives
so many; the union takes all single characters, then the best pieces of each part by turns of its share until the
vocabulary is full (pieces that two parts know count for both). Then `estimation` gives all pieces scores from the whole
mixture.
"""

from collections.abc import Iterable
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
    fixed = 4 + 256 + len(config.special_tokens.control) + len(config.special_tokens.in_text)
    room = config.vocab_size - fixed
    models = [_trained(config, part, text, folder, fixed + int(part.share * room * _SPARE)) for part in config.parts]
    base = read(models[0])
    ranked = []
    for model in models:
        scored = [(piece.piece, piece.score) for piece in read(model).pieces if piece.type == piece.NORMAL]
        ranked.append(sorted(scored, key=lambda item: (-item[1], item[0])))
    shares = [part.share for part in config.parts]
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


def _trained(config: TokenizerConfig, part: Part, text: TrainingText, folder: Path, vocab_size: int) -> bytes:
    for name in part.sources:
        if name not in text.sources:
            raise UsageError(
                f"parts: {part.name}: {name!r} names no source of the corpus",
                hint=f"the corpus has: {', '.join(text.sources)}",
            )
    lines = text.only(part.kinds, part.sources).lines
    if not len(lines):
        raise DataError(
            f"parts: {part.name}: the training text has no line of these kinds and sources",
            hint="set other kinds or sources, or leave the part out",
        )
    lines = cut(lines, part.morphemes or config.morphemes, config.split_scripts)
    try:
        return sentencepiece_training.learn(
            lines, config, folder / f"{part.name}.tmp", vocab_size=vocab_size, hard_vocab_limit=False
        )
    except DataError as error:
        raise DataError(
            f"parts: {part.name}: {error.message}", hint="give the part a smaller share or more text"
        ) from error


def merged(ranked: Iterable[list[tuple[str, float]]], shares: list[float], size: int) -> list[str]:
    """The union of vocabularies: all single characters, then pieces by rank so that each part has its share.

    Args:
        ranked: (piece, score) of each part, best first.
        size: pieces in the union.
    Raises:
        DataError: the parts do not give so many pieces, or single characters alone are more.

    >>> merged([[("の", -3), ("東京", -5), ("都庁", -6)], [("a", -2), ("the", -4), ("of", -5)]], [0.5, 0.5], 4)
    ['の', 'a', '東京', 'the']
    """
    lists = [list(pieces) for pieces in ranked]
    union = dict.fromkeys(piece for pieces in lists for piece, _ in pieces if len(piece) == 1)
    if len(union) > size:
        raise DataError(
            f"single characters alone are {len(union):,} of {size:,} pieces",
            hint="set a larger vocab_size, or lower character_coverage",
        )
    longer = [[piece for piece, _ in pieces if len(piece) > 1] for pieces in lists]
    taken = [0] * len(lists)
    owned = [sum(len(piece) == 1 for piece, _ in pieces) for pieces in lists]
    while len(union) < size:
        behind = [(owned[part] / share, part) for part, share in enumerate(shares) if taken[part] < len(longer[part])]
        if not behind:
            raise DataError(
                f"the parts give {len(union):,} pieces, {size:,} are wanted", hint="set a smaller vocab_size"
            )
        part = min(behind)[1]
        piece = longer[part][taken[part]]
        taken[part] += 1
        owned[part] += 1
        union.setdefault(piece)
    return list(union)
