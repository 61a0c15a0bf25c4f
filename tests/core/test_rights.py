"""Rights: a licence is checked word, what is missing is refused with the line to add."""

from pathlib import Path

import pydantic
import pytest

from jpfm.core import config
from jpfm.core.errors import UsageError
from jpfm.core.rights import LINE, SourceRights
from jpfm.data.recipe import Recipe
from jpfm.data.sources.text import TextSource

GOOD = {
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "MIT OR apache-2.0": "MIT OR Apache-2.0", "PDL1.0": "PDL-1.0",
    "政府標準利用規約2.0": "政府標準利用規約2.0", "public-domain-JP": "public-domain-JP",
    "LicenseRef-社内": None, "LicenseRef-inhouse": "LicenseRef-inhouse", "CC-BY-40": None, "フリー": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize(("written", "kept"), GOOD.items())
def test_a_licence_is_spdx_or_a_named_japanese_one(written: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(pydantic.ValidationError, match="neither an SPDX expression"):
            SourceRights(licence=written)
    else:
        assert SourceRights(licence=written).licence == kept


def test_a_misspelt_licence_is_told_the_near_one() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"did you mean 'CC-BY-4\.0'"):
        SourceRights(licence="CCBY-4.0")


def test_a_database_for_sale_needs_more_than_article_30_4() -> None:
    with pytest.raises(pydantic.ValidationError, match="does not cover a database"):
        SourceRights(licence="LicenseRef-x", basis="著作権法30条の4", is_database_for_sale=True)
    assert SourceRights(licence="LicenseRef-x", basis="contract", is_database_for_sale=True).is_database_for_sale
    with pytest.raises(pydantic.ValidationError, match="retrieved"):
        SourceRights(licence="MIT", retrieved="昨日")


def test_a_recipe_without_rights_is_refused_with_the_line_to_add(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("stage: data\nname: a\nsources: [{format: text, name: s, paths: ['*']}]\nsteps: []\n")
    with pytest.raises(UsageError) as caught:
        config.load(file, Recipe)
    assert f"sources.0.rights: this field is required; add a line such as `{LINE}`" in caught.value.message
    mended = "stage: data\nname: a\nsources:\n  - {format: text, name: s, paths: ['*']}\nsteps: []\n".replace(
        "paths: ['*']}", "paths: ['*'], " + LINE + "}"
    )
    file.write_text(mended, encoding="utf-8")
    (source,) = config.load(file, Recipe).config.sources
    assert isinstance(source, TextSource)
    assert source.rights.licence == "CC-BY-4.0"
