"""All filters of HojiChar that discard a document, with their default settings.

    - step: characters
    - step: lines
    - step: repeats
    - step: bulletin_board
    - {step: word_lists, lists: [{name: adult, path: ...}, {name: adult_en, path: ..., language: en}, ...]}
    - step: nouns
    - step: hojichar-default

HojiChar has no fixed profile: its users choose. The order here is that of its README example and then of its module.
A threshold of null leaves a rule out; two rules are expensive, and null in both (nouns, repeated words) spares the
step `nouns`. Source: HojiChar 0.18.1, hojichar/filters/document_filters.py. The lists are HojiChar's (Apache-2.0).
"""

from typing import Annotated, Literal

import pydantic

from jpfm.data.steps.base import Filter, Limit
from jpfm.data.steps.presets.base import Difference, below
from jpfm.data.steps.word_signals import columns_by_settings

Count = Annotated[int, pydantic.Field(ge=0)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class HojicharDefault(Filter):
    """Drop what HojiChar's discarding filters drop.

    Needs the steps `characters`, `lines`, `repeats`, `bulletin_board`, `nouns` and `word_lists` with the lists adult,
    adult_en, discrimination, violence and advertisement before it; a rule set to null needs nothing.
    """

    step: Literal["hojichar-default"]
    lookup_chars: Annotated[int, pydantic.Field(ge=1)] | None = 50
    """AcceptJapanese: a kana must stand among the first so many characters."""
    minimum_chars: Count | None = None
    maximum_chars: Count | None = None
    """DocumentLengthFilter; no limits by default."""
    maximum_ng_words: Count | None = 0
    """DiscardAdultContentJa, ...En, DiscardDiscriminationContentJa, DiscardViolenceContentJa: words of each list."""
    maximum_bulletin_board_marks: Count | None = 14
    maximum_advertisement: Count | None = 14
    maximum_chars_per_kuten: Annotated[float, pydantic.Field(gt=0)] | None = 100
    """DiscardRareKuten."""
    noun_share: Share | None = 0.80
    """DiscardTooManyNouns: from this share on."""
    frequent_5gram_share: Share | None = 0.33
    """CharRepetitionRatioFilter: from this share on."""
    repeated_words_share: Share | None = 0.40
    """WordRepetitionRatioFilter: from this share on."""
    maximum_special_share: Share | None = 0.4
    """DiscardTooManySpecialToken."""
    run_chars: Annotated[int, pydantic.Field(ge=1)] | None = 200
    """SingleCharacterRepetitionFilter: from a run of so many equal characters on."""
    maximum_ellipsis_line_share: Share | None = 0.7
    """DiscardTooManyEndingEllipsis."""
    maximum_short_line_share: Share | None = 0.5
    """DiscardTooShortLines: lines of at most 10 characters."""
    needs = columns_by_settings(lambda step: tuple(dict.fromkeys(limit.column for limit in step.limits())))

    def limits(self) -> tuple[Limit, ...]:
        """Those rules that are not null."""
        lists = ("adult", "adult_en", "discrimination", "violence")
        rules = (
            ("chars_before_kana", "not_japanese", None, _less(self.lookup_chars, 1)),
            ("num_chars", "too_short", self.minimum_chars, None),
            ("num_chars", "too_long", None, self.maximum_chars),
            *((f"words_{name}_hits", name, None, self.maximum_ng_words) for name in lists),
            ("bulletin_board_marks", "bulletin_board", None, self.maximum_bulletin_board_marks),
            ("words_advertisement_hits", "advertisement", None, self.maximum_advertisement),
            ("chars_per_kuten", "rare_kuten", None, self.maximum_chars_per_kuten),
            ("noun_share", "nouns", None, _just_below(self.noun_share)),
            ("frequent_5gram_share", "character_repetition", None, _just_below(self.frequent_5gram_share)),
            ("repeated_words_share", "word_repetition", None, _just_below(self.repeated_words_share)),
            ("special_share", "special_characters", None, self.maximum_special_share),
            ("longest_run", "one_character", None, _less(self.run_chars, 1)),
            ("ellipsis_line_share", "ellipses", None, self.maximum_ellipsis_line_share),
            ("short_line_share", "short_lines", None, self.maximum_short_line_share),
        )
        return tuple(Limit(*rule) for rule in rules if rule[2] is not None or rule[3] is not None)


def _less(count: int | None, by: int) -> int | None:
    return None if count is None else count - by


def _just_below(share: float | None) -> float | None:
    return None if share is None else below(share)


DIFFERENCES = (
    Difference(
        "A lone hyphen is no mark of a bulletin board: the expression ends in `|-`, so 15 of them discard a document."
        " `as_published: true` of the step `bulletin_board` counts as HojiChar does.",
        "- 項目を一つずつ書く。\n" * 15, "rejected by DiscardBBSComments", "kept",
    ),
    Difference(
        "HeaderFooterTagsRemover edits text and is no filter, so it is not here. It also looks at the last lines and"
        " then removes the first ones; `frequent_lines` finds headers and footers by how often they stand in a source.",
        "本文の一行目。\n本文の二行目。\n<TEST_STRING_OF_KEYWORD>", "the first line goes, the footer stays",
        "unchanged",
    ),
)  # fmt: skip
