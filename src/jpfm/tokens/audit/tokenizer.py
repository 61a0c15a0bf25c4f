"""One face for every tokenizer that an audit compares: ids, pieces and character offsets, whoever made it.

    tokenizer = open_tokenizers(["ours=out/tokenizer"])[0].tokenizer      # audit.open
    tokenizer.encode(["令和7年"]).ids                                     # fast, no offsets
    tokenizer.locate(["令和7年"]).starts                                  # where each token begins, in characters

SentencePiece models are read by SentencePiece itself, `tokenizer.json` by the `tokenizers` library; neither runs code
of a folder nor asks the network. Text that spells a special token is text, no token is added before or after.
A token of a byte-level tokenizer that holds half a character counts as a byte token, like SentencePiece's <0xE3>: so
the shares of both families mean the same. Refused: opening with transformers' AutoTokenizer; it imports torch (4.7 s)
and may run code that lies in the folder.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
KINDS = ("normal", "byte", "unknown", "special", "unused")
NORMAL, BYTE, UNKNOWN, SPECIAL, UNUSED = range(len(KINDS))
_STRAY = re.compile("[\udc80-\udcff]")
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class Encoded(NamedTuple):
    """Token ids of texts, one after the other, and how many each text has."""

    ids: I64
    lengths: I64


class Located(NamedTuple):
    """Token ids with the characters that each covers: text[start:end] of its own text."""

    ids: I64
    lengths: I64
    starts: I64
    ends: I64


class Piece(NamedTuple):
    """One entry of a vocabulary."""

    piece: str
    """As the file writes it."""
    text: str
    """What it spells: ▁ is a space, the letters of a byte-level alphabet are bytes again."""
    kind: int
    raw: bytes | None = None
    """The bytes, of a byte piece."""
    continues: bool = False
    """Only inside a word (WordPiece ##)."""


class Backend(Protocol):
    """What a library does for an audit."""

    def encode(self, texts: list[str]) -> Encoded: ...
    def locate(self, texts: list[str]) -> Located: ...
    def decode(self, encoded: Encoded) -> list[str]: ...
    def encode_only(self, texts: list[str]) -> None:
        """Encode in one thread and drop the result: what a speed is measured on."""


@dataclass(frozen=True)
class AuditedTokenizer:
    """A tokenizer under audit: its vocabulary as columns, and its encoder."""

    name: str
    kind: str
    """Algorithm in words: "SentencePiece Unigram", "byte-level BPE" ..."""
    sha256: str
    """Of the file that defines it."""
    pieces: tuple[Piece, ...]
    backend: Backend
    adds_space: bool = False
    """True when a space is put before a text that has none."""
    kinds: npt.NDArray[np.uint8] = field(init=False)
    inside: Bools = field(init=False)
    """The piece begins inside a character."""
    unfinished: I64 = field(init=False)
    """1 where a character begins in the piece and no piece holds it whole: those spelled in bytes."""

    def __post_init__(self) -> None:
        values = {
            "kinds": np.array([piece.kind for piece in self.pieces], dtype=np.uint8),
            "inside": np.array([_begins_inside(piece.raw) for piece in self.pieces], dtype=np.bool_),
            "unfinished": np.array([_leaves_open(piece.raw) for piece in self.pieces], dtype=np.int64),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary; ids without a piece count, an embedding has them too."""
        return len(self.pieces)

    @property
    def is_byte(self) -> Bools:
        """By id: the piece is a byte, or holds part of a character."""
        return self.kinds == BYTE

    @property
    def is_special(self) -> Bools:
        """By id: a control token, never read out of text."""
        return self.kinds == SPECIAL

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Ids of texts, without special tokens."""
        return self.backend.encode(list(texts))

    def locate(self, texts: Sequence[str]) -> Located:
        """Ids and character offsets. Characters spelled in bytes are told apart where a library joins them."""
        found = self.backend.locate(list(texts))
        return found._replace(starts=_part_bytes(found, self.is_byte, self.inside))

    def round_trip(self, texts: Sequence[str]) -> list[str]:
        """What is left of texts after encoding and decoding."""
        return self.backend.decode(self.backend.encode(list(texts)))

    def cut(self, text: str) -> list[Piece]:
        """The pieces of one text."""
        return [self.pieces[number] for number in self.encode([text]).ids.tolist()]


def _begins_inside(raw: bytes | None) -> bool:
    return bool(raw) and raw is not None and raw[0] & 0xC0 == 0x80


def _leaves_open(raw: bytes | None) -> int:
    """1 when a character begins here that this piece does not hold whole, or holds as a bare byte.

    >>> [_leaves_open(raw) for raw in (b"\\xe3", b"\\x81", "あ".encode() + b"\\xe3", b"A", None)]
    [1, 0, 1, 1, 0]
    """
    if raw is None:
        return 0
    if len(raw) == 1:
        return int(raw[0] & 0xC0 != 0x80)
    lead = next((place for place in range(len(raw) - 1, -1, -1) if raw[place] & 0xC0 != 0x80), None)
    if lead is None:
        return 0
    needed = 1 if raw[lead] < 0x80 else 2 if raw[lead] < 0xE0 else 3 if raw[lead] < 0xF0 else 4
    return int(len(raw) - lead < needed)


def _part_bytes(found: Located, is_byte: Bools, inside: Bools) -> I64:
    """Starts where a run of byte tokens that a library gave one span is counted on, a character for each lead byte."""
    size = len(found.ids)
    if not size:
        return found.starts
    text = np.repeat(np.arange(len(found.lengths)), found.lengths)
    byte, lead = is_byte[found.ids], is_byte[found.ids] & ~inside[found.ids]
    new = np.ones(size, dtype=np.bool_)
    new[1:] = ~(
        byte[1:] & byte[:-1] & (found.starts[1:] == found.starts[:-1]) & (found.ends[1:] == found.ends[:-1])
        & (text[1:] == text[:-1])
    )  # fmt: skip
    run = np.cumsum(new) - 1
    leads = np.bincount(run, weights=lead).astype(np.int64)
    before: I64 = np.cumsum(lead) - lead
    nth: I64 = before - before[new][run]  # lead bytes of this run before this token
    nth = nth - (~lead & byte & (nth > 0))  # a continuation byte belongs to the character before it
    whole = byte & (leads[run] > 1) & (leads[run] == (found.ends - found.starts))
    return np.where(whole, found.starts + nth, found.starts)


class SentencePieceBackend:
    """A `.model` read by SentencePiece."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def encode(self, texts: list[str]) -> Encoded:
        return _joined(self._processor.encode(texts, return_type="numpy", num_threads=-1) if texts else [])

    def locate(self, texts: list[str]) -> Located:
        found = self._processor.encode(texts, return_type="offset_mapping", num_threads=-1) if texts else []
        return _located([one["ids"] for one in found], [one["offsets"] for one in found])

    def decode(self, encoded: Encoded) -> list[str]:
        ids = np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1]) if len(encoded.lengths) else []
        return [str(text) for text in self._processor.decode([one.tolist() for one in ids])] if ids else []

    def encode_only(self, texts: list[str]) -> None:
        self._processor.encode(texts, return_type="numpy", num_threads=1)


class FastBackend:
    """A `tokenizer.json` read by the `tokenizers` library."""

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # text that spells a special token is text
        self._tokenizer = tokenizer

    def encode(self, texts: list[str]) -> Encoded:
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return _joined([np.array(one.ids, dtype=np.int64) for one in found])

    def locate(self, texts: list[str]) -> Located:
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return _located([one.ids for one in found], [one.offsets for one in found])

    def decode(self, encoded: Encoded) -> list[str]:
        ids = np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1]) if len(encoded.lengths) else []
        return [str(t) for t in self._tokenizer.decode_batch([one.tolist() for one in ids], skip_special_tokens=False)]

    def encode_only(self, texts: list[str]) -> None:
        self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)


def _joined(ids: Sequence[npt.NDArray[Any]]) -> Encoded:
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    return Encoded(np.concatenate(ids).astype(np.int64) if len(ids) else np.zeros(0, dtype=np.int64), lengths)


def _located(ids: Sequence[Sequence[int]], offsets: Sequence[Sequence[tuple[int, int]]]) -> Located:
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    total = int(lengths.sum())
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(offsets)), dtype=np.int64, count=2 * total)
    every = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=total)
    return Located(every, lengths, flat[0::2], flat[1::2])


def sentencepiece_pieces(proto: Any) -> tuple[Piece, ...]:
    """The vocabulary of a SentencePiece model."""
    kinds = {1: NORMAL, 2: UNKNOWN, 3: SPECIAL, 4: NORMAL, 5: UNUSED, 6: BYTE}
    return tuple(_spelled(one.piece, kinds[one.type], spaces=True) for one in proto.pieces)


def fast_pieces(tokenizer: Any) -> tuple[Piece, ...]:
    """The vocabulary of a `tokenizer.json`, by id; an id without a piece is unused."""
    whole = json.loads(tokenizer.to_str())
    model = whole["model"]
    written = json.dumps([whole[part] for part in ("normalizer", "pre_tokenizer", "decoder")], ensure_ascii=False)
    added = {token["id"]: token for token in whole["added_tokens"]}
    by_id: dict[int, str] = {number: piece for piece, number in tokenizer.get_vocab(with_added_tokens=True).items()}
    unknown = model.get("unk_token")
    if unknown is None and model.get("unk_id") is not None:
        unknown = by_id.get(model["unk_id"])
    alphabet = _byte_alphabet() if is_byte_level(whole) else None
    prefix = model.get("continuing_subword_prefix") or ""
    found = []
    for number in range(max(by_id, default=-1) + 1):
        piece = by_id.get(number)
        if piece is None:
            found.append(Piece("", "", UNUSED))
        elif piece == unknown:
            found.append(Piece(piece, piece, UNKNOWN))
        elif number in added:
            found.append(Piece(piece, piece, SPECIAL if added[number]["special"] else NORMAL))
        elif alphabet is not None:
            found.append(_from_bytes(piece, alphabet))
        elif prefix and piece.startswith(prefix):
            found.append(Piece(piece, piece.removeprefix(prefix), NORMAL, continues=True))
        else:
            is_byte = bool(model.get("byte_fallback")) and _BYTE_PIECE.fullmatch(piece) is not None
            found.append(_spelled(piece, BYTE if is_byte else NORMAL, spaces="▁" in written))
    return tuple(found)


def is_byte_level(whole: dict[str, Any]) -> bool:
    """True when a `tokenizer.json` spells bytes with letters, as GPT-2 does."""
    return any('"ByteLevel"' in json.dumps(whole[part]) for part in ("normalizer", "pre_tokenizer", "decoder"))


def _spelled(piece: str, kind: int, *, spaces: bool) -> Piece:
    if kind == BYTE:
        match = _BYTE_PIECE.fullmatch(piece)
        return Piece(piece, piece, BYTE, bytes([int(match[1], 16)]) if match else b"")
    return Piece(piece, piece.replace("▁", " ") if spaces and kind == NORMAL else piece, kind)


def _byte_alphabet() -> dict[str, int]:
    """Letter to byte. Printable Latin-1 bytes stand for themselves, the others for 256, 257, ... in their order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def _from_bytes(piece: str, alphabet: dict[str, int]) -> Piece:
    if any(letter not in alphabet for letter in piece):
        return Piece(piece, piece, NORMAL)
    raw = bytes(alphabet[letter] for letter in piece)
    try:
        return Piece(piece, raw.decode("utf-8"), NORMAL)
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")  # a byte that is no character becomes U+DC80 to U+DCFF
        return Piece(piece, _STRAY.sub(lambda match: f"<0x{ord(match[0]) - 0xDC00:02X}>", text), BYTE, raw)
