"""What a lawyer must look at first: unknown terms, missing dates, opt-outs that were kept, personal data on disk.

    for words in points_to_check(holdings, corpora, tables, terms): ...

Each is a sentence in both languages with its figure. A point is never hidden because it is small.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.core.log import log
from jpfm.report.provenance_ledger import Holding
from jpfm.report.provenance_tables import MASK, UNREADABLE
from jpfm.report.provenance_terms import Terms, terms_of
from jpfm.report.scores import Words

_NAMED = 5
Row = dict[str, Any]


def points_to_check(
    holdings: Sequence[Holding], corpora: Sequence[Artifact], tables: Mapping[str, pl.DataFrame], terms: Sequence[Row]
) -> Iterator[Words]:
    """The notices of a ledger; each is also logged.

    Args:
        terms: rows of `tables["terms"]` with the `rights` stated of their source, null where no record was found.
    """
    found = (
        *_about_terms(tables["summary"]),
        *_about_sources(terms),
        *_about_dates(tables),
        *_about_contents(holdings, corpora, tables),
        *_about_token_files(holdings),
    )
    for words in found:
        log.warning("provenance: %s", words.en)
        yield words


def _named(names: Sequence[str]) -> Words:
    """Some names, and how many more there are."""
    shown, more = names[:_NAMED], len(names) - _NAMED
    return Words(
        ja="、".join(shown) + (f" ほか{more:,}件" if more > 0 else ""),
        en=", ".join(shown) + (f" and {more:,} more" if more > 0 else ""),
    )


def _rows(frame: pl.DataFrame, names: str, ja: str, en: str) -> Iterator[Words]:
    """A sentence about rows, where there are any: `{n}` documents, `{names}` of the rows."""
    if len(frame):
        some = _named(frame[names].unique(maintain_order=True).to_list())
        number = f"{frame['documents'].sum():,}"
        yield Words(ja=ja.format(n=number, names=some.ja), en=en.format(n=number, names=some.en))


def _list(names: set[str], ja: str, en: str) -> Iterator[Words]:
    """A sentence about `{names}`, where there are any."""
    if names:
        some = _named(sorted(names))
        yield Words(ja=ja.format(names=some.ja), en=en.format(names=some.en))


def _about_token_files(holdings: Sequence[Holding]) -> Iterator[Words]:
    """Tokens that were taken in as files of another program: the ledger knows no document of them."""
    for corpus, tokens in holdings:
        if tokens is None:
            continue
        for source, count in tokens.manifest.stats["tokens_by_source"].items():
            if source not in corpus.manifest.stats["sources"]:
                yield Words(
                    ja=f"{tokens.id} には、トークン化済みファイルから取り込んだ {source} が"
                    f"{count:,}トークンあります。文書の一覧がないため、この台帳には含まれません。",
                    en=f"{tokens.id} holds {source} ({count:,} tokens), taken in as token files: its documents are not "
                    "known and not in this ledger.",
                )


def _about_terms(summary: pl.DataFrame) -> Iterator[Words]:
    licences = summary.filter(by="licence")
    read = [terms_of(value) for value in licences["value"]]

    def those(chosen: Callable[[Terms], bool]) -> pl.DataFrame:
        return licences.filter(pl.Series([chosen(terms) for terms in read], dtype=pl.Boolean))

    yield from _rows(
        those(lambda terms: not terms.known), "value",
        "利用条件が不明な文書が{n}件あります（{names}）。原文を確認するか、除外してください。",
        "{n} documents have unknown terms ({names}): read the original or leave them out.",
    )  # fmt: skip
    yield from _rows(
        those(lambda terms: terms.non_commercial), "value",
        "営利利用を許諾しない利用条件の文書が{n}件あります（{names}）。",
        "{n} documents have terms that do not license commercial use ({names}).",
    )  # fmt: skip
    yield from _rows(
        those(lambda terms: terms.no_derivatives), "value",
        "改変を許諾しない利用条件の文書が{n}件あります（{names}）。",
        "{n} documents have terms that do not license derivatives ({names}).",
    )  # fmt: skip


def _about_sources(terms: Sequence[Row]) -> Iterator[Words]:
    stated = [(row["source"], row["licence"], row["rights"]) for row in terms if row["rights"] is not None]
    yield from _list(
        {row["source"] for row in terms if row["rights"] is None},
        "出典の記録（sources）が見つからず、権利表示や robots の扱いが分かりません（{names}）。",
        "The records of these sources are not here, so attribution and robots decisions are unknown: {names}.",
    )
    yield from _list(
        {source for source, licence, rights in stated if terms_of(licence).needs_name and not rights["attribution"]},
        "利用条件が権利表示を求めているのに、表示すべき名前が記録されていない出典があります（{names}）。",
        "Terms that ask for attribution, and no name recorded: {names}.",
    )
    yield from _list(
        {source for source, _, rights in stated if rights["is_database_for_sale"]},
        "情報解析用に販売されているデータベースがあります（{names}）。著作権法30条の4は根拠になりません。",
        "Databases that are sold for analysis, which art. 30-4 does not cover: {names}.",
    )
    yield from _list(
        {source for source, _, rights in stated if rights["robots"] == "not-checked"},
        "robots.txt などの拒否の指定を確認していない出典があります（{names}）。",
        "Sources whose robots.txt and opt-outs nobody looked at: {names}.",
    )


def _about_dates(tables: Mapping[str, pl.DataFrame]) -> Iterator[Words]:
    undated = tables["terms"].filter(pl.col("undated") > 0)
    yield from _rows(
        undated.with_columns(documents="undated"), "source",
        "取得日の記録がない文書が{n}件あります（出典：{names}）。",
        "{n} documents have no date of retrieval (sources: {names}).",
    )  # fmt: skip
    for name, ja, en in (("retrieved", "取得日", "of retrieval"), ("year", "日付", "of publication")):
        yield from _rows(
            tables["summary"].filter(by=name, value=UNREADABLE), "value",
            f"{ja}が ISO 8601 として読めない文書が{{n}}件あります。年は不明として数えています。",
            f"{{n}} documents have a date {en} that is not ISO 8601; their year counts as unknown.",
        )  # fmt: skip


def _about_contents(
    holdings: Sequence[Holding], corpora: Sequence[Artifact], tables: Mapping[str, pl.DataFrame]
) -> Iterator[Words]:
    yield from _rows(
        tables["robots"].filter(pl.col("opt_out") != ""), "source",
        "学習への利用を拒む指定（noai、tdm-reservation）があるのに採用した文書が{n}件あります（出典：{names}）。",
        "{n} documents were kept although they opt out of training (noai, tdm-reservation; sources: {names}).",
    )  # fmt: skip
    yield from _rows(
        tables["summary"].filter(by="contaminated"), "value",
        "評価用の設問を含む文書が、のべ{n}件残っています（{names}）。",
        "{n} documents, counted for each benchmark, hold items of benchmarks: {names}.",
    )  # fmt: skip
    if not any(step["step"] == MASK for corpus in corpora for step in corpus.manifest.config["steps"]):
        yield Words(
            ja="個人情報を探す処理（mask_personal_data）を行っていません。",
            en="Nothing looked for personal data (mask_personal_data).",
        )
    yield from _list(
        {corpus.id for corpus in corpora if (corpus.path / "dropped" / "originals").is_dir()},
        "伏せる前の個人情報が dropped/originals に残っています（{names}）。第三者に渡さないでください。",
        "Personal data as it was before masking is in dropped/originals of {names}: do not pass it on.",
    )
    unknown = {one.corpus.id for one in holdings if one.tokens is None}
    if len(unknown) < len(holdings):
        yield from _list(
            unknown,
            "トークン数が分からないコーパスがあります（{names}）。トークン数の合計には含まれていません。",
            "Corpora whose tokens are not known and are left out of all sums of tokens: {names}.",
        )
