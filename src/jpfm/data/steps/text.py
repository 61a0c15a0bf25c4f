"""Steps that see one document at a time: normalise, measure characters, mask personal data, set documents apart."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.data.document import EDITS
from jpfm.data.steps.base import NO_EDITS, Mapper, Signal, set_text
from jpfm.text import kernels
from jpfm.text.kernels import CLASSES
from jpfm.text.normalize import normalize


class Normalize(Mapper):
    """NFC and the explicit width table of `text.normalize`; never NFKC."""

    step: Literal["normalize"]

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """Every text normalised."""
        return set_text(batch, normalize(batch.column("text"))), NO_EDITS


class Characters(Signal):
    """Count characters by class in one pass over the bytes, and the shares that filters compare."""

    step: Literal["characters"]
    adds = ("num_chars", "num_lines", "japanese_share", "kana_share", "mojibake_share", "symbol_share")

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Counts, and shares of visible characters or of letters."""
        counts = kernels.count_characters(batch.column("text"))
        of = {name: counts[:, index] for index, name in enumerate(CLASSES)}
        visible = np.maximum(of["chars"] - of["spaces"], 1)
        japanese = of["hiragana"] + of["katakana"] + of["kanji"]
        letters = np.maximum(japanese + of["latin"], 1)
        return {
            "num_chars": pa.array(of["chars"]),
            "num_lines": pa.array(of["lines"]),
            "japanese_share": pa.array(japanese / letters),
            "kana_share": pa.array((of["hiragana"] + of["katakana"]) / visible),
            "mojibake_share": pa.array(of["mojibake"] / visible),
            "symbol_share": pa.array((of["punctuation"] + of["digits"]) / visible),
        }


class Repetition(Signal):
    """Share of character 10-grams that stood before in the same document: keyword spam and copied menus are high."""

    step: Literal["repetition"]
    ngram_chars: Annotated[int, pydantic.Field(ge=2, le=64)] = 10
    adds = ("repeated_ngram_share",)

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The share, 0 to 1."""
        return {
            "repeated_ngram_share": pa.array(kernels.repeated_ngram_share(batch.column("text"), size=self.ngram_chars))
        }


class Split(Mapper):
    """Set documents apart for evaluation: column `split` is 'held_out' for a share of them chosen by their text.

    Needs the `characters` step before it.
    """

    step: Literal["split"]
    held_out_share: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.02
    """Share of documents kept out of tokenizer and model training."""
    max_held_out_chars: Annotated[int, pydantic.Field(ge=1)] = 20_000
    """A longer document is never held out: a few books would make up the whole held-out text."""
    seed: int = 0
    needs = ("num_chars",)
    adds = ("split",)

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """The batch with the column `split`."""
        draws = kernels.hash_rows(batch.column("text"), seed=self.seed) >> np.uint64(11)
        chosen = draws.astype(np.float64) / 2.0**53 < self.held_out_share
        chosen &= batch.column("num_chars").to_numpy(zero_copy_only=False) <= self.max_held_out_chars
        split = pc.if_else(pa.array(chosen), pa.scalar("held_out"), pa.scalar("train"))
        return batch.append_column("split", split), NO_EDITS


PII_CLASSES: dict[str, str] = {
    "email": r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,63}",  # not react@18.2.0
    "credit_card": r"[2-6]\d{3}(?:[- ]\d{4}){3}|[2-6]\d{15}",
    "my_number": r"\d{4}[- ]?\d{4}[- ]?\d{4}",
    "phone": r"\(?0[5789]0\)?[-− ]?\d{4}[-− ]?\d{4}|0120[-− ]\d{3}[-− ]\d{3}"
    r"|[(（]?0\d{1,4}(?:[)）][-− ]?|[-− (（])\d{1,4}[-− )）]\d{4}",
    "postal_address": r"〒\s?\d{3}[-−]\d{4}"
    r"(?:\s?[^\s、。()（）「」]{4,40}?\d{1,4}(?:[-−番丁号地目の]+\d{0,4})*(?:号|番地)?)?",
}
_TAGS = {"email": "<メールアドレス>", "credit_card": "<カード番号>", "my_number": "<個人番号>", "phone": "<電話番号>",
         "postal_address": "<住所>"}  # fmt: skip
# one alternation: the first class that matches at a place wins, and no digit may stand on either side
_PII = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})" if name == "email" else f"(?P<{name}>(?<![\\d.-])(?:{pattern})(?![\\d]|[-.]\\d))"
        for name, pattern in PII_CLASSES.items()
    )
)
_MAYBE = r"@|〒|\d{4}"


def my_number_is_valid(digits: str) -> bool:
    """The check digit of an individual number (12 digits).

    >>> my_number_is_valid("123456789018"), my_number_is_valid("123456789012")
    (True, False)

    Source: 行政手続における特定の個人を識別するための番号の利用等に関する法律の規定による通知カード及び
    個人番号カード並びに情報提供ネットワークシステムによる特定個人情報の提供等に関する省令
    (平成26年総務省令第85号) 第5条.
    """
    total = 0
    for n in range(1, 12):
        weight = n + 1 if n <= 6 else n - 5
        total += int(digits[11 - n]) * weight
    remainder = total % 11
    return int(digits[11]) == (0 if remainder <= 1 else 11 - remainder)


def luhn_is_valid(digits: str) -> bool:
    """The check digit of a payment card.

    >>> luhn_is_valid("4111111111111111")
    True
    """
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class MaskPersonalData(Mapper):
    """Replace phone numbers, e-mail addresses, postal addresses, My Numbers and card numbers by a tag.

    My Numbers and cards count only with a right check digit. A column-wide search finds the few documents that can
    hold any; only those are read one by one. Every mask is recorded as an edit: class, place and length, not the text.
    """

    step: Literal["mask_personal_data"]
    classes: tuple[Literal["email", "credit_card", "my_number", "phone", "postal_address"], ...] = (
        "email", "credit_card", "my_number", "phone", "postal_address",
    )  # fmt: skip

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """The batch with tags for personal data."""
        text = batch.column("text")
        candidates = pc.indices_nonzero(pc.match_substring_regex(text, _MAYBE)).to_pylist()
        edits: list[dict[str, object]] = []
        replaced: dict[int, str] = {}
        for row in candidates:
            masked, found = self._mask(text[row].as_py())
            if found:
                replaced[row] = masked
                where = {"id": batch.column("id")[row].as_py(), "source": batch.column("source")[row].as_py()}
                edits += [{**where, "step": self.name, **edit} for edit in found]
        if not replaced:
            return batch, NO_EDITS
        mask = np.zeros(batch.num_rows, dtype=bool)
        mask[list(replaced)] = True
        values = pa.array([replaced[row] for row in sorted(replaced)], pa.string())
        new_text = pc.replace_with_mask(text, pa.array(mask), values)
        return set_text(batch, new_text), pa.Table.from_pylist(edits, schema=EDITS)

    def _mask(self, text: str) -> tuple[str, list[dict[str, object]]]:
        found: list[dict[str, object]] = []

        def tag(match: re.Match[str]) -> str:
            kind = str(match.lastgroup)
            digits = re.sub(r"\D", "", match.group())
            if kind not in self.classes:
                return match.group()
            if kind == "my_number" and not my_number_is_valid(digits):
                return match.group()
            if kind == "credit_card" and not luhn_is_valid(digits):
                return match.group()
            found.append({"kind": kind, "start": match.start(), "length": len(match.group())})
            return _TAGS[kind]

        return _PII.sub(tag, text), found
