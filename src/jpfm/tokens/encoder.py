"""Any tokenizer as a column function: Arrow text in, token ids of all documents in one array out.

    encoder = Encoder.open(Path("out/tokenizer"))            # or a .model file, or a folder with tokenizer.json
    encoded = encoder.encode(texts)                          # pa.Array of strings
    encoded.ids[encoded.offsets[7] : encoded.offsets[8]]     # document 7, without EOS

Four ways, chosen by what the folder holds, never by what fails. A SentencePiece model over text as it is written (all
that `jpfm tokenizer train` makes) runs in `tokens.unigram` or `tokens.bpe`: 7 to 9 and 5 to 8 times the speed of
SentencePiece, ids equal on every line. SentencePiece models with a normaliser run in SentencePiece, a folder with a
tokenizer.json alone in Hugging Face tokenizers. Text that spells a special token is text in all four.
"""

import array
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.core.errors import ArtifactError, DataError
from jpfm.tokens.bpe import Bpe
from jpfm.tokens.unigram import Unigram

CONTINUES, OTHER, ENDS_SENTENCE, ENDS_LINE = range(4)
"""What a piece is to someone who looks for a place to cut: `Encoder.endings`."""
_MODELS = ("sentencepiece.model", "tokenizer.model", "spiece.model", "spm.model")
_NO_CHARACTER = "\ufffd".encode()  # what tokenizers decodes a part of a character to
_SENTENCE_ENDS = ("。", "！", "？", "．", "!", "?", "」", "』")


class Encoded(NamedTuple):
    """Token ids of documents, one after the other."""

    ids: npt.NDArray[np.uint32]
    """Shape (tokens,)."""
    offsets: npt.NDArray[np.int64]
    """First token of each document, and the end; shape (documents + 1,)."""


class _Backend(Protocol):
    def encode(self, texts: pa.Array) -> Encoded: ...

    def surfaces(self) -> list[bytes]:
        """The text of each id, in bytes."""
        ...


@dataclass(frozen=True)
class Encoder:
    """A tokenizer that encodes columns."""

    vocab_size: int
    """Ids are below it."""
    eos: int | None
    """The id that ends a document, where the tokenizer names one."""
    way: str
    """What runs it: unigram, bpe, sentencepiece or tokenizers."""
    _backend: _Backend

    @classmethod
    def open(cls, place: Path) -> "Encoder":
        """Open a tokenizer folder or a SentencePiece model.

        A folder's `sentencepiece.model` goes first (a tokenizer artifact holds one whose ids were compared with its
        tokenizer.json), then tokenizer.json (what transformers reads), then a model of another name.

        Raises:
            ArtifactError: there is no tokenizer, or it cannot be read.
        """
        own, fast = place / _MODELS[0], place / "tokenizer.json"
        if place.is_file() and place.suffix == ".json":
            return cls._fast(place)
        if place.is_file():
            return cls._sentencepiece(place)
        if not own.exists() and fast.exists():
            return cls._fast(fast)
        model = next((place / name for name in _MODELS if (place / name).exists()), None)
        if model is None:
            what = "holds no tokenizer" if place.is_dir() else "does not exist"
            raise ArtifactError(
                f"{place} {what}: neither {', '.join(_MODELS)} nor tokenizer.json",
                hint="name a tokenizer artifact, a Hugging Face tokenizer folder or a SentencePiece .model",
            )
        return cls._sentencepiece(model)

    @classmethod
    def _sentencepiece(cls, model: Path) -> "Encoder":
        import sentencepiece
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        try:
            proto.ParseFromString(model.read_bytes())
            processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (DecodeError, RuntimeError, OSError) as error:
            raise ArtifactError(
                f"{model} is no SentencePiece model ({str(error).splitlines()[0]})",
                hint="copy it again, or name another",
            ) from error
        eos = processor.eos_id()
        compiled = Unigram.compile(proto) or Bpe.compile(proto)
        backend = _OverBuffers(proto, compiled) if compiled is not None else _SentencePiece(proto, processor)
        return cls(processor.vocab_size(), None if eos < 0 else eos, backend.name, backend)

    @classmethod
    def _fast(cls, file: Path) -> "Encoder":
        import json

        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises nothing narrower
            raise ArtifactError(
                f"{file} is no tokenizer ({str(error).splitlines()[0]})", hint="copy it again, or name another folder"
            ) from error
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings = file.with_name("tokenizer_config.json")
        named = json.loads(settings.read_text(encoding="utf-8")).get("eos_token") if settings.exists() else None
        eos = tokenizer.token_to_id(named["content"] if isinstance(named, dict) else named) if named else None
        highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
        return cls(highest + 1, eos, _Tokenizers.name, _Tokenizers(tokenizer, highest + 1))

    def encode(self, texts: pa.Array) -> Encoded:
        """Token ids of each document, without EOS.

        Args:
            texts: strings without nulls; one document each.
        """
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        if texts.type not in (pa.string(), pa.large_string()) or texts.null_count:
            raise TypeError(f"expected a string column without nulls, got {texts.type} with {texts.null_count} nulls")
        return self._backend.encode(texts)

    def endings(self) -> npt.NDArray[np.uint8]:
        """What each id ends: a line, a sentence, neither; or CONTINUES, a byte inside a character.

        Returns:
            Shape (vocab_size,), uint8.
        """
        found = np.full(self.vocab_size, OTHER, dtype=np.uint8)
        marks = tuple(mark.encode() for mark in _SENTENCE_ENDS)
        for number, surface in enumerate(self._backend.surfaces()):
            if surface.endswith(b"\n"):
                found[number] = ENDS_LINE
            elif surface.endswith(marks):
                found[number] = ENDS_SENTENCE
            elif surface and (0x80 <= surface[0] < 0xC0 or surface.startswith(_NO_CHARACTER)):
                found[number] = CONTINUES
        return found

    def check_eos(self, where: str) -> int:
        """The id that ends a document.

        Raises:
            DataError: the tokenizer names none.
        """
        if self.eos is None:
            raise DataError(
                f"{where}: this tokenizer names no EOS token, which ends each document",
                hint="set eos_token in its tokenizer_config.json, or take a tokenizer with one",
            )
        return self.eos


@dataclass(frozen=True)
class _OverBuffers:
    """Our own search or merges, over Arrow's buffers."""

    proto: Any
    model: Unigram | Bpe

    @property
    def name(self) -> str:
        return "unigram" if isinstance(self.model, Unigram) else "bpe"

    def encode(self, texts: pa.Array) -> Encoded:
        _, offsets, data = texts.buffers()
        kind = np.int32 if texts.type == pa.string() else np.int64
        starts = np.frombuffer(offsets, dtype=kind)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        taken = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
        return Encoded(*self.model.encode(taken, starts))

    def surfaces(self) -> list[bytes]:
        return _proto_surfaces(self.proto)


@dataclass(frozen=True)
class _SentencePiece:
    """SentencePiece itself, a document at a time."""

    proto: Any
    processor: Any
    name = "sentencepiece"

    def encode(self, texts: pa.Array) -> Encoded:
        return _joined(self.processor.encode(texts.to_pylist(), num_threads=1))

    def surfaces(self) -> list[bytes]:
        return _proto_surfaces(self.proto)


@dataclass(frozen=True)
class _Tokenizers:
    """Hugging Face tokenizers."""

    tokenizer: Any
    size: int
    name = "tokenizers"

    def encode(self, texts: pa.Array) -> Encoded:
        found = self.tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        return _joined([encoding.ids for encoding in found])

    def surfaces(self) -> list[bytes]:
        return [
            bytes([int(piece[3:5], 16)]) if len(piece) == 6 and piece.startswith("<0x") else text.encode()
            for piece, text in (
                (self.tokenizer.id_to_token(number) or "", self.tokenizer.decode([number], skip_special_tokens=False))
                for number in range(self.size)
            )
        ]


def _joined(lists: Sequence[Sequence[int]]) -> Encoded:
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    ids = array.array("I", itertools.chain.from_iterable(lists))  # twice as fast as by way of numpy
    return Encoded(np.frombuffer(ids, dtype=np.uint32) if ids else np.empty(0, np.uint32), offsets)


def _proto_surfaces(proto: Any) -> list[bytes]:
    return [
        bytes([int(piece.piece[3:5], 16)]) if piece.type == piece.BYTE else piece.piece.encode()
        for piece in proto.pieces
    ]
