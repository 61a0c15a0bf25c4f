"""Rights of a source: stated once, by a person, in words that a program can check.

A licence is an SPDX expression or one of the named Japanese terms below; anything else is refused, because a typing
error in a licence travels to every document. `LicenseRef-...` names terms of one's own.
"""

import difflib
from typing import Annotated, Literal

import pydantic
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

Basis = Literal["licence", "public-domain", "own-data", "contract", "著作権法13条", "著作権法30条の4"]
Robots = Literal["respected", "not-applicable", "not-checked"]

JAPANESE_LICENCES = {
    "public-domain-JP": "著作権の保護期間が満了した著作物 (著作権法51条以下)",
    "no-copyright-statute-JP": "憲法その他の法令、通達、判決など権利の目的とならない著作物 (著作権法13条)",
    "政府標準利用規約2.0": "政府標準利用規約（第2.0版）、CC-BY-4.0 互換",
    "政府標準利用規約1.0": "政府標準利用規約（第1.0版）",
    "PDL-1.0": "公共データ利用規約（第1.0版）、CC-BY-4.0 互換",
    "EDINET-terms": "EDINET 利用規約 (公共データ利用規約に準拠)",
    "kokkai-terms": "国会会議録: 発言者の著作権 (著作権法40条1項の政治上の演説等を含む)",
    "proprietary-own": "自社または自分の著作物",
}
_COMMON = ("CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC0-1.0", "ODC-By-1.0", "Apache-2.0", "MIT")
_ALIASES = {"PDL1.0": "PDL-1.0"}
LINE = "rights: {licence: CC-BY-4.0, url: https://…, retrieved: 2026-01-31, basis: licence, robots: respected}"


def check_licence(value: str) -> str:
    """The licence in its canonical spelling.

    >>> check_licence("cc-by-4.0"), check_licence("PDL1.0"), check_licence("MIT OR Apache-2.0")
    ('CC-BY-4.0', 'PDL-1.0', 'MIT OR Apache-2.0')

    Raises:
        ValueError: it is neither SPDX nor a named Japanese licence.
    """
    value = _ALIASES.get(value, value)
    if value in JAPANESE_LICENCES:
        return value
    try:
        return str(canonicalize_license_expression(value))
    except InvalidLicenseExpression as error:
        near = difflib.get_close_matches(value, [*JAPANESE_LICENCES, *_COMMON])
        guess = f"did you mean '{near[0]}'?" if near else "write LicenseRef-NAME for terms of your own"
        raise ValueError(
            f"licence '{value}' is neither an SPDX expression nor one of {', '.join(JAPANESE_LICENCES)}; {guess}"
        ) from error


class Rights(pydantic.BaseModel):
    """On what terms a source may be used, stated once by the person who adds it to a recipe."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    licence: str
    """SPDX identifier or a named Japanese licence (public-domain-JP, PDL-1.0, 政府標準利用規約2.0)."""
    attribution: str = ""
    """Who must be named when the data is passed on."""
    url: str = ""
    """Where the source is published."""
    retrieved: str = ""
    """Date of retrieval, YYYY-MM-DD."""
    basis: Basis = "licence"
    """Why it may be used for training."""
    is_database_for_sale: bool = False
    """True for a database that is sold for analysis: 著作権法30条の4 does not cover copying one (its proviso)."""
    robots: Robots = "not-applicable"
    """What was decided about robots.txt and opt-out headers: kept to, does not apply (no crawl), or not looked at."""


class SourceRights(Rights):
    """Rights as a recipe states them: as in a manifest, with the licence checked."""

    licence: Annotated[str, pydantic.AfterValidator(check_licence)]
    retrieved: Annotated[str, pydantic.Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    """Date of retrieval, YYYY-MM-DD."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "SourceRights":
        if self.is_database_for_sale and self.basis == "著作権法30条の4":
            raise ValueError(
                "basis 著作権法30条の4 does not cover a database that is sold for analysis (its proviso); "
                "name the licence or contract"
            )
        return self
