"""The filters of FineWeb2 with their settings for Japanese (jpn_Jpan).

    - step: characters
    - {step: words, segmenter: sudachi}
    - step: fineweb2-jpn

Source: fineweb-2 commit d0defb2, configs/jpn_Jpan.yml and fineweb-2-pipeline.py; datatrove 0.10
GopherRepetitionFilter, FineWebQualityFilter, GopherQualityFilter, in this order. Reasons are datatrove's. The language
score (GlotLID, 0.886), MinHash and the final touches are other steps.
"""

from typing import Annotated, Literal

import pydantic

from jpfm.data.steps.base import Filter, Limit
from jpfm.data.steps.presets.base import Difference

Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class Fineweb2Jpn(Filter):
    """Drop what FineWeb2 drops from Japanese text. Needs the steps `characters` and `words` before it.

    The same verdicts as the authors' code need `segmenter: sudachi`; with fugashi words are other words.
    """

    step: Literal["fineweb2-jpn"]
    dup_line_frac: Share = 0.328
    top_n_grams: tuple[Share, Share, Share] = (0.239, 0.196, 0.172)
    """Characters in the most frequent 2-, 3- and 4-gram of words."""
    dup_n_grams: tuple[Share, Share, Share, Share, Share, Share] = (0.243, 0.225, 0.207, 0.190, 0.175, 0.159)
    """Characters in repeated 5- to 10-grams of words."""
    line_punct_thr: Share = 0.096
    char_duplicates_ratio: Share = 0.1
    new_line_ratio: Annotated[float, pydantic.Field(ge=0)] = 0.13
    """Line ends for each word."""
    words: tuple[int, int] = (50, 100_000)
    """Least and most words."""
    average_word_length: tuple[float, float] = (1, 6)
    max_symbol_word_ratio: Annotated[float, pydantic.Field(ge=0)] = 0.1
    max_bullet_lines_ratio: Share = 0.9
    max_ellipsis_lines_ratio: Share = 0.3
    max_non_alpha_words_ratio: Share = 0.759
    """Despite its name the least share of words with a letter."""
    min_stop_words: Annotated[int, pydantic.Field(ge=0)] = 2
    needs = (
        "num_chars", "repeated_run_share", *(f"top_{n}_word_gram_share" for n in (2, 3, 4)),
        *(f"repeated_{n}_word_gram_share" for n in range(5, 11)), "num_printed_lines", "terminal_line_share",
        "repeated_printed_char_share", "line_ends_per_word", "num_words", "mean_word_chars", "hashes_per_word",
        "ellipses_per_word", "bullet_line_share", "trailing_line_share", "alphabetic_word_share", "num_stop_words",
    )  # fmt: skip

    def limits(self) -> tuple[Limit, ...]:
        """Repetition, then FineWeb's, then Gopher's quality rules."""
        tops = zip((2, 3, 4), self.top_n_grams, strict=True)
        repeated = zip(range(5, 11), self.dup_n_grams, strict=True)
        return (
            Limit("num_chars", "empty", minimum=1),
            Limit("repeated_run_share", "dup_line_frac", maximum=self.dup_line_frac),
            *(Limit(f"top_{n}_word_gram_share", f"top_{n}_gram", maximum=share) for n, share in tops),
            *(
                Limit(f"repeated_{n}_word_gram_share", f"duplicated_{n}_n_grams", maximum=share)
                for n, share in repeated
            ),
            Limit("num_printed_lines", "empty", minimum=1),
            Limit("terminal_line_share", "line_punct_ratio", minimum=self.line_punct_thr),
            Limit("repeated_printed_char_share", "char_dup_ratio", maximum=self.char_duplicates_ratio),
            Limit("line_ends_per_word", "list_ratio", maximum=self.new_line_ratio),
            Limit("num_words", "gopher_short_doc", minimum=self.words[0]),
            Limit("num_words", "gopher_long_doc", maximum=self.words[1]),
            Limit("mean_word_chars", "gopher_below_avg_threshold", minimum=self.average_word_length[0]),
            Limit("mean_word_chars", "gopher_above_avg_threshold", maximum=self.average_word_length[1]),
            Limit("hashes_per_word", "gopher_too_many_hashes", maximum=self.max_symbol_word_ratio),
            Limit("ellipses_per_word", "gopher_too_many_ellipsis", maximum=self.max_symbol_word_ratio),
            Limit("bullet_line_share", "gopher_too_many_bullets", maximum=self.max_bullet_lines_ratio),
            Limit("trailing_line_share", "gopher_too_many_end_ellipsis", maximum=self.max_ellipsis_lines_ratio),
            Limit("alphabetic_word_share", "gopher_below_alpha_threshold", minimum=self.max_non_alpha_words_ratio),
            Limit("num_stop_words", "gopher_enough_stop_words", minimum=self.min_stop_words),
        )


DIFFERENCES = (
    Difference(
        "The language score (GlotLID, at least 0.886) is no rule of this step: the model cannot be had without network."
        " Put a language step before it.",
        "我们在这里讨论语言识别的问题。", "dropped by the language filter before", "judged by the other rules alone",
    ),
)  # fmt: skip
