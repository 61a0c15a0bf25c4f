"""Rules of the house: floors, configs, licences, docs, and nothing of anyone's machine in the project."""

import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from jpfm.cli.config_commands import model_of
from jpfm.core.config import read_file, validate
from jpfm.data.sources import AnySource
from jpfm.data.steps import AnyStep
from jpfm.eval.tasks import AnyTask

ROOT = Path(__file__).parents[2]
CHANGES = {ROOT / "configs" / "train" / "anneal.yaml"}
"""Files of changes, for `jpfm train branch`: tests/train/test_recipes.py loads them over a run's settings."""
CONFIGS = sorted({*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "data_recipes").rglob("*.yaml")} - CHANGES)
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def test_the_floors_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_config_loads(path: Path) -> None:
    root = read_file(path)
    validate(root, model_of(root.value["stage"].value))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_a_file_says_what_it_is_for_and_fits_the_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(('"""', 'r"""')), "the first line says what the file is for"
    assert text.count("\n") <= 400, "a file past 400 lines is two files"


def _members(union: object) -> tuple[type, ...]:
    return typing.get_args(typing.get_args(union)[0])


@pytest.mark.parametrize("task", _members(AnyTask), ids=lambda task: task.__name__)
def test_every_task_says_where_it_is_from(task: type) -> None:
    for name in ("group", "title", "definition", "source", "licence", "scorer"):
        assert getattr(task, name), f"{task.__name__}.{name}"
    assert {"ja", "en"} <= set(task.title) & set(task.definition)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [*_members(AnySource), *_members(AnyStep)], ids=lambda kind: kind.__name__)
def test_every_component_is_documented(kind: type) -> None:
    assert inspect.getdoc(kind)


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_nothing_of_a_machine_is_in_the_project() -> None:
    place = re.compile(r"/(?:work|root|home/\w+)/\w|https?://[\w.-]*(?:pypi|proxy|mirror)[\w.-]*/simple")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in _tracked()
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".html", ".json", ""} and path.is_file()
        for match in place.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not found


def test_the_lock_pins_every_declared_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", item)[0].lower().replace("_", "-") for item in wanted}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names <= locked, names - locked
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_readme_names_real_commands_and_files(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
    for path in re.findall(r"(?:configs|data_recipes)/[\w/.-]+\.yaml", text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
    for words in re.findall(r"^\$?\s*jpfm ([a-z]+(?: [a-z]+)?)", text, re.MULTILINE):
        command = [word for word in words.split() if word.isalpha()]
        done = subprocess.run([sys.executable, "-m", "jpfm", *command, "--help"], capture_output=True, check=False)
        if done.returncode:  # the second word was an argument
            done = subprocess.run(
                [sys.executable, "-m", "jpfm", command[0], "--help"], capture_output=True, check=False
            )
        assert done.returncode == 0, words
