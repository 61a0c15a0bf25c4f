"""YAML 1.2 scalars, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import UsageError
from jpfm.core.yaml12 import parse, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4), ("1e5", 1e5), (".5", 0.5), ("-1.", -1.0), ("1_000", "1_000"),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("NO", "NO"), ("true", True), ("False", False), ("y", "y"),
        ("12:30", "12:30"), ("2025-04-01", "2025-04-01"), ("0o17", 15), ("017", 17), ("0x1F", 31), ("1.2.3", "1.2.3"),
        ("~", None), ("null", None), ("", None), (".inf", math.inf), ("-.INF", -math.inf),
        ("令和7年", "令和7年"), ("１２", "１２"), ("+5", 5), ("0b11", "0b11"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_read_as_yaml_1_2_says(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_nan_is_a_float() -> None:
    assert math.isnan(scalar(".nan"))


def test_quoted_scalars_stay_strings_and_lines_are_known() -> None:
    node = parse("a: '1'\nb:\n  - \"no\"\n  - 2\n", "f.yaml")
    assert node.plain() == {"a": "1", "b": ["no", 2]}
    assert node.value["b"].origin == "f.yaml:2"
    assert node.value["b"].value[1].origin == "f.yaml:4"


def test_anchors_are_plain_copies_and_an_empty_file_is_empty() -> None:
    assert parse("a: &x {k: 1}\nb: *x\n", "f").plain() == {"a": {"k": 1}, "b": {"k": 1}}
    assert parse("# nothing\n", "f").plain() == {}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3", "'a' is written twice (first at f.yaml:1)"),
        ("a:\n  b: 1\n  b: 2\n", "f.yaml:3", "'b' is written twice"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "f.yaml:3", "merge keys"),
        ("a: !!python/object:os.system x\n", "f.yaml:1", "tags"),
        ("a: 1\nb: !!str 12\n", "f.yaml:2", "tags"),
        ("? [a, b]\n: 1\n", "f.yaml:1", "a key must be one word"),
        ("a: [1, 2\nb: 3\n", "f.yaml:", "not valid YAML"),
        ("a: 1\n--- \nb: 2\n", "f.yaml:", "not valid YAML"),
        ("a: \x00\n", "f.yaml", "not valid YAML"),
        ("a: " + "9" * 5000 + "\n", "f.yaml:1", "too many digits"),
        ("a: &x [*x]\n", "f.yaml", "nested too deep"),
        ("a: " + "[" * 700 + "\n", "f.yaml", "nested too deep"),
        (BOMB, "f.yaml:", "more than 100000 values"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, where: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "f.yaml")
    assert caught.value.message.startswith(where)
    assert what in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=80))
def test_any_text_is_a_value_or_one_clear_error(text: str) -> None:
    try:
        parse(text, "f.yaml").plain()
    except UsageError as error:
        named = error.message.startswith("f.yaml")
        assert named
