"""Write a SentencePiece model as a transformers fast tokenizer with equal ids.

    export(model, config, folder)

Both kinds read ids off the text itself: no pre-tokenizer, a space is ▁, unknown characters are bytes.

Unigram: transformers finds control, unknown and byte pieces in text, SentencePiece never does; a score of -1,000,000
makes spelling them out cheaper.

BPE: SentencePiece joins two neighbours when the *joined string* is a piece, best score first, leftmost first;
transformers joins listed *pairs* by rank. A piece can be joined from several pairs ("東京都" = 東京+都 or 東+京都), so
listing all pairs, as converters do, orders them differently. But only one pair ever makes a given piece: until the
piece stands, no join crossed its ends, so inside it SentencePiece does what it does with the piece as the whole text.
The list therefore has that one pair for each piece, in order of score, and both give equal ids. Pieces that their own
text does not give can never be made and have no pair.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from jpfm.tokens.chat import CHAT_TEMPLATE
from jpfm.tokens.sentencepiece_training import read
from jpfm.tokens.special_tokens import BOS, EOS, NEWLINE, PAD, SPECIALS, UNK, SpecialTokens

_NEVER = -1e6


def export(model: bytes, specials: SpecialTokens, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template of a finished model."""
    proto = read(model)
    kind = proto.trainer_spec.model_type
    tokenizer = Tokenizer(_bpe(proto) if kind == proto.trainer_spec.BPE else _unigram(proto))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    control = [piece.piece for piece in proto.pieces if piece.type == piece.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    in_text = specials.in_text if kind == proto.trainer_spec.BPE else (NEWLINE,)  # Unigram: the score makes them whole
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in in_text])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in control if token not in SPECIALS]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=SPECIALS[UNK], bos_token=SPECIALS[BOS], eos_token=SPECIALS[EOS],
        pad_token=SPECIALS[PAD], clean_up_tokenization_spaces=False, model_max_length=1 << 20,
        chat_template=CHAT_TEMPLATE if specials.chat else None,
    )  # fmt: skip
    fast.save_pretrained(folder)


def _unigram(proto: Any) -> models.Unigram:
    in_text = (proto.pieces[0].NORMAL, proto.pieces[0].USER_DEFINED)
    scored = [(piece.piece, float(piece.score) if piece.type in in_text else _NEVER) for piece in proto.pieces]
    return models.Unigram(scored, unk_id=UNK, byte_fallback=True)


def _bpe(proto: Any) -> models.BPE:
    return models.BPE(
        vocab={piece.piece: index for index, piece in enumerate(proto.pieces)},
        merges=merges([(piece.piece, float(piece.score)) for piece in proto.pieces if piece.type == piece.NORMAL]),
        unk_token=SPECIALS[UNK],
        byte_fallback=True,
    )


def merges(pieces: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """The one pair that makes each piece of a SentencePiece BPE model, best score first.

    Args:
        pieces: the normal pieces with their scores, which differ from each other.

    >>> merges([("東京", -0.0), ("京都", -1.0), ("東京都", -2.0), ("東", -3.0), ("京", -4.0), ("都", -5.0)])
    [('東', '京'), ('京', '都'), ('東京', '都')]
    """
    scores = dict(pieces)
    pairs = ((score, _last_pair(piece, scores)) for piece, score in pieces if len(piece) > 1)
    return [pair for _, pair in sorted(((score, pair) for score, pair in pairs if pair), key=lambda item: -item[0])]


def _last_pair(piece: str, scores: Mapping[str, float]) -> tuple[str, str] | None:
    """Join the characters of a piece as SentencePiece does; the pair of the last join, None if it ends in several."""
    parts = list(piece)
    while len(parts) > 2:
        best, at = -float("inf"), -1
        for index in range(len(parts) - 1):
            score = scores.get(parts[index] + parts[index + 1], -float("inf"))
            if score > best:
                best, at = score, index
        if at < 0:
            return None
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
