"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import jpfm

FLOORS = ("core", "text", "data", "tokens", "model", "train", "eval", "report")
MODULES = [m.name for m in pkgutil.walk_packages(jpfm.__path__, "jpfm.") if m.name.split(".")[1] in FLOORS]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
