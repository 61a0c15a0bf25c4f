"""What a recipe must forget: documents that are left out as if they had never been there.

    forget: {hosts: [example.jp], urls: ["https://example.com/a"], ids: ["crawl/a.warc.gz#120"], regexes: ["山田 太郎"]}

`jpfm forget` writes these lines into the recipe of the corpus it makes; the result is the corpus that `jpfm data build`
makes of that recipe. Of a forgotten document the id stays among the dropped, without its text.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.core.config import Settings
from jpfm.data.document import drop_table
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed

NAME = "forget"


def host_of(url: str) -> str:
    """The host of an address in lower case, without port and user; empty where there is none.

    >>> host_of("https://User@Example.JP:8080/道?q"), host_of("example.jp/a")
    ('example.jp', '')
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets that are no IPv6 address
        return ""


def _compiles(pattern: str) -> str:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"'{pattern}' is no regular expression: {str(error).splitlines()[0]}") from error
    return pattern


class Forget(Settings):
    """Documents to leave out. One that meets any of these goes."""

    ids: tuple[str, ...] = ()
    """Document ids."""
    urls: tuple[str, ...] = ()
    """Addresses, as they stand in the column `url`."""
    hosts: tuple[str, ...] = ()
    """Hosts with all below them: example.jp takes www.example.jp too."""
    regexes: tuple[Annotated[str, pydantic.AfterValidator(_compiles)], ...] = ()
    """Regular expressions (Rust's syntax) searched in text, title and url."""

    @property
    def is_empty(self) -> bool:
        """True when nothing is to be forgotten."""
        return not (self.ids or self.urls or self.hosts or self.regexes)

    def reasons(self, batch: pa.RecordBatch) -> pa.Array:
        """For each document by which of the lists it is to be forgotten; null where it stays."""
        none = pa.nulls(batch.num_rows, pa.string())
        found = pc.if_else(pc.is_in(batch.column("id"), value_set=pa.array(self.ids, pa.string())), "id", none)
        by_url = pc.is_in(batch.column("url"), value_set=pa.array(self.urls, pa.string()))
        found = pc.coalesce(found, pc.if_else(by_url, "url", none))
        if self.hosts:
            found = pc.coalesce(found, pc.if_else(self._of_hosts(batch.column("url")), "host", none))
        for pattern in self.regexes:
            frame = pl.DataFrame(pl.from_arrow(batch.select(["text", "title", "url"])))
            hit = frame.select(pl.any_horizontal(pl.all().str.contains(pattern))).to_series().to_arrow()
            found = pc.coalesce(found, pc.if_else(hit, "regex", none))
        return found

    def _of_hosts(self, urls: pa.Array) -> pa.Array:
        encoded = urls.dictionary_encode()
        names = "|".join(re.escape(host.lower().strip(".")) for host in self.hosts)
        is_one = re.compile(rf"(?:^|\.)(?:{names})$")
        hits = [bool(is_one.search(host_of(url))) for url in encoded.dictionary.to_pylist()]
        return pa.array(hits, pa.bool_()).take(encoded.indices)

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Take the documents out; ids and reasons stay."""
        if self.is_empty or batch.num_rows == 0:
            return Changed(batch, NO_DROPS, NO_EDITS)
        reasons = self.reasons(batch)
        rows = pc.indices_nonzero(pc.is_valid(reasons))
        if len(rows) == 0:
            return Changed(batch, NO_DROPS, NO_EDITS)
        dropped = drop_table(batch, rows, step=NAME, reason=reasons.take(rows), values=None, threshold=None, text=False)
        return Changed(batch.filter(pc.is_null(reasons)), dropped, NO_EDITS)
