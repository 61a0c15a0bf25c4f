"""The filter of LLM-jp Corpus v1 for Japanese Common Crawl text.

    - step: characters
    - step: lines
    - step: domains
    - {step: word_lists, lists: [{name: advertisement, path: ...}, {name: adult, path: ...}, ...]}
    - step: zlib_compression
    - step: llm-jp-v1

Source: llm-jp-corpus commit 9815fc5, scripts/filter_data.py (ja_cc) and scripts/filters.py. The lists are HojiChar's
(Apache-2.0); the recipe names their files. Its extraction of Japanese lines, which glues them together, is no filter
and is not part of this step.
"""

from typing import Annotated, Literal

import pydantic

from jpfm.data.steps.base import Filter, Limit
from jpfm.data.steps.presets.base import Difference

Count = Annotated[int, pydantic.Field(ge=0)]


class LlmJpV1(Filter):
    """Drop what LLM-jp Corpus v1 drops from Common Crawl.

    Needs the steps `lines`, `domains`, `zlib_compression` and `word_lists` with the lists advertisement, adult,
    discrimination and violence before it.
    """

    step: Literal["llm-jp-v1"]
    lookup_chars: Annotated[int, pydantic.Field(ge=1)] = 50
    """A kana must stand among the first so many characters."""
    maximum_advertisement: Count = 10
    maximum_harmful: Count = 3
    """Words of each of the lists adult, discrimination, violence. The strict variant has 2."""
    maximum_chars_per_kuten: Annotated[float, pydantic.Field(gt=0)] = 250
    """Mean sentence length, by 。 alone. The strict variant has 80."""
    compression: tuple[float, float] = (0.30, 0.70)
    """Least and most zlib ratio. The strict variant begins at 0.375."""
    needs = (
        "domain_allowed", "num_visible_chars", "chars_before_kana", "words_advertisement_hits",
        "words_adult_whole_hits", "words_discrimination_whole_hits", "words_violence_whole_hits", "chars_per_kuten",
        "zlib_ratio",
    )  # fmt: skip

    def limits(self) -> tuple[Limit, ...]:
        """In the order of filter_data.py."""
        least, most = self.compression
        return (
            Limit("domain_allowed", "domain", minimum=1),
            Limit("num_visible_chars", "empty", minimum=1),
            Limit("chars_before_kana", "not_japanese", maximum=self.lookup_chars - 1),
            Limit("words_advertisement_hits", "advertisement", maximum=self.maximum_advertisement),
            Limit("words_adult_whole_hits", "adult", maximum=self.maximum_harmful),
            Limit("words_discrimination_whole_hits", "discrimination", maximum=self.maximum_harmful),
            Limit("words_violence_whole_hits", "violence", maximum=self.maximum_harmful),
            Limit("chars_per_kuten", "long_sentences", maximum=self.maximum_chars_per_kuten),
            Limit("zlib_ratio", "compresses_well", minimum=least),
            Limit("zlib_ratio", "compresses_badly", maximum=most),
        )


DIFFERENCES = (
    Difference(
        "A document without URL passes the domain rule (office files, books). Its script stops with an assertion.",
        "URLのない社内文書です。", "AssertionError", "kept",
    ),
)  # fmt: skip
