"""Scores for new pieces of a Unigram tokenizer, on the scale that its old pieces have.

    chosen, scores = score_pieces(base, units, candidates, num_pieces=2000, minimum_count=20)

A piece's score is the log probability of the text the base was trained on; ours is another. Old pieces that stand in
both tell the difference: new score = log(share in our text) + the median, over our old tokens, of (old score -
log(share in our text)). Shares come from encoding the text with the pieces added, twice (hard EM); old scores are not
touched, so a text without new pieces keeps its ids.

A piece stays only if it is the best way to spell itself. Scores are multiples of 1/256, for SentencePiece and
transformers to break ties alike, and not below the lowest old one, which decides what an unknown character costs.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jpfm.tokens.extension.base import BaseTokenizer, as_text
from jpfm.tokens.extension.merges import I64, Piece
from jpfm.tokens.extension.units import CHARACTER, Units

_STEP = 256.0
_ROUNDS = 2
_FREQUENT = 10


def score_pieces(
    base: BaseTokenizer, units: Units, candidates: Sequence[Piece], counts: I64, *, num_pieces: int, minimum_count: int
) -> tuple[list[Piece], list[float]]:
    """Choose pieces among candidates and score them.

    Args:
        candidates: more than are wanted: some are never the best way to spell themselves.
        counts: how often each stands in the text, as the merges left it.
    Returns:
        At most `num_pieces` pieces, most tokens saved first, and their scores.
    """
    shift = _shift(base, units)
    texts, weights = _texts(base, units)
    pieces, found = list(candidates), counts
    for _ in range(_ROUNDS):
        keep = np.flatnonzero(found >= minimum_count).tolist()
        pieces, found = [pieces[n] for n in keep], found[keep]
        scores = _scores(base, units, found, shift)
        found = _counted(base, pieces, scores, texts, weights)
    saved = np.array([len(base.base_ids(piece.spelled)) - 1 for piece in pieces], dtype=np.int64) * found
    chosen = sorted(np.argsort(-saved, kind="stable")[:num_pieces].tolist())
    while chosen:
        pieces, found = [pieces[n] for n in chosen], found[chosen]
        scores = _scores(base, units, np.maximum(found, 1), shift)
        extended = as_text(base.with_pieces(pieces, scores)).model
        chosen = [n for n, piece in enumerate(pieces) if len(extended.tokenize(_name(piece))) == 1]
        if len(chosen) == len(pieces):
            return pieces, scores
    return [], []


def _name(piece: Piece) -> str:
    return piece.spelled.decode().replace(" ", "▁")


def _shift(base: BaseTokenizer, units: Units) -> float:
    """What to add to a log share of our text to get a score of the base's."""
    old = np.array([score for _, score in base.document["model"]["vocab"]], dtype=np.float64)
    seen = np.flatnonzero(base.ordinary[: len(old)] & (units.token_counts[: len(old)] >= _FREQUENT))
    if not len(seen):
        seen = np.flatnonzero(base.ordinary[: len(old)] & (units.token_counts[: len(old)] > 0))
    if not len(seen):
        return 0.0
    weights = units.token_counts[seen]
    differences = old[seen] - np.log(weights / units.tokens)
    order = np.argsort(differences, kind="stable")
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(differences[order][middle])


def _scores(base: BaseTokenizer, units: Units, counts: npt.NDArray[Any], shift: float) -> list[float]:
    old = [score for number, (_, score) in enumerate(base.document["model"]["vocab"]) if base.ordinary[number]]
    raw = np.clip(np.log(np.maximum(counts, 1) / units.tokens) + shift, min(old), -1 / _STEP)
    return [float(value) for value in np.ceil(raw * _STEP) / _STEP]


def _texts(base: BaseTokenizer, units: Units) -> tuple[list[str], I64]:
    """The units as text, for encoding them anew."""
    names = {number: spelled for number in range(base.next_id) if (spelled := base.spelling(number)) is not None}
    spell = [
        (names.get(symbol, b"") if symbol < CHARACTER else chr(symbol - CHARACTER).encode()).decode()
        for symbol in units.symbols.tolist()
    ]
    ends = units.offsets.tolist()
    return ["".join(spell[a:b]).replace(" ", "▁") for a, b in itertools.pairwise(ends)], units.counts


def _counted(
    base: BaseTokenizer, pieces: Sequence[Piece], scores: Sequence[float], texts: list[str], weights: I64
) -> I64:
    """How often each piece stands in the text when it is encoded with them."""
    document = json.loads(json.dumps(base.with_pieces(pieces, scores), ensure_ascii=False))
    document |= {"normalizer": None, "pre_tokenizer": None, "post_processor": None}
    encodings = as_text(document).encode_batch_fast(texts, add_special_tokens=False)
    lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    ids = np.fromiter((n for e in encodings for n in e.ids), dtype=np.int64, count=int(lengths.sum())) - base.next_id
    here = ids >= 0
    return np.bincount(ids[here], weights=np.repeat(weights, lengths)[here], minlength=len(pieces)).astype(np.int64)
