"""The tasks an eval config can name. A new one is one file, one line here and one table of tests."""

from typing import Annotated

import pydantic

from jpfm.eval.tasks.choice import JCommonsenseQA, SampleQuestions
from jpfm.eval.tasks.era_dates import EraDates
from jpfm.eval.tasks.modelling import BitsPerCharacter

AnyTask = Annotated[
    BitsPerCharacter | EraDates | JCommonsenseQA | SampleQuestions, pydantic.Field(discriminator="task")
]
