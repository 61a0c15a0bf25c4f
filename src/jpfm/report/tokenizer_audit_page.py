"""What the audit's page shows, as plain data: figures, charts, and what a reader has to know before comparing.

data = page_data(figures, settings, files, trained_on)
environment().get_template("tokenizer_audit.html").render(**data)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jpfm.report import tokenizer_audit_charts as charts
from jpfm.report.scores import Words
from jpfm.tokens.audit.bootstrap import MIN_UNITS
from jpfm.tokens.audit.measure import AuditSettings
from jpfm.tokens.audit.text import TOTAL
from jpfm.tokens.audit.vocabulary import MAX_LENGTH, SCRIPTS

Row = dict[str, Any]
SCRIPT_WORDS = {
    "kanji": Words(ja="漢字", en="kanji"),
    "hiragana": Words(ja="ひらがな", en="hiragana"),
    "katakana": Words(ja="カタカナ", en="katakana"),
    "japanese": Words(ja="漢字かな交じり", en="kanji and kana mixed"),
    "latin": Words(ja="ラテン文字", en="Latin"),
    "digits": Words(ja="数字", en="digits"),
    "symbols": Words(ja="記号・空白", en="symbols and spaces"),
    "other": Words(ja="その他・混在", en="other or mixed"),
    "byte": Words(ja="バイト（文字の一部）", en="bytes (parts of characters)"),
    "special": Words(ja="特殊・未使用", en="special or unused"),
}
GROUP_WORDS = {
    "amount": Words(ja="金額と大きな数", en="Amounts"),
    "decimal": Words(ja="小数・割合", en="Decimals and shares"),
    "wareki": Words(ja="和暦", en="Japanese eras"),
    "western": Words(ja="西暦の日付", en="Western dates"),
    "time": Words(ja="時刻・時間", en="Times"),
    "statute": Words(ja="条文・回次", en="Statutes and ordinals"),
    "identifier": Words(ja="番号・符号", en="Identifiers"),
    "unit": Words(ja="単位・助数詞・記号", en="Units, counters, symbols"),
}
SPLIT_WORDS = {
    "held_out": Words(ja="学習に使わない文書（held-out）", en="held out"),
    "all": Words(ja="全文書", en="all documents"),
    "files": Words(ja="ファイル", en="files"),
}
_SAME_SIZE = 0.02
"""Vocabularies whose sizes differ by more are not compared as equals."""


def page_data(
    figures: Row, settings: AuditSettings, files: Mapping[str, str], trained_on: Mapping[str, Sequence[str]]
) -> Row:
    """All that the template needs. `figures` in it is what goes to `audit.json`.

    Args:
        files: by tokenizer: where its pieces are.
        trained_on: by tokenizer: ids of the artifacts it was made from.
    """
    names = [one["name"] for one in figures["tokenizers"]]
    notices = list(_notices(figures, trained_on))
    return {
        "figures": figures | {"settings": settings.identity(), "notices": [words.model_dump() for words in notices]},
        "names": names,
        "domain_names": [one["name"] for one in figures["domains"]],
        "by": {(row["domain"], row["tokenizer"]): row for row in figures["fertility"]},
        "cuts": _cuts(figures),
        "summary": _summary(figures),
        "notices": notices,
        "files": files,
        "settings": settings,
        "chart": charts.intervals(figures["fertility"], names),
        "zipf": charts.ranks([one["ranks"] for one in figures["tokenizers"]], names),
        "lengths": charts.lengths([_shares(one) for one in figures["tokenizers"]], names),
        "scripts": [name for name in SCRIPTS if any(name in one["scripts"] for one in figures["tokenizers"])],
        "script_words": SCRIPT_WORDS,
        "group_words": GROUP_WORDS,
        "split_words": SPLIT_WORDS,
        "sizes": [*map(str, range(1, MAX_LENGTH)), f"{MAX_LENGTH}+"],
        "min_units": MIN_UNITS,
        "counted": _counted,
    }


def _shares(one: Row) -> list[float]:
    """Share of the pieces that spell whole characters by their length."""
    sums = [sum(script["lengths"][place] for script in one["scripts"].values()) for place in range(MAX_LENGTH)]
    total = sum(sums)
    return [count / total if total else 0.0 for count in sums]


def _cuts(figures: Row) -> list[tuple[str, str, list[Row]]]:
    """(against, domain, a row for each tokenizer): gold first, then UniDic in total, then by domain."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in figures["boundaries"]:
        found.setdefault((row["against"], row["domain"]), []).append(row)
    ordered = sorted(found.items(), key=lambda item: (item[0][0] != "gold", item[0][1] != TOTAL))
    return [(against, domain, rows) for (against, domain), rows in ordered]


def _summary(figures: Row) -> list[Row]:
    total = {row["tokenizer"]: row for row in figures["fertility"] if row["domain"] == TOTAL}
    gold = {row["tokenizer"]: row for row in figures["boundaries"] if row["against"] == "gold"}
    ordered = sorted(
        figures["boundaries"], key=lambda row: row["domain"] == TOTAL
    )  # the total last, where there is one
    unidic = {row["tokenizer"]: row for row in ordered if row["against"] == "unidic"}
    return [
        {
            **one, "total": total[one["name"]], "gold": gold.get(one["name"]), "unidic": unidic.get(one["name"]),
        }
        for one in figures["tokenizers"]
    ]  # fmt: skip


def _notices(figures: Row, trained_on: Mapping[str, Sequence[str]]) -> Iterator[Words]:
    """What makes figures differ that is not the tokenizers' doing, and what a tokenizer loses."""
    sizes = [one["vocab_size"] for one in figures["tokenizers"]]
    if max(sizes) > min(sizes) * (1 + _SAME_SIZE):
        yield Words(
            ja=f"語彙数が異なります（{min(sizes):,}〜{max(sizes):,}）。語彙が大きいほど1トークンの文字数は増えます。",
            en=f"Vocabularies differ in size ({min(sizes):,} to {max(sizes):,}): a larger one holds more text a token.",
        )
    yield from _absent(figures["absent"])
    for domain in figures["domains"]:
        name = domain["name"]
        if domain["split"] == "all":
            learners = [one for one, parents in trained_on.items() if domain["corpus"] in parents]
            yield Words(
                ja=f"{name}：コーパスに取り分けた文書がないため、全文書で測りました。"
                + (f"{'、'.join(learners)} はこのコーパスで学習しているため、有利に出ます。" if learners else ""),
                en=f"{name}: the corpus holds no documents out; measured on all of them."
                + (f" {', '.join(learners)} learnt from this corpus and has the advantage." if learners else ""),
            )
        if domain["measured"] < MIN_UNITS:
            yield Words(
                ja=f"{name}：文書が{domain['measured']}件のため、信頼区間を示せません（合計にも）。",
                en=f"{name}: {_counted(domain['measured'], 'document is', 'documents are')} too few for an interval, "
                "here and in total.",
            )
        if domain["word_lines_left_out"]:
            yield Words(
                ja=f"{name}：UniDic の語をつないでも元に戻らない{domain['word_lines_left_out']:,}行を、"
                "語境界の比較から除きました。",
                en=f"{name}: {_counted(domain['word_lines_left_out'], 'line is', 'lines are')} left out of the "
                "comparison with words: UniDic's words do not spell what is written.",
            )
    for one in figures["tokenizers"]:
        trip, name = one["round_trip"], one["name"]
        if trip["lost"]:
            yield Words(
                ja=f"{name}：{trip['lost']:.2%} の行で文字が失われます（復号しても元に戻りません）。",
                en=f"{name}: loses characters in {trip['lost']:.2%} of lines; decoding does not bring them back.",
            )
        if trip["normalised"]:
            yield Words(
                ja=f"{name}：文字の表記または空白を正規化します（{trip['normalised']:.2%} の行）。"
                "改行や空白を捨てるトークナイザーは、1トークンの文字数が多く出ます。",
                en=f"{name}: normalises characters or spaces ({trip['normalised']:.2%} of lines). A tokenizer that "
                "drops line ends and spaces seems to hold more characters a token.",
            )


def _absent(sources: Sequence[Row]) -> Iterator[Words]:
    """Sources of a corpus that the page does not show."""
    for one in sources:
        name, documents = one["name"], one["documents"]
        if not documents:
            yield Words(
                ja=f"{name}：コーパスに残った文書がないため、測っていません（合計にも含みません）。",
                en=f"{name}: not measured, here or in total: the corpus keeps no document of it.",
            )
        elif not one["held_out"]:
            yield Words(
                ja=f"{name}：{documents:,}文書すべてが学習用で、取り分けた文書がないため、測っていません"
                "（合計にも含みません）。",
                en=f"{name}: not measured, here or in total: no document of it is held out "
                f"({_counted(documents, 'document', 'documents')}, all for training).",
            )
        else:
            yield Words(
                ja=f"{name}：取り分けた{one['held_out']:,}文書に文字がないため、測っていません（合計にも含みません）。",
                en=f"{name}: not measured, here or in total: no text in "
                f"{_counted(one['held_out'], 'held-out document', 'held-out documents')}.",
            )


def _counted(number: int, one: str, many: str) -> str:
    """A number before its noun.

    >>> _counted(1, "line", "lines"), _counted(1200, "line", "lines")
    ('1 line', '1,200 lines')
    """
    return f"{number:,} {one if number == 1 else many}"


def speed_data(measured: Row) -> Row:
    """What the page of speeds shows, the fastest first."""
    speeds = sorted(measured["speeds"], key=lambda one: (-one["megabytes_per_second"], one["tokenizer"]))
    fastest = max((one["megabytes_per_second"] for one in speeds), default=1.0)
    return {
        "speeds": [one | {"share": one["megabytes_per_second"] / fastest} for one in speeds],
        "hardware": measured["hardware"],
        "versions": measured["versions"],
    }
