"""The formats a recipe can name. A new one is one file and one line here."""

from typing import Annotated

import pydantic

from jpfm.data.sources.aozora import AozoraSource
from jpfm.data.sources.markup import HtmlSource, LawXmlSource
from jpfm.data.sources.plain import JsonlSource, JsonSource, MarkdownSource, ParquetSource, TextSource

AnySource = Annotated[
    AozoraSource | HtmlSource | JsonlSource | JsonSource | LawXmlSource | MarkdownSource | ParquetSource | TextSource,
    pydantic.Field(discriminator="format"),
]
