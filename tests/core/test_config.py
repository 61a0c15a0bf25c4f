"""Config files: all problems at once with their lines, one level of `extends`, and a print that loads back."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.config import Loaded, Settings, load, place, validate
from jpfm.core.errors import UsageError
from jpfm.core.yaml12 import parse
from jpfm.data.recipe import Recipe


class Constant(Settings):
    kind: Literal["constant"]
    rate: float = 1e-3


class Cosine(Settings):
    kind: Literal["cosine"]
    warmup_steps: int
    marks: tuple[float, ...] = ()


class Example(Settings):
    steps: int = 10
    name: str
    precise: bool = False
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Annotated[Constant | Cosine, pydantic.Field(discriminator="kind")]
    weights: dict[str, float] = pydantic.Field(default_factory=dict)
    limit: int | None = None
    corpus: str | None = place()


GOOD = "name: 試作\nschedule:\n  kind: cosine\n  warmup_steps: 5\n"


def _write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_value_knows_its_origin(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    loaded = load(path, Example, ["steps=20", "schedule.marks=[0.5, 1]"])
    assert loaded.config.steps == 20
    assert loaded.origins["name"] == f"{path}:1"
    assert loaded.origins["schedule.warmup_steps"] == f"{path}:4"
    assert loaded.origins["steps"] == loaded.origins["schedule.marks.1"] == "command line"
    assert loaded.origins["optimizer"] == "default"


PROBLEMS = {
    "nmae: x\n" + GOOD: [":1: nmae: unknown field; did you mean 'name'?"],
    GOOD + "steps: many\n": [":5: steps: expected a valid integer, found \"many\""],
    GOOD + "steps: '7'\n": [":5: steps: expected a valid integer, found \"7\""],
    GOOD + "steps: 1.5\n": [":5: steps:"],
    GOOD + "precise: yes\n": [":5: precise: expected a valid boolean, found \"yes\""],
    GOOD + "optimizer: adamv\n": [":5: optimizer:", "did you mean 'adamw'?"],
    "schedule: {kind: cosin, warmup_steps: 1}\nname: x\n": [":1: schedule:", "did you mean 'cosine'?"],
    "name: x\nschedule:\n  kind: cosine\n  warmup_step: 5\n": [
        ":4: schedule.warmup_step: unknown field; did you mean 'warmup_steps'?",
        "schedule.warmup_steps: this field is required",
    ],
    "name: x\nschedule: {kind: constant, rate: high}\nsteps: no\n": [":2: schedule.rate:", ":3: steps:"],
    "- a\n- b\n": [":1: expected a mapping"],
    "": ["name: this field is required", "schedule: this field is required"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), PROBLEMS.items())
def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path, text: str, lines: list[str]) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(path, Example)
    for line in lines:
        assert line in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2


def test_a_recipe_with_three_mistakes_names_three(tmp_path: Path) -> None:
    text = """stage: data
name: x
sources:
  - {format: jsnl, name: a, paths: ["*"], rights: {licence: CC0-1.0}}
  - {format: text, name: b, paths: ["*"], rights: {licens: CC0-1.0}}
steps:
  - {step: length, minimum_chars: -3}
"""
    with pytest.raises(UsageError) as caught:
        load(_write(tmp_path, text), Recipe)
    message = caught.value.message
    assert "4 problems in the settings" in message
    assert "run.yaml:4: sources.0" in message
    assert "did you mean 'json" in message
    assert "run.yaml:5: sources.1.rights.licens: unknown field; did you mean 'licence'?" in message
    assert "run.yaml:7: steps.0.minimum_chars: expected greater than or equal to 0, found -3" in message


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("steps", "not of the form"),
        ("=3", "not of the form"),
        ("steps=[1", "command line:1: not valid YAML"),
        ("schedule.marks.4=1", "'4' is none of them"),
        ("stepz=3", "stepz: unknown field; did you mean 'steps'?"),
        ("steps=many", "command line: steps:"),
    ],
)
def test_a_wrong_override_names_itself(tmp_path: Path, override: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(_write(tmp_path, GOOD + "  marks: [1]\n"), Example, [override])
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("name=no", "name", "no"), ("name='12'", "name", "12"), ("limit=~", "limit", None), ("limit=", "limit", None),
        ("weights={a: 1}", "weights", {"a": 1.0}), ("weights.b=2.5", "weights", {"b": 2.5}),
        ("name=12:30", "name", "12:30"),
    ],
)  # fmt: skip
def test_overrides_are_yaml_values(tmp_path: Path, override: str, field: str, value: object) -> None:
    assert getattr(load(_write(tmp_path, GOOD), Example, [override]).config, field) == value


def test_extends_merges_mappings_and_replaces_lists(tmp_path: Path) -> None:
    base = _write(tmp_path, GOOD + "  marks: [1, 2]\nweights: {a: 1, b: 2}\nsteps: 7\n", "base.yaml")
    own = _write(tmp_path, "extends: base.yaml\nschedule:\n  marks: [9]\nweights: {b: 3}\n")
    loaded = load(own, Example)
    assert loaded.config.schedule == Cosine(kind="cosine", warmup_steps=5, marks=(9.0,))
    assert loaded.config.weights == {"a": 1.0, "b": 3.0}
    assert loaded.origins["steps"] == f"{base}:7"
    assert loaded.origins["weights.b"] == f"{own}:4"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"run.yaml": "extends: middle.yaml\n", "middle.yaml": "extends: base.yaml\n"}, "itself extended"),
        ({"run.yaml": "extends: bass.yaml\n", "base.yaml": GOOD}, "base.yaml'?"),
        ({"run.yaml": "extends: [a, b]\n"}, "expected one file name"),
        ({"run.yaml": "extends: run.yaml\n"}, "itself extended"),
    ],
)  # fmt: skip
def test_extends_is_one_level(tmp_path: Path, files: dict[str, str], what: str) -> None:
    for name, text in files.items():
        _write(tmp_path, text, name)
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "run.yaml", Example)
    assert what in caught.value.message + caught.value.hint


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    _write(tmp_path, GOOD)
    (tmp_path / "sjis.yaml").write_bytes("name: 日本".encode("cp932"))
    for name, what in (("rum.yaml", "no such file"), ("sjis.yaml", "not UTF-8"), (".", "is a folder")):
        with pytest.raises(UsageError, match=what):
            load(tmp_path / name, Example)
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "rum.yaml", Example)
    assert "did you mean" in caught.value.hint


def test_places_are_no_part_of_the_identity() -> None:
    schedule = Constant(kind="constant")
    here, there = (Example(name="x", schedule=schedule, corpus=c) for c in ("/a/corpus", "/b/corpus"))
    assert here != there
    assert here.identity() == there.identity()
    assert "corpus" not in here.identity()


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "no",
        "12",
        "~",
        "",
        "- a",
        "a: b",
        "#x",
        "髙橋㈱",
        "a\u2028b\u0085c",
        "\ufeff",
        "'",
        '"',
        "👨‍👩‍👧",
        "𠮷野家",
        "\\u3042",
        "<<",
        "null",
    ]
)
numbers = st.floats(allow_nan=False) | st.integers(-(10**6), 10**6).map(float)
examples = st.builds(
    Example,
    name=words,
    precise=st.booleans(),
    schedule=st.builds(Constant, kind=st.just("constant"), rate=numbers)
    | st.builds(Cosine, kind=st.just("cosine"), marks=st.lists(numbers, max_size=3).map(tuple)),
    weights=st.dictionaries(words.filter(lambda key: key != "extends"), numbers, max_size=3),
    corpus=st.none() | words,
)


@given(examples)
def test_the_resolved_print_loads_back_equal(config: Example) -> None:
    shown = Loaded(config, {}).show()
    assert validate(parse(shown, "shown"), Example).config == config


def test_the_print_of_the_sample_recipe_loads_back_equal(recipe_file: Path, tmp_path: Path) -> None:
    loaded = load(recipe_file, Recipe, ["slice_bytes=70000"])
    shown = loaded.show()
    assert "slice_bytes: 70000  # command line" in shown
    assert f"name: sample  # {recipe_file}:3" in shown
    assert load(_write(tmp_path, shown), Recipe).config == loaded.config
