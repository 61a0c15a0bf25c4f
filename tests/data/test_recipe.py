"""A recipe: what it refuses, and how its steps fall into passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from jpfm.core import config
from jpfm.core.errors import UsageError
from jpfm.data.recipe import Recipe, check_root

Make = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        (["length"], "steps.0 (length) needs column 'num_chars'; put `- step: characters` before it"),
        (["characters", "repetitive"], "steps.1 (repetitive) needs column 'repeated_ngram_share'; put `- step: repet"),
        (["split", "characters"], "steps.0 (split) needs column 'num_chars'"),
        (["characters", "characters"], "steps.1 (characters) adds 'num_chars' a second time"),
        (["characters", "split", "split"], "steps.2 (split) adds 'split' a second time"),
        (["normalise"], "does not match any of the expected tags"),
    ],
)  # fmt: skip
def test_steps_that_cannot_follow_each_other_are_refused(make_recipe: Make, steps: list[str], what: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        make_recipe({"a": "x"}, steps)
    assert what in str(caught.value)


def test_two_sources_of_one_name_and_no_terms_are_refused(make_recipe: Make, recipe: Recipe) -> None:
    twice = recipe.model_dump() | {"sources": [recipe.sources[0].model_dump()] * 2}
    with pytest.raises(pydantic.ValidationError, match="sources: two are called 'aozora'"):
        Recipe.model_validate(twice)
    with pytest.raises(pydantic.ValidationError, match=r"rights\.licence|rights"):
        make_recipe({"a": "x"}, [], source={"rights": {}})
    with pytest.raises(pydantic.ValidationError, match="String should match pattern"):
        make_recipe({"a": "x"}, [], source={"name": "../up"})


def test_corpus_steps_cut_passes(recipe: Recipe) -> None:
    passes = [(decision and decision.name, [step.name for step in steps]) for decision, steps in recipe.passes()]
    assert [name for name, _ in passes] == [None, "frequent_lines", "exact_duplicates", "near_duplicates"]
    assert passes[0][1] == ["normalize"]
    assert passes[-1] == ("near_duplicates", ["split"])


def test_the_root_is_a_place_and_must_exist(make_recipe: Make, recipe: Recipe, sample: Path) -> None:
    assert check_root(recipe) == sample
    assert "root" not in recipe.identity()
    with pytest.raises(UsageError, match="is no folder"):
        check_root(make_recipe({}, [], root="/nowhere/at/all"))


def test_every_recipe_of_the_repository_loads() -> None:
    files = sorted((Path(__file__).parents[2] / "data_recipes").glob("*.yaml"))
    assert files
    for file in files:
        loaded: config.Loaded[Any] = config.load(file, Recipe)
        assert all(source.rights.licence for source in loaded.config.sources)
