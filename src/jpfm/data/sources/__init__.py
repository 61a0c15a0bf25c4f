"""The formats a recipe can name. A new one is one file and one line here."""

from typing import Annotated

import pydantic

from jpfm.data.sources.aozora import AozoraSource
from jpfm.data.sources.cirrus import CirrusSource
from jpfm.data.sources.corpus import CorpusSource
from jpfm.data.sources.delimited import CsvSource
from jpfm.data.sources.docbook import DocBookSource
from jpfm.data.sources.docx import DocxSource
from jpfm.data.sources.edinet import EdinetSource
from jpfm.data.sources.gettext import GettextSource
from jpfm.data.sources.hf import HfSource
from jpfm.data.sources.html import HtmlSource
from jpfm.data.sources.kokkai import KokkaiSource
from jpfm.data.sources.law import LawXmlSource
from jpfm.data.sources.mail import MailSource
from jpfm.data.sources.markdown import MarkdownSource
from jpfm.data.sources.mediawiki import MediaWikiSource
from jpfm.data.sources.pdf import PdfSource
from jpfm.data.sources.pptx import PptxSource
from jpfm.data.sources.records import JsonlSource, JsonSource, ParquetSource
from jpfm.data.sources.rst import RstSource
from jpfm.data.sources.text import TextSource
from jpfm.data.sources.warc import WarcSource
from jpfm.data.sources.xlsx import XlsxSource

AnySource = Annotated[
    AozoraSource
    | CirrusSource
    | CorpusSource
    | CsvSource
    | DocBookSource
    | DocxSource
    | EdinetSource
    | GettextSource
    | HfSource
    | HtmlSource
    | JsonlSource
    | JsonSource
    | KokkaiSource
    | LawXmlSource
    | MailSource
    | MarkdownSource
    | MediaWikiSource
    | ParquetSource
    | PdfSource
    | PptxSource
    | RstSource
    | TextSource
    | WarcSource
    | XlsxSource,
    pydantic.Field(discriminator="format"),
]
