"""The steps a recipe can name. A new one is one file, one line here and one table of tests."""

from typing import Annotated

import pydantic

from jpfm.data.steps.decontaminate import Decontaminate
from jpfm.data.steps.exact_duplicates import ExactDuplicates
from jpfm.data.steps.filters import JapaneseShare, Length, Mojibake, Repetitive, Symbols
from jpfm.data.steps.frequent_lines import FrequentLines
from jpfm.data.steps.language import Language, OnlyLanguage
from jpfm.data.steps.mojibake import RepairMojibake
from jpfm.data.steps.near_duplicates import NearDuplicates
from jpfm.data.steps.normalize import Normalize
from jpfm.data.steps.pii import MaskPersonalData
from jpfm.data.steps.presets.fineweb2 import Fineweb2Jpn
from jpfm.data.steps.presets.hojichar import HojicharDefault
from jpfm.data.steps.presets.llm_jp import LlmJpV1
from jpfm.data.steps.presets.swallow import SwallowV1
from jpfm.data.steps.quality import Quality, QualityScore
from jpfm.data.steps.rehydration import RehydrationWeight
from jpfm.data.steps.repeated_substrings import RepeatedSubstrings
from jpfm.data.steps.signals import (
    BulletinBoard,
    Characters,
    Compression,
    Domains,
    Lines,
    Repeats,
    Repetition,
    ZlibCompression,
)
from jpfm.data.steps.text import Split
from jpfm.data.steps.word_signals import Nouns, WordLists, Words

AnyStep = Annotated[
    BulletinBoard | Characters | Compression | Decontaminate | Domains | ExactDuplicates | Fineweb2Jpn | FrequentLines
    | HojicharDefault | JapaneseShare | Length | Lines | LlmJpV1 | MaskPersonalData | Mojibake | NearDuplicates
    | Normalize | Nouns | RehydrationWeight | RepairMojibake | RepeatedSubstrings | Repeats | Repetition | Repetitive
    | Split | SwallowV1 | Symbols
    | Language | OnlyLanguage | Quality | QualityScore | WordLists | Words | ZlibCompression,
    pydantic.Field(discriminator="step"),
]  # fmt: skip
