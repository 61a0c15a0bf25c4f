"""Licences and legal bases in words that a lawyer can read, in Japanese and English.

    terms_of("CC-BY-NC-4.0").words.ja, terms_of("CC-BY-NC-4.0").non_commercial

Creative Commons names are read by their parts; the Japanese terms are those of `core.rights`. Of any other SPDX name
only the address of its text is told: a summary of a licence that nobody checked is worse than none.
"""

import re
from typing import NamedTuple

from jpfm.core.rights import JAPANESE_LICENCES, check_licence
from jpfm.report.scores import Words

_CC = re.compile(r"^(?:LicenseRef-)?CC-(BY(?:-NC)?(?:-ND|-SA)?)-(\d\.\d)(?:-([A-Z]{2,3}))?$")
_CC_PARTS = {
    "BY": ("表示", "attribution"),
    "NC": ("非営利", "no commercial use"),
    "ND": ("改変禁止", "no derivatives"),
    "SA": ("継承", "share alike"),
}
_SINGLE = re.compile(r"^[A-Za-z0-9.-]+$")
_IN_ENGLISH = {
    "public-domain-JP": "term of protection has ended (Copyright Act, art. 51 ff.)",
    "no-copyright-statute-JP": "statutes, notices and judgements: no object of copyright (Copyright Act, art. 13)",
    "政府標準利用規約2.0": "Government of Japan Standard Terms of Use 2.0, compatible with CC BY 4.0: attribution",
    "政府標準利用規約1.0": "Government of Japan Standard Terms of Use 1.0: attribution",
    "PDL-1.0": "Public Data License 1.0, compatible with CC BY 4.0: attribution",
    "EDINET-terms": "EDINET terms of use (after the Public Data License)",
    "kokkai-terms": "minutes of the Diet: copyright of the speakers (public political speeches: art. 40 (1))",
    "proprietary-own": "the publisher's own work",
}
_NEED_NAME = {"政府標準利用規約2.0", "政府標準利用規約1.0", "PDL-1.0", "EDINET-terms"}
BASES = {
    "licence": Words(ja="権利者の許諾（ライセンス）", en="licensed by the holder of the rights"),
    "public-domain": Words(ja="保護期間の満了など、権利の消滅", en="rights have ended (public domain)"),
    "own-data": Words(ja="自社または自分のデータ", en="own data"),
    "contract": Words(ja="個別の契約", en="contract"),
    "著作権法13条": Words(ja="権利の目的とならない著作物（法令、判決など）", en="no object of rights (art. 13)"),
    "著作権法30条の4": Words(
        ja="情報解析など、享受を目的としない利用", en="information analysis, not for enjoyment (art. 30-4)"
    ),
}
ROBOTS = {
    "respected": Words(ja="従って収集した", en="kept to"),
    "not-applicable": Words(ja="対象外（クロールではない）", en="does not apply (no crawl)"),
    "not-checked": Words(ja="確認していない", en="not looked at"),
}
ACTIONS = {
    "mask": Words(ja="印に置き換え", en="replaced by a tag"),
    "fake": Words(ja="架空の値に置き換え", en="replaced by a fake value"),
    "remove": Words(ja="削除", en="removed"),
    "drop": Words(ja="文書ごと除外", en="document dropped"),
}


class Terms(NamedTuple):
    """A licence in words."""

    words: Words
    url: str
    """Where its text stands; empty where that is not known."""
    known: bool
    """False for what is neither SPDX nor one of the Japanese terms: somebody must read it."""
    needs_name: bool = False
    """The holder must be named."""
    non_commercial: bool = False
    no_derivatives: bool = False


def terms_of(licence: str) -> Terms:
    """What a licence says, as far as its name tells.

    >>> terms_of("CC-BY-SA-4.0").words.ja, terms_of("public-domain-JP").words.ja[:9]
    ('クリエイティブ・コモンズ 表示・継承 4.0', '著作権の保護期間が')
    >>> terms_of("CC-BY-NC-ND-4.0").url, terms_of("https://example.jp/規約").known
    ('https://creativecommons.org/licenses/by-nc-nd/4.0/', False)
    """
    if licence in JAPANESE_LICENCES:
        words = Words(ja=JAPANESE_LICENCES[licence], en=_IN_ENGLISH[licence])
        return Terms(words, "", True, needs_name=licence in _NEED_NAME)
    if found := _CC.match(licence):
        return _creative_commons(*found.groups())
    if licence == "CC0-1.0":
        words = Words(ja="権利者がすべての権利を放棄（CC0）", en="all rights waived (CC0)")
        return Terms(words, "https://creativecommons.org/publicdomain/zero/1.0/", True)
    try:
        known = check_licence(licence) == licence
    except ValueError:
        known = False
    if not known:
        return Terms(Words(ja="不明な条件。原文の確認が必要", en="unknown terms: read the original"), "", False)
    if licence.startswith("LicenseRef-"):
        return Terms(Words(ja="独自の条件。全文を別に保管のこと", en="terms of one's own: keep their text"), "", True)
    if not _SINGLE.match(licence):
        return Terms(Words(ja="複数のライセンスの組み合わせ", en="a combination of licences"), "", True)
    words = Words(ja="SPDX に登録されたライセンス", en="a licence registered with SPDX")
    return Terms(words, f"https://spdx.org/licenses/{licence}.html", True)


def _creative_commons(kind: str, version: str, port: str | None) -> Terms:
    parts = kind.split("-")
    ja, en = (sep.join(_CC_PARTS[part][n] for part in parts) for n, sep in ((0, "・"), (1, ", ")))
    where = f" {port}" if port else ""
    address = f"https://creativecommons.org/licenses/{kind.lower()}/{version}/" + (f"{port.lower()}/" if port else "")
    return Terms(
        Words(ja=f"クリエイティブ・コモンズ {ja} {version}{where}", en=f"Creative Commons {version}{where}: {en}"),
        address,
        True,
        needs_name=True,
        non_commercial="NC" in parts,
        no_derivatives="ND" in parts,
    )
