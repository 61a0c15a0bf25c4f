"""Thresholds over columns. A filter reads no text; changing one rereads columns only."""

from typing import Annotated, Literal

import pydantic

from jpfm.data.steps.base import Filter, Limit

Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class JapaneseShare(Filter):
    """Drop documents that are not Japanese: too few Japanese letters among letters, or no kana (Chinese, lists).

    Needs the `characters` step before it.
    """

    step: Literal["japanese_share"]
    minimum: Share = 0.5
    minimum_kana: Share = 0.05
    needs = ("japanese_share", "kana_share")

    def limits(self) -> tuple[Limit, ...]:
        """Share of Japanese letters, then of kana."""
        return (
            Limit("japanese_share", "not_japanese", minimum=self.minimum),
            Limit("kana_share", "too_little_kana", minimum=self.minimum_kana),
        )


class Length(Filter):
    """Drop documents that are too short or too long, in characters. Needs the `characters` step before it."""

    step: Literal["length"]
    minimum_chars: Annotated[int, pydantic.Field(ge=0)] = 100
    maximum_chars: Annotated[int, pydantic.Field(ge=1)] | None = None
    needs = ("num_chars",)

    def limits(self) -> tuple[Limit, ...]:
        """Too short, then too long."""
        longest = None if self.maximum_chars is None else float(self.maximum_chars)
        return (
            Limit("num_chars", "too_short", minimum=float(self.minimum_chars)),
            Limit("num_chars", "too_long", maximum=longest),
        )


class Mojibake(Filter):
    """Drop documents that were decoded with the wrong encoding before they came here."""

    step: Literal["mojibake"]
    maximum: Share = 0.02
    needs = ("mojibake_share",)

    def limits(self) -> tuple[Limit, ...]:
        """Share of mojibake."""
        return (Limit("mojibake_share", "mojibake", maximum=self.maximum),)


class Repetitive(Filter):
    """Drop keyword spam and machine-repeated text. Needs the `repetition` step before it."""

    step: Literal["repetitive"]
    maximum: Share = 0.4
    needs = ("repeated_ngram_share",)

    def limits(self) -> tuple[Limit, ...]:
        """Share of repeated n-grams."""
        return (Limit("repeated_ngram_share", "repetitive", maximum=self.maximum),)


class Symbols(Filter):
    """Drop documents that are mostly digits and punctuation: price dumps, tables without words."""

    step: Literal["symbols"]
    maximum: Share = 0.5
    needs = ("symbol_share",)

    def limits(self) -> tuple[Limit, ...]:
        """Share of digits and punctuation."""
        return (Limit("symbol_share", "mostly_symbols", maximum=self.maximum),)
