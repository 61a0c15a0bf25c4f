"""Small base tokenizers of the families that real models have, trained here: code, English and some Japanese."""

import io
import json
from pathlib import Path
from typing import Any, Literal

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from jpfm.tokens.extension import base, checks, extend, units

BaseFamily = Literal["llama3", "qwen", "llama2", "unigram"]
FAMILIES: tuple[BaseFamily, ...] = ("llama3", "qwen", "llama2", "unigram")
ENGLISH = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "for number, line in enumerate(lines): total += len(line)  # counted once",
    "It's 1,234.56 dollars; they'll pay on 2024-05-17 — naïve café “quoted” … 😀👩‍👩‍👧",
    "\tif (value == NULL) { return -1; }\r\n    // done",
    "Привет, мир! 안녕하세요 세계 Ελλάδα",
    "",
    "   ",
]
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


def code_lines() -> list[str]:
    """Lines of some of our modules."""
    files = [Path(str(module.__file__)) for module in (extend, base, checks, units)]
    return [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]


def make(family: BaseFamily, folder: Path, japanese: list[str]) -> Path:
    """Train a base tokenizer into a folder, with a special token that is added after the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*code_lines(), *ENGLISH * 5, *japanese]
    made = {"llama3": _byte_level, "qwen": _byte_level, "llama2": _characters, "unigram": _unigram}[family](lines)
    if family == "llama3":
        document = json.loads(made.to_str())
        document["model"]["ignore_merges"] = True
        made = Tokenizer.from_str(json.dumps(document))
    if family == "qwen":
        made.normalizer = normalizers.NFC()
    made.add_special_tokens(["<|end|>", "<|pad|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>")
    fast.save_pretrained(folder)
    return folder


def _byte_level(lines: list[str]) -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(lines, trainer)
    return made


def _characters(lines: list[str]) -> Any:
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=900, limit_alphabet=250, max_token_length=8, special_tokens=names, show_progress=False
    )
    made.train_from_iterator(lines, trainer)
    document = json.loads(made.to_str())
    document["added_tokens"] = [t for t in document["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(document))


def _unigram(lines: list[str]) -> Any:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="unigram", vocab_size=1600,
        character_coverage=0.985, byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return made
