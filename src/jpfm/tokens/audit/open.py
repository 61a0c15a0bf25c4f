"""Open whatever tokenizer a person names for an audit, or say in a line what is wrong with it.

    open_tokenizers(["ours=out/tokenizer", "llama.model", "models/bert-japanese"])

Takes a folder (an artifact of jpfm, or one of Hugging Face) or a file (`.model` of SentencePiece, `tokenizer.json`).
An artifact of jpfm is read by its `sentencepiece.model`, whose ids its training compared with `tokenizer.json`; any
other folder by `tokenizer.json`, which is what transformers reads.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

from jpfm.core.artifact import MANIFEST, Artifact, open_artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.audit.tokenizer import (
    AuditedTokenizer,
    FastBackend,
    SentencePieceBackend,
    fast_pieces,
    is_byte_level,
    sentencepiece_pieces,
)

_FAST = "tokenizer.json"
_MODELS = ("sentencepiece.model", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_ALGORITHMS = {1: "Unigram", 2: "BPE", 3: "word", 4: "character"}


class Opened(NamedTuple):
    """A tokenizer, and the artifact it lies in where it does."""

    tokenizer: AuditedTokenizer
    artifact: Artifact | None


def named(spec: str) -> tuple[str | None, Path]:
    """`NAME=PATH` or `PATH`.

    >>> named("ours=out/tokenizer"), named("out/a=b")
    (('ours', PosixPath('out/tokenizer')), (None, PosixPath('out/a=b')))
    """
    name, sign, path = spec.partition("=")
    if sign and name and path and "/" not in name and not Path(spec).exists():
        return name, Path(path)
    return None, Path(spec)


def open_tokenizers(specs: Sequence[str]) -> list[Opened]:
    """Open several; those of one name get the name of the folder above before it.

    Raises:
        UsageError: nothing is there, or two have one name.
        DataError: a file is no tokenizer, or one that would need code of its own.
    """
    if not specs:
        raise UsageError("tokenizer audit: no tokenizer is named", hint="name folders or .model files to compare")
    given = [named(spec) for spec in specs]
    names = [name or _name(path) for name, path in given]
    shared = {name for name in names if names.count(name) > 1}
    for place, (name, path) in enumerate(given):
        if name is None and names[place] in shared:
            names[place] = f"{path.absolute().parent.name}/{_name(path)}"
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two tokenizers are called '{name}'", hint="name them apart: tokenizer audit a=FOLDER b=FOLDER"
            )
    return [_open(name, path) for name, (_, path) in zip(names, given, strict=True)]


def _name(path: Path) -> str:
    return path.absolute().parent.name if path.name == _FAST else path.absolute().name.removesuffix(".model")


def _open(name: str, path: Path) -> Opened:
    if not path.exists():
        raise UsageError(
            f"{path}: no such file or folder",
            hint="hub names are not looked up; name a folder that holds tokenizer.json",
        )
    artifact = open_artifact(path) if path.is_dir() and (path / MANIFEST).exists() else None
    file = _file(path) if path.is_dir() else path
    data = file.read_bytes()
    if data.startswith(b"version https://git-lfs"):
        raise DataError(f"{file}: is a Git LFS pointer, not the file", hint="run `git lfs pull` in its repository")
    if file.suffix == ".json":
        return Opened(_fast(name, file, data), artifact)
    if file.suffix == ".model":
        return Opened(_sentencepiece(name, file, data), artifact)
    raise UsageError(
        f"{file}: is neither a .model nor a tokenizer.json", hint="name a folder, a .model or a tokenizer.json"
    )


def _file(folder: Path) -> Path:
    """The file that defines the tokenizer of a folder."""
    models = [folder / name for name in _MODELS if (folder / name).is_file()]
    models += sorted(path for path in folder.glob("*.model") if path not in models)
    fast = folder / _FAST
    if models and (models[0].name == _MODELS[0] or not fast.is_file()):
        return models[0]
    if fast.is_file():
        return fast
    config = folder / "tokenizer_config.json"
    if config.is_file() and "auto_map" in config.read_text(encoding="utf-8", errors="replace"):
        raise DataError(
            f"{folder}: its tokenizer is code of its own (auto_map), which is never run",
            hint="save it as a fast tokenizer (tokenizer.json) where you trust that code, and name that folder",
        )
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise UsageError(
        f"{folder}: holds neither tokenizer.json nor a .model of SentencePiece",
        hint=f"it holds {found}; a slow tokenizer becomes a fast one by AutoTokenizer(...).save_pretrained",
    )


def _sentencepiece(name: str, file: Path, data: bytes) -> AuditedTokenizer:
    proto = sentencepiece_model_pb2.ModelProto()
    processor = sentencepiece.SentencePieceProcessor()
    try:
        proto.ParseFromString(data)
        processor.LoadFromSerializedProto(data)
    except Exception as error:
        raise DataError(
            f"{file}: is not a model of SentencePiece: {_first_line(error)}",
            hint="the file is broken or of another program; copy it again",
        ) from error
    if not proto.pieces:
        raise DataError(f"{file}: is a model of SentencePiece without pieces", hint="copy the file again")
    algorithm = f"SentencePiece {_ALGORITHMS[proto.trainer_spec.model_type]}"
    return AuditedTokenizer(
        name, algorithm, hashlib.sha256(data).hexdigest(), sentencepiece_pieces(proto), SentencePieceBackend(processor),
        adds_space=bool(proto.normalizer_spec.add_dummy_prefix),
    )  # fmt: skip


def _fast(name: str, file: Path, data: bytes) -> AuditedTokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:
        raise DataError(
            f"{file}: is not a tokenizer.json: {_first_line(error)}",
            hint="the file is broken, or of a newer `tokenizers` than the one installed",
        ) from error
    whole: dict[str, Any] = json.loads(tokenizer.to_str())
    algorithm = str(whole["model"].get("type"))
    if is_byte_level(whole):
        algorithm = f"byte-level {algorithm}"
    pieces = fast_pieces(tokenizer)
    if not pieces:
        raise DataError(f"{file}: has no pieces", hint="copy the file again")
    probe = tokenizer.encode("あ", add_special_tokens=False)
    adds = bool(probe.tokens) and probe.tokens[0].startswith(("▁", "Ġ"))
    return AuditedTokenizer(
        name, algorithm, hashlib.sha256(data).hexdigest(), pieces, FastBackend(tokenizer), adds_space=adds
    )  # fmt: skip


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
