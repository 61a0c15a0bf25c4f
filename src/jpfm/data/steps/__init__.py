"""The steps a recipe can name. A new one is one file, one line here and one table of tests."""

from typing import Annotated

import pydantic

from jpfm.data.steps.dedup import ExactDuplicates, FrequentLines, NearDuplicates
from jpfm.data.steps.filters import JapaneseShare, Length, Mojibake, Repetitive, Symbols
from jpfm.data.steps.mojibake import RepairMojibake
from jpfm.data.steps.normalize import Normalize
from jpfm.data.steps.pii import MaskPersonalData
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

AnyStep = Annotated[
    Characters | ExactDuplicates | FrequentLines | JapaneseShare | Length | MaskPersonalData | Mojibake
    | NearDuplicates | Normalize | RepairMojibake | Repetition | Repetitive | Split | Symbols,
    pydantic.Field(discriminator="step"),
]  # fmt: skip
