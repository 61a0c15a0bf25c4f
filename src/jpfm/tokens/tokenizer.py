"""Train a SentencePiece Unigram tokenizer on Japanese morphemes and export it to transformers, ids equal.

    artifact = train(config, corpus, Path("out/tokenizer"))
    tokenizer = load(artifact.path)                     # a transformers fast tokenizer

Training text is cut at UniDic word boundaries by fugashi, so that no piece spans two words; encoding needs no
morphological analyser. Numbers split into digits, unknown characters into bytes, a line end is one piece of its own.

Piece scores are rounded to 1/256. SentencePiece adds scores in 32-bit floats and transformers in 64-bit ones; with
multiples of 1/256 both sums are exact, so that ties (……, ーーー) fall the same way. `train` checks the ids on every
line of the corpus and refuses to finish where one differs.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import pydantic
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.config import Settings, place
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.log import log, progress
from jpfm.data.build import read_documents

VERSION = 1
SPECIALS = ("<|unk|>", "<|bos|>", "<|eos|>", "<|pad|>")  # not <s>: that stands in HTML and C++
UNK, BOS, EOS, PAD = range(4)
NEWLINE = "\n"
_CUT = "\u001f"  # unit separator: cannot stand in normalised text
_SCORE_STEP = 256.0
_NEVER = -1e6


class TokenizerConfig(Settings):
    """Settings of `jpfm tokenizer train`."""

    stage: Literal["tokenizer"]
    corpus: str | None = place()
    """Folder of a corpus artifact."""
    vocab_size: Annotated[int, pydantic.Field(ge=400, le=1_000_000)] = 32_000
    """Pieces, with 4 special tokens, 256 bytes and the line end."""
    character_coverage: Annotated[float, pydantic.Field(ge=0.98, le=1)] = 0.9995
    """Share of characters that get a piece; the rest is spelled in bytes."""
    morphemes: bool = True
    """Cut training text at UniDic word boundaries."""
    max_piece_chars: Annotated[int, pydantic.Field(ge=1, le=64)] = 12
    max_training_chars: Annotated[int, pydantic.Field(ge=1000)] = 20_000_000
    """At most this much text is used for training, taken evenly over the corpus."""
    extra_tokens: tuple[str, ...] = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
    """Reserved tokens for later fine-tuning."""
    seed: int = 0


def train(config: TokenizerConfig, corpus: Artifact, out: Path) -> Artifact:
    """Train and export a tokenizer.

    Raises:
        DataError: the corpus is too small for the vocabulary, or an exported id differs from SentencePiece's.
    """

    def work(draft: Draft) -> Finished:
        draft.status("training SentencePiece")
        model = _train_model(config, corpus)
        (draft.path / "sentencepiece.model").write_bytes(model)
        draft.status("exporting and comparing ids")
        export(model, draft.path, config.extra_tokens)
        return Finished(_compare(draft.path, corpus))

    return artifacts.produce(
        out, kind="tokenizer", version=VERSION, config=config.identity(), parents=[corpus], work=work
    )


def _sampled_lines(config: TokenizerConfig, corpus: Artifact) -> Iterator[str]:
    """Training lines: every k-th line of the train split so that the budget is kept, the same ones every time."""
    total = corpus.manifest.stats["total"]["chars"]
    stride = max(1, -(-total // config.max_training_chars))
    position = config.seed % stride
    for batch in read_documents(corpus, ["text"], split="train"):
        lines = pl.Series(pl.from_arrow(batch.column("text"))).str.split("\n").explode()
        for line in lines.to_list():
            if line:
                if position % stride == 0:
                    yield line
                position += 1


def _morpheme_cuts(lines: Iterator[str]) -> Iterator[str]:
    """Mark word boundaries. A space in the text is kept as it is written."""
    import fugashi

    tagger = fugashi.Tagger("-Owakati")
    for line in lines:
        pieces = []
        for part in re.split(r"(\s+)", line):
            if part and not part.isspace():
                pieces.append(_CUT.join(tagger.parse(part).split()))
            else:
                pieces.append(part)
        yield "".join(pieces)


def _train_model(config: TokenizerConfig, corpus: Artifact) -> bytes:
    lines = _sampled_lines(config, corpus)
    chars = 0

    def counted() -> Iterator[str]:
        nonlocal chars
        with progress("tokenizer text", total=corpus.manifest.stats["total"]["chars"] / 1e6, unit="M chars") as bar:
            for line in _morpheme_cuts(lines) if config.morphemes else lines:
                here = len(line) - line.count(_CUT)
                chars += here
                bar.advance(here / 1e6)
                yield line

    model = io.BytesIO()
    options: dict[str, Any] = {"pretokenization_delimiter": _CUT} if config.morphemes else {}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=counted(),
            model_writer=model,
            model_type="unigram",
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            max_sentencepiece_length=config.max_piece_chars,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            required_chars=_spelled((*SPECIALS, *config.extra_tokens)),
            split_digits=True,
            byte_fallback=True,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=[NEWLINE],
            control_symbols=list(config.extra_tokens),  # never read out of text
            unk_id=UNK, bos_id=BOS, eos_id=EOS, pad_id=PAD,
            unk_piece=SPECIALS[UNK], bos_piece=SPECIALS[BOS], eos_piece=SPECIALS[EOS], pad_piece=SPECIALS[PAD],
            max_sentence_length=1 << 20,
            num_threads=4,  # part of the result: expected counts are summed thread by thread
            input_sentence_size=0,
            shuffle_input_sentence=False,
            minloglevel=2,
            **options,
        )  # fmt: skip
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].strip() or str(error)
        raise DataError(
            f"SentencePiece cannot train {config.vocab_size} pieces on {chars:,} characters: {reason}",
            hint=_mend(reason),
        ) from error
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    for piece in proto.pieces:
        piece.score = round(piece.score * _SCORE_STEP) / _SCORE_STEP
    return bytes(proto.SerializeToString(deterministic=True))


def _mend(reason: str) -> str:
    """What to do about SentencePiece's complaint, in this config's words."""
    if found := re.search(r"value <= (\d+)", reason):
        return f"set vocab_size to {found.group(1)} or less, or give it more text"
    if found := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return (
            f"set vocab_size above {found.group(1)} (pieces that single characters take), or lower character_coverage"
        )
    return "set another vocab_size, or give it more text"


def _spelled(tokens: tuple[str, ...]) -> str:
    """The characters that spell control and byte pieces: with a piece each, text that spells one stays text."""
    return "".join(sorted(set("".join(tokens) + "<0x>ABCDEF")))


def _score(piece: Any) -> float:
    """SentencePiece finds no control or byte piece in text; transformers does, unless spelling it out costs less."""
    in_text = piece.type in (piece.NORMAL, piece.USER_DEFINED, piece.UNKNOWN)
    return float(piece.score) if in_text else _NEVER


def export(model: bytes, folder: Path, extra_tokens: tuple[str, ...]) -> None:
    """Write the transformers files of a SentencePiece Unigram model that was trained by `train`."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    tokenizer = Tokenizer(
        models.Unigram([(piece.piece, _score(piece)) for piece in proto.pieces], unk_id=UNK, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.add_tokens([AddedToken(NEWLINE, special=False, normalized=False)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in extra_tokens])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=SPECIALS[UNK], bos_token=SPECIALS[BOS], eos_token=SPECIALS[EOS],
        pad_token=SPECIALS[PAD], clean_up_tokenization_spaces=False, model_max_length=1 << 20,
    )  # fmt: skip
    fast.save_pretrained(folder)


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Open the transformers tokenizer of a tokenizer or checkpoint folder. Never runs code from the folder."""
    if not (folder / "tokenizer.json").exists():
        raise ArtifactError(f"{folder} holds no tokenizer.json", hint="name a tokenizer or checkpoint folder")
    return PreTrainedTokenizerFast.from_pretrained(folder)


def load_sentencepiece(artifact: Artifact) -> sentencepiece.SentencePieceProcessor:
    """Open the SentencePiece model of a tokenizer artifact; the fast path for packing."""
    return sentencepiece.SentencePieceProcessor(model_file=str(artifact.path / "sentencepiece.model"))


def _compare(folder: Path, corpus: Artifact) -> dict[str, Any]:
    """Encode every line of the corpus both ways; the figures for the manifest."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    fast = load(folder)
    fast._tokenizer.encode_special_tokens = True  # text that spells <|eos|> is text, as SentencePiece reads it
    lines_done = chars = tokens = byte_tokens = 0
    first_byte, last_byte = pieces.piece_to_id("<0x00>"), pieces.piece_to_id("<0xFF>")
    used: set[int] = set()
    total = corpus.manifest.stats["total"]["chars"] / 1e6
    with progress("comparing ids", total=total, unit="M chars") as bar:
        for batch in read_documents(corpus, ["text"]):
            lines = pl.Series(pl.from_arrow(batch.column("text"))).str.split("\n").explode().drop_nulls().to_list()
            expected = pieces.encode(lines, num_threads=2)
            found = fast._tokenizer.encode_batch_fast(lines, add_special_tokens=False)
            for line, right, encoding in zip(lines, expected, found, strict=True):
                if right != encoding.ids:
                    raise DataError(
                        f"the exported tokenizer differs from SentencePiece on {line[:80]!r}: "
                        f"{encoding.ids[:12]} for {right[:12]}",
                        hint="report this line; do not use the tokenizer",
                    )
                tokens += len(right)
                byte_tokens += sum(first_byte <= token <= last_byte for token in right)
                used.update(right)
            size = sum(map(len, lines))
            chars += size
            lines_done += len(lines)
            bar.advance(size / 1e6)
    log.info("ids equal on %s lines; %.3f characters a token", f"{lines_done:,}", chars / max(tokens, 1))
    return {
        "vocab_size": pieces.vocab_size(),
        "lines_compared": lines_done,
        "chars": chars,
        "tokens": tokens,
        "chars_per_token": round(chars / max(tokens, 1), 4),
        "byte_token_share": round(byte_tokens / max(tokens, 1), 6),
        "pieces_used": len(used),
    }
