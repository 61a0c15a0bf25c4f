"""The formats a recipe can name. A new one is one file and one line here."""

from typing import Annotated

import pydantic

from jpfm.data.sources.aozora import AozoraSource
from jpfm.data.sources.corpus import CorpusSource
from jpfm.data.sources.html import HtmlSource
from jpfm.data.sources.law import LawXmlSource
from jpfm.data.sources.markdown import MarkdownSource
from jpfm.data.sources.records import JsonlSource, JsonSource, ParquetSource
from jpfm.data.sources.text import TextSource

AnySource = Annotated[
    AozoraSource
    | CorpusSource
    | HtmlSource
    | JsonlSource
    | JsonSource
    | LawXmlSource
    | MarkdownSource
    | ParquetSource
    | TextSource,
    pydantic.Field(discriminator="format"),
]
