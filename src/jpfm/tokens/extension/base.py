"""The tokenizer that is to be extended, as its `tokenizer.json` says, and that file with pieces added.

    base = BaseTokenizer.open(Path("models/llama-3"))
    base.family, base.next_id                   # "byte_level_bpe", 128256
    extended = base.with_pieces(pieces)         # the text of a tokenizer.json

Three families: byte-level BPE (GPT-2, Llama 3, Qwen), BPE of characters with byte fallback (Llama 2, Gemma) and Unigram
(jpfm, T5). New ids begin behind the last id of the tokenizer, added and special tokens included. Where the model has
more rows than that (Qwen pads its embedding), the first new pieces take rows that no piece had: ids stay without holes,
so that `len(tokenizer)` is the end of the ids and a token added later gets an id of its own. Refused: beginning behind
the padding; tokenizers gives later tokens the *number* of pieces as id, which with holes is an id in use.

New pieces go into the model's own vocabulary, not among the added tokens. Added tokens are searched before the
pre-tokenizer runs, in the middle of words too, and whatever they cut apart is encoded apart: they would change the ids
of old text and ignore frequency. tokenizers numbers added tokens that the model does not know from the size of the
model's vocabulary on, not from the file; so the old ones are entered there with the ids they have.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from jpfm.core.errors import DataError
from jpfm.tokens.extension.merges import Piece
from jpfm.tokens.extension.pieces import to_bytes, to_piece

Family = Literal["byte_level_bpe", "character_bpe", "unigram"]
_NEVER = -1e6


@dataclass(frozen=True)
class BaseTokenizer:
    """A tokenizer to extend."""

    folder: Path
    document: dict[str, Any]
    """tokenizer.json."""
    family: Family
    text: Any
    """tokenizers.Tokenizer that takes names of special tokens for text."""
    ordinary: npt.NDArray[np.bool_]
    """Whether an id is a model piece that spells text; shape (ids,)."""
    byte_tokens: npt.NDArray[np.bool_]
    """Whether an id is a byte token such as <0xE3>; shape (ids,)."""
    names: dict[int, str]
    """Every id's name, added tokens included."""

    @classmethod
    def open(cls, folder: Path) -> "BaseTokenizer":
        """Read a tokenizer's files. Runs no code from the folder and asks no network.

        Raises:
            DataError: there is no tokenizer, or one of a kind whose ids could not be kept.
        """
        document = _document(folder)
        family = _family(folder, document)
        return cls._of(folder, document, family)

    @classmethod
    def _of(cls, folder: Path, document: dict[str, Any], family: Family) -> "BaseTokenizer":
        model = document["model"]
        vocab = _vocabulary(model)
        added = {token["content"]: int(token["id"]) for token in document.get("added_tokens", [])}
        names = {number: name for name, number in vocab.items()} | {number: name for name, number in added.items()}
        size = max(names) + 1
        ordinary, byte_tokens = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
        ordinary[list(vocab.values())] = True
        if family != "byte_level_bpe" and model.get("byte_fallback"):
            found = [vocab[name] for byte in range(256) if (name := f"<0x{byte:02X}>") in vocab]
            byte_tokens[found] = True
        ordinary[byte_tokens] = False
        ordinary[list(added.values())] = False
        unknown = model.get("unk_id") if family == "unigram" else vocab.get(model.get("unk_token"))
        if unknown is not None:
            ordinary[unknown] = False
        return cls(folder, document, family, as_text(document), ordinary, byte_tokens, names)

    @property
    def byte_level(self) -> bool:
        """Whether pieces spell bytes."""
        return self.family == "byte_level_bpe"

    @property
    def next_id(self) -> int:
        """The first free id."""
        return len(self.ordinary)

    def spelling(self, number: int) -> bytes | None:
        """UTF-8 bytes of a model piece; None for an id that spells no text by itself."""
        return to_bytes(self.names[number], byte_level=self.byte_level) if self.ordinary[number] else None

    @functools.cached_property
    def _spelled(self) -> frozenset[bytes]:
        names = (to_bytes(name, byte_level=self.byte_level) for name in self.names.values())
        return frozenset(name for name in names if name is not None)

    def taken(self, spelled: bytes) -> bool:
        """Whether some id, added tokens included, is named by these bytes, or the normaliser would change them."""
        if spelled in self._spelled:
            return True
        normalizer = self.text.normalizer
        if normalizer is None:
            return False
        try:
            text = spelled.decode()
        except UnicodeDecodeError:
            return False
        return str(normalizer.normalize_str(text)).replace("▁", " ").removeprefix(" ") != text.removeprefix(" ")

    def piece_name(self, spelled: bytes) -> str:
        """How a piece is written in the vocabulary."""
        return to_piece(spelled, byte_level=self.byte_level)

    def base_ids(self, spelled: bytes) -> list[int]:
        """The ids of the base's model for a string, without pre-tokenizer and normaliser; bytes of a part included."""
        return [token.id for token in self.text.model.tokenize(self.piece_name(spelled))]

    def with_pieces(self, pieces: Sequence[Piece], scores: Sequence[float] | None = None) -> dict[str, Any]:
        """tokenizer.json with new pieces behind the old ids; normaliser, pre-tokenizer and decoder stay as they are.

        Args:
            scores: of each piece, for Unigram.
        """
        document = json.loads(json.dumps(self.document, ensure_ascii=False))
        model = document["model"]
        spelled = [self.piece_name(piece.spelled) for piece in pieces]
        if self.family == "unigram":
            assert scores is not None
            missing = range(len(model["vocab"]), self.next_id)
            if absent := [number for number in missing if number not in self.names]:
                raise DataError(
                    f"{self.folder}: id {absent[0]} has no name, and a Unigram vocabulary has no holes",
                    hint="name the unused ids in added_tokens of tokenizer.json",
                )
            model["vocab"] += [[self.names[number], _NEVER] for number in missing]
            model["vocab"] += [[name, score] for name, score in zip(spelled, scores, strict=True)]
            return dict(document)
        vocab = model["vocab"]
        for token in document.get("added_tokens", []):
            vocab.setdefault(token["content"], token["id"])
        vocab |= {name: self.next_id + number for number, name in enumerate(spelled)}
        names = self.names | {self.next_id + number: name for number, name in enumerate(spelled)}
        listed = not model["merges"] or isinstance(model["merges"][0], list)
        for piece in pieces:
            if piece.left is not None and piece.right is not None:
                pair = [names[piece.left], names[piece.right]]
                model["merges"].append(pair if listed else " ".join(pair))
        return dict(document)


def as_text(document: dict[str, Any]) -> Any:
    """A tokenizer of tokenizer.json under which text that spells <|eos|> is text."""
    tokenizer = Tokenizer.from_str(json.dumps(document, ensure_ascii=False))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _document(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer.json"
    try:
        if file.exists():
            text = file.read_text(encoding="utf-8")
            Tokenizer.from_str(text)
        else:
            from transformers import AutoTokenizer  # which imports torch

            text = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            ).backend_tokenizer.to_str()
    except Exception as error:  # whatever a broken or foreign file makes the libraries raise
        reason = (str(error).strip().splitlines() or ["no fast tokenizer"])[0][:160]
        raise DataError(
            f"{folder}: no tokenizer that can be read: {reason}",
            hint="name a folder with tokenizer.json, as save_pretrained writes it",
        ) from error
    return dict(json.loads(text))


def _vocabulary(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    return dict(model["vocab"])


def _family(folder: Path, document: dict[str, Any]) -> Family:
    model = document["model"]
    kind = model.get("type")
    if kind == "Unigram":
        return "unigram"
    if kind != "BPE":
        raise DataError(
            f"{folder}: a {kind} tokenizer; only BPE and Unigram can be extended with their ids kept",
            hint="WordPiece takes the longest piece first: any new piece would change old text. Choose another base",
        )
    for setting in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(setting):
            raise DataError(
                f"{folder}: BPE with {setting} {model[setting]!r}, which is not supported",
                hint="choose a byte-level BPE (GPT-2, Llama 3, Qwen) or one with byte fallback (Llama 2, Gemma)",
            )
    if "ByteLevel" in _types(document.get("decoder")):
        return "byte_level_bpe"
    if model.get("byte_fallback"):
        return "character_bpe"
    raise DataError(
        f"{folder}: BPE that is neither byte-level nor has byte fallback: characters without a piece are lost",
        hint="choose a byte-level BPE (GPT-2, Llama 3, Qwen) or one with byte fallback (Llama 2, Gemma)",
    )


def _types(part: Any) -> set[str]:
    """The types of a decoder and of those in its sequence."""
    if not isinstance(part, dict):
        return set()
    inner = [*part.get("decoders", []), *part.get("pretokenizers", [])]
    return {str(part.get("type"))}.union(*(_types(item) for item in inner))
