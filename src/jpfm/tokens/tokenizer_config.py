"""Settings of `jpfm tokenizer train`: the model, its training text and its special tokens.

Defaults are what the figures at the fields speak for; `configs/tokenizer/` holds recipes by size. A field says what
it costs. All checks that need no text are made here, before any text is read.
"""

from typing import Annotated, Literal, Self

import pydantic

from jpfm.core.config import Settings, place
from jpfm.tokens.characters import Required
from jpfm.tokens.special_tokens import NEWLINE, SpecialTokens

Share = Annotated[float, pydantic.Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Kind = Literal["japanese", "english", "code"]
Morphemes = Literal["short", "bunsetsu", "none"]
SplitScripts = Literal["none", "sentencepiece", "strict"]


class Shares(Settings):
    """How much of the training text is of each kind, as shares of their sum.

    The kind of a line: `code` between Markdown fences, or without kana and kanji where one in eight characters that are
    no space is one of `{}()[]<>=;:_/\\|&*#$@"'` + backquote; `japanese` with a kana or kanji; `english` all else.
    """

    japanese: Share = 0
    english: Share = 0
    code: Share = 0

    @pydantic.model_validator(mode="after")
    def _some(self) -> Self:
        if self.japanese + self.english + self.code <= 0:
            raise ValueError("all shares are 0; give at least one kind a share")
        return self


class Part(Settings):
    """A vocabulary of its own, trained on a part of the text and merged with the others."""

    name: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9_-]+$")]
    share: Annotated[float, pydantic.Field(gt=0, le=1)]
    """Share of the pieces that are learned."""
    kinds: tuple[Kind, ...] = ()
    """Kinds of lines it is trained on; empty takes all."""
    sources: tuple[str, ...] = ()
    """Sources it is trained on; empty takes all."""
    morphemes: Morphemes | None = None
    """Other cuts than the tokenizer's, e.g. none for code."""


class TokenizerConfig(Settings):
    """Settings of `jpfm tokenizer train`."""

    stage: Literal["tokenizer"]
    corpus: str | None = place()
    """Folder of a corpus artifact."""
    model: Literal["unigram", "bpe"] = "unigram"
    """Both spell unknown characters in bytes."""
    vocab_size: Annotated[int, pydantic.Field(ge=400, le=1_000_000)] = 32_000
    """All ids: pieces, special and reserved tokens, 256 bytes, the line end."""
    pad_vocab_to_multiple_of: Annotated[int, pydantic.Field(ge=1, le=4096)] = 1
    """Reserved tokens are added behind the pieces until the vocabulary is a multiple of this."""
    character_coverage: Annotated[float, pydantic.Field(ge=0.98, le=1)] = 0.9995
    """Share of characters that get a piece; the rest is spelled in bytes."""
    required_characters: Required = "basic"
    """Characters that get a piece even where the text holds none. `basic`: ASCII, kana, letters and digits of both
    widths, symbols (618 in all); `jis-level-1`: and 2,965 kanji; `none`: coverage alone decides."""
    morphemes: Morphemes = "bunsetsu"
    """Where training text is cut, so that no piece spans a cut. `short`: at UniDic words. `bunsetsu`: not before the
    particles, auxiliaries and suffixes behind a content word. `none`: nowhere. Held-out text at 24,000 pieces,
    characters a token, and share of UniDic word ends that are token ends: short 1.86, 99 %; bunsetsu 2.09, 86 %;
    none 2.27, 76 %, in seven times the training time."""
    split_digits: bool = True
    """Digits (ASCII and full width) one by one."""
    split_scripts: SplitScripts = "sentencepiece"
    """No piece spans two scripts. `sentencepiece` takes kana and kanji as one script; `strict` keeps kanji, hiragana,
    katakana, Latin and other apart; `none` lets pieces span scripts."""
    max_piece_chars: Annotated[int, pydantic.Field(ge=1, le=64)] = 12
    max_training_chars: Annotated[int, pydantic.Field(ge=1000)] = 20_000_000
    """At most this much text is used for training, taken evenly over the corpus."""
    weights: dict[str, Share] | None = None
    """Source name -> share of the training text, in parts of their sum. Every source of the corpus is named; 0 leaves
    one out. null takes sources by size."""
    shares: Shares | None = None
    """Shares of kinds of lines. null takes lines as they come."""
    short_text: Literal["error", "less", "repeat"] = "error"
    """Where `weights` or `shares` ask for more text than there is: stop; use less text in all, so that the shares
    hold; or repeat what is short (the log says what, and how often). Text is short where a whole source, or a kind
    over all sources, cannot give its share: what one source lacks of a kind is taken of others that have it."""
    parts: tuple[Part, ...] = ()
    """Vocabularies trained apart and merged (Unigram only). Empty trains one."""
    special_tokens: SpecialTokens = SpecialTokens()
    seed: int = 0
    """Which lines are taken where not all are."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights is not None and sum(self.weights.values()) <= 0:
            raise ValueError("weights: all are 0; give at least one source a share")
        if self.parts:
            if self.model != "unigram":
                raise ValueError("parts: merged vocabularies need model: unigram (BPE has no scores to estimate again)")
            if len({part.name for part in self.parts}) < len(self.parts):
                raise ValueError("parts: two have the same name")
            if abs(sum(part.share for part in self.parts) - 1) > 1e-6:
                raise ValueError(f"parts: the shares make {sum(part.share for part in self.parts):g}, not 1")
        taken = len(self.special_tokens.control) + len(self.special_tokens.in_text)
        if self.vocab_size < taken + 256 + 4 + 64:
            raise ValueError(
                f"vocab_size {self.vocab_size} leaves no pieces beside {taken} special tokens and 256 bytes"
            )
        return self


__all__ = [
    "NEWLINE",
    "Kind",
    "Morphemes",
    "Part",
    "Share",
    "Shares",
    "SpecialTokens",
    "SplitScripts",
    "TokenizerConfig",
]
