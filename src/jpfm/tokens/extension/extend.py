"""Add Japanese pieces to an existing tokenizer for continual pretraining: old ids keep number and meaning.

    base = BaseTokenizer.open(Path("models/llama-3"))
    extension = extend_tokenizer(base, lines, VocabularySettings(pieces=5000))
    extension.write(Path("out/tokenizer"))

Pieces are learned by going on with the base's own merges on Japanese text as the base cuts it (`merges`);
for Unigram they are candidates that get scores on the base's scale (`unigram`). `base` says where
they go in tokenizer.json and why they are not added tokens.

Measured on 7.7 million characters of Aozora (23 MB), 5,000 pieces, byte-level base of 8,000: 27 s on one core of a
shared 2-core x86-64 machine, of which the merges take 1.2 s; MeCab and encoding the text take the rest.
"""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pydantic
from sentencepiece import sentencepiece_model_pb2

from jpfm.core.artifact import Artifact, write_text
from jpfm.core.config import Settings
from jpfm.core.errors import DataError
from jpfm.core.log import log
from jpfm.data.build import read_documents
from jpfm.tokens.extension.base import BaseTokenizer, as_text
from jpfm.tokens.extension.merges import I64, Learned, Piece, continue_merges
from jpfm.tokens.extension.pieces import JAPANESE_PATTERN, PieceRules
from jpfm.tokens.extension.unigram import score_pieces
from jpfm.tokens.extension.units import Units, collect_units

_SPARE = 1.5
"""Candidates for each Unigram piece; some are never the best way to spell themselves."""


class VocabularySettings(Settings):
    """Which pieces are added."""

    pieces: Annotated[int, pydantic.Field(ge=1, le=500_000)] = 5_000
    """New pieces. A byte-level base gets parts of characters among them (`PieceRules.japanese_only` says why)."""
    minimum_count: Annotated[int, pydantic.Field(ge=1)] = 20
    """A piece stands in the training text at least this often; its embedding must learn from somewhere."""
    max_training_chars: Annotated[int, pydantic.Field(ge=1000)] = 20_000_000
    """At most this much text is read, taken evenly over the corpus."""
    rules: PieceRules = PieceRules()
    seed: int = 0


@dataclass(frozen=True)
class Extension:
    """An extended tokenizer."""

    base: BaseTokenizer
    document: dict[str, Any]
    """The new tokenizer.json."""
    pieces: tuple[Piece, ...]
    """Piece n has id `base.next_id + n`."""
    scores: tuple[float, ...] | None
    """Of each piece, for Unigram."""
    rules: PieceRules
    training: Mapping[str, Any]
    """Figures of the training text."""

    @property
    def size(self) -> int:
        """The end of the ids."""
        return self.base.next_id + len(self.pieces)

    def tokenizer(self) -> Any:
        """tokenizers.Tokenizer under which names of special tokens are text."""
        return as_text(self.document)

    def spelled_out(self) -> tuple[I64, I64]:
        """Each new piece in base ids, one after the other, and where each begins; shapes (ids,), (pieces + 1,)."""
        lists = [self.base.base_ids(piece.spelled) for piece in self.pieces]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        return np.fromiter(itertools.chain.from_iterable(lists), dtype=np.int64, count=int(offsets[-1])), offsets

    def write(self, folder: Path) -> None:
        """Write the tokenizer's files: those of the base, with the new tokenizer.json.

        The class is written as PreTrainedTokenizerFast: a name such as LlamaTokenizer makes transformers build its own
        normaliser and pre-tokenizer and pass over those of the file; this one takes the file as it is.
        """
        write_text(folder / "tokenizer.json", json.dumps(self.document, ensure_ascii=False, indent=1) + "\n")
        file = self.base.folder / "tokenizer_config.json"
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        for stale in ("auto_map", "vocab_file", "tokenizer_file", "name_or_path"):
            settings.pop(stale, None)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_text(folder / "tokenizer_config.json", json.dumps(settings, ensure_ascii=False, indent=1) + "\n")
        for name in ("chat_template.jinja", "special_tokens_map.json"):
            if (self.base.folder / name).exists():
                write_text(folder / name, (self.base.folder / name).read_text(encoding="utf-8"))
        if (model := self._sentencepiece()) is not None:
            (folder / "sentencepiece.model").write_bytes(model)

    def _sentencepiece(self) -> bytes | None:
        """The base's SentencePiece model with the pieces added, where it is Unigram and beside the base."""
        file = self.base.folder / "sentencepiece.model"
        if self.scores is None or not file.exists():
            return None
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(file.read_bytes())
        if len(proto.pieces) != self.base.next_id:
            log.warning("%s has %d pieces, tokenizer.json %d: not extended", file, len(proto.pieces), self.base.next_id)
            return None
        for piece, score in zip(self.pieces, self.scores, strict=True):
            proto.pieces.add(piece=piece.spelled.decode().replace(" ", "▁"), score=score)
        proto.trainer_spec.vocab_size = len(proto.pieces)
        return bytes(proto.SerializeToString(deterministic=True))


def training_lines(corpus: Artifact, settings: VocabularySettings) -> Iterable[pl.Series]:
    """Lines of the train split, every k-th so that the budget is kept; without Japanese ones only where that is asked.

    Yields:
        One series a batch of documents.
    """
    total = int(corpus.manifest.stats["total"]["chars"])
    stride = max(1, -(-total // settings.max_training_chars))
    position = settings.seed % stride
    for batch in read_documents(corpus, ["text"], split="train"):
        lines = pl.Series("line", pl.from_arrow(batch.column("text"))).str.split("\n").explode()
        lines = lines.filter(lines.str.len_chars() > 0)
        taken = lines.gather_every(stride, (-position) % stride) if len(lines) else lines
        position += len(lines)
        if settings.rules.japanese_only:
            taken = taken.filter(taken.str.contains(JAPANESE_PATTERN))
        yield taken


def extend_tokenizer(base: BaseTokenizer, lines: Iterable[pl.Series], settings: VocabularySettings) -> Extension:
    """Learn new pieces.

    Raises:
        DataError: the text gives fewer pieces than are asked for.
    """
    units = collect_units(lines, base, settings.rules.morphemes)
    log.info("base tokens: %s, distinct units: %s", f"{units.tokens:,}", f"{len(units.counts):,}")
    unigram = base.family == "unigram"
    learned = continue_merges(
        units, base.spelling, base.taken, settings.rules.allows, first_id=base.next_id,
        limit=int(settings.pieces * _SPARE) + 16 if unigram else settings.pieces,
        minimum_count=settings.minimum_count,
    )  # fmt: skip
    pieces, scores = learned.pieces, None
    if unigram:
        pieces, scores = score_pieces(
            base, units, learned.pieces, learned.counts, num_pieces=settings.pieces,
            minimum_count=settings.minimum_count,
        )  # fmt: skip
    elif len(pieces) == settings.pieces:
        learned = _only_reachable(base, learned)
        pieces = learned.pieces
    if len(pieces) < settings.pieces:
        fewer = f"set vocabulary.pieces={len(pieces)} or " if pieces else ""
        raise DataError(
            f"vocabulary.pieces is {settings.pieces:,}, but the text gives only {len(pieces):,} at "
            f"vocabulary.minimum_count={settings.minimum_count}",
            hint=f"{fewer}lower vocabulary.minimum_count, or give more text",
        )
    document = base.with_pieces(pieces, scores)
    figures = _figures(units, pieces)
    log.info("new pieces: %d, of them whole characters: %d", len(pieces), figures["whole_characters"])
    return Extension(base, document, tuple(pieces), tuple(scores) if scores else None, settings.rules, figures)


def _only_reachable(base: BaseTokenizer, learned: Learned) -> Learned:
    """Refuse a piece that its own text does not give.

    Raises:
        DataError: there is one. The merges are the base's own, continued, so this shows a tokenizer.json with rules
            that are not known here; it is not a matter of the text.
    """
    model = as_text(base.with_pieces(learned.pieces)).model
    for number, piece in enumerate(learned.pieces):
        name = base.piece_name(piece.spelled)
        found = [token.id for token in model.tokenize(name)]
        if found != [base.next_id + number]:
            raise DataError(
                f"new piece {piece.spelled.decode(errors='backslashreplace')!r} is encoded as {found}",
                hint="the base's tokenizer.json has settings that are not supported; report its model section",
            )
    return learned


def _figures(units: Units, pieces: Iterable[Piece]) -> dict[str, Any]:
    listed = list(pieces)
    whole = sum(is_text(piece.spelled) for piece in listed)
    return {
        "base_tokens": units.tokens,
        "distinct_units": len(units.counts),
        "characters_added": sum(piece.left is None for piece in listed),
        "whole_characters": whole,
        "parts_of_characters": len(listed) - whole,
        "rarest_piece_count": min((piece.places for piece in listed), default=0),
    }


def is_text(spelled: bytes) -> bool:
    """Whether a piece is whole characters."""
    try:
        spelled.decode()
    except UnicodeDecodeError:
        return False
    return True


def old_embedding_ids(base: BaseTokenizer) -> npt.NDArray[np.int64]:
    """Ids that the base tokenizer names: the rows whose mean and spread stand for the old embedding."""
    return np.array(sorted(base.names), dtype=np.int64)
