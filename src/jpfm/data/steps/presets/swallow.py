"""The quality filter of Swallow Corpus Version 1, with its NG-word ratio.

    - step: characters
    - step: lines
    - step: repeats
    - step: swallow-v1

Source: Okazaki et al. 2024, "Building a Large Japanese Web Corpus for Large Language Models", arXiv:2404.17733;
swallow-corpus commit 2d03507, quality.py (apply_v1) and ngword.py. Its URL blocklist and near-duplicate removal are
other steps (`domains`, `near_duplicates`).
"""

from typing import Annotated, Literal

import pydantic

from jpfm.data.steps.base import Filter, Limit
from jpfm.data.steps.presets.base import Difference, below
from jpfm.data.steps.word_signals import columns_by_settings

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
_COLUMNS = (
    "num_chars", "repeated_line_share", "repeated_sentence_share", "repeated_line_char_share",
    "repeated_sentence_char_share", "top_2gram_share", "top_3gram_share", "top_4gram_share",
    *(f"duplicate_{n}gram_share" for n in range(5, 11)), "hiragana_of_japanese", "katakana_of_japanese",
    "japanese_of_chars", "num_japanese_letters", "mean_sentence_chars", "max_sentence_chars",
    "ellipsis_sentence_share",
)  # fmt: skip


class SwallowV1(Filter):
    """Drop what Swallow Corpus v1 drops. Needs the steps `characters`, `lines` and `repeats` before it."""

    step: Literal["swallow-v1"]
    minimum_chars: Annotated[int, pydantic.Field(ge=0)] = 400
    maximum_repeated_line_share: Share = 0.30
    """Paragraphs of the paper: a line is one."""
    maximum_repeated_sentence_share: Share = 0.30
    maximum_repeated_line_char_share: Share = 0.20
    maximum_repeated_sentence_char_share: Share = 0.20
    maximum_top_gram_shares: tuple[Share, Share, Share] = (0.20, 0.18, 0.16)
    """Of the most frequent 2-, 3- and 4-gram of characters."""
    maximum_duplicate_gram_shares: tuple[Share, Share, Share, Share, Share, Share] = (
        0.15, 0.14, 0.13, 0.12, 0.11, 0.10,
    )  # fmt: skip
    """Of 5- to 10-grams of characters that stand twice or more, among different ones."""
    minimum_hiragana: Share = 0.20
    maximum_katakana: Share = 0.50
    minimum_japanese: Share = 0.50
    minimum_japanese_letters: Annotated[int, pydantic.Field(ge=0)] = 400
    mean_sentence_chars: tuple[float, float] = (20, 90)
    """Least and most."""
    maximum_sentence_chars: Annotated[int, pydantic.Field(ge=1)] = 200
    maximum_ellipsis_share: Share = 0.20
    ng_list: str | None = None
    """Name of a list in the step `word_lists`; from `maximum_ng_share` of the Japanese letters on, a document goes."""
    maximum_ng_share: Share = 0.05
    needs = columns_by_settings(
        lambda step: _COLUMNS if step.ng_list is None else (*_COLUMNS, f"words_{step.ng_list}_share")
    )

    def limits(self) -> tuple[Limit, ...]:
        """In the order of `apply_v1`, then NG words."""
        shortest, longest = self.mean_sentence_chars
        tops = zip((2, 3, 4), self.maximum_top_gram_shares, strict=True)
        duplicates = zip(range(5, 11), self.maximum_duplicate_gram_shares, strict=True)
        ng = () if self.ng_list is None else (
            Limit(f"words_{self.ng_list}_share", "ng_words", maximum=below(self.maximum_ng_share)),
        )  # fmt: skip
        return (
            Limit("num_chars", "too_short", minimum=self.minimum_chars),
            Limit("repeated_line_share", "repeated_lines", maximum=self.maximum_repeated_line_share),
            Limit("repeated_sentence_share", "repeated_sentences", maximum=self.maximum_repeated_sentence_share),
            Limit("repeated_line_char_share", "repeated_line_chars", maximum=self.maximum_repeated_line_char_share),
            Limit(
                "repeated_sentence_char_share", "repeated_sentence_chars",
                maximum=self.maximum_repeated_sentence_char_share,
            ),
            *(Limit(f"top_{n}gram_share", f"top_{n}gram", maximum=share) for n, share in tops),
            *(Limit(f"duplicate_{n}gram_share", f"duplicate_{n}grams", maximum=share) for n, share in duplicates),
            Limit("hiragana_of_japanese", "little_hiragana", minimum=self.minimum_hiragana),
            Limit("katakana_of_japanese", "much_katakana", maximum=self.maximum_katakana),
            Limit("japanese_of_chars", "little_japanese", minimum=self.minimum_japanese),
            Limit("num_japanese_letters", "few_japanese_letters", minimum=self.minimum_japanese_letters),
            Limit("mean_sentence_chars", "short_sentences", minimum=shortest),
            Limit("mean_sentence_chars", "long_sentences", maximum=longest),
            Limit("max_sentence_chars", "a_long_sentence", maximum=self.maximum_sentence_chars),
            Limit("ellipsis_sentence_share", "ellipses", maximum=self.maximum_ellipsis_share),
            *ng,
        )  # fmt: skip


DIFFERENCES = (
    Difference(
        "Kanji of the supplementary planes are Japanese letters. Its expression for them names surrogates, which a"
        " Python string does not hold. `as_published: true` of the step `lines` counts as Swallow does.",
        "𠮷野家の𩸽定食は𠮷と書く。", "3 letters fewer: 𠮷, 𩸽, 𠮷 are none", "every kanji counts",
    ),
    Difference(
        "A text without sentence, or shorter than 4 characters, is too short. Its script stops with an error.",
        "。！", "ValueError: max() of an empty sequence", "too_short",
    ),
)  # fmt: skip
