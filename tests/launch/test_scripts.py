"""Job scripts: as they were read by a person (tests/launch/scripts), valid shell, and only options that are documented.

After a change of the templates: `JPFM_WRITE_SCRIPTS=1 pytest tests/launch/test_scripts.py`, then read the difference.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jpfm.launch.job import Job, render
from jpfm.launch.site import find

FOLDER = Path(__file__).with_name("scripts")
CASES: dict[str, dict[str, Any]] = {
    "slurm-train": {"site": "sakura", "nodes": 4, "exclude": ("a5", "a7")},
    "slurm-train-chain-pyxis": {
        "site": "mdx", "nodes": 2, "chain": 3, "account": "group",
        "changes": ["container.kind=pyxis", "container.image=docker://lab/jpfm:1", "container.mounts=[/data]"],
    },
    "slurm-ray": {"site": "generic", "stage": "data", "nodes": 4, "gpus": 0, "ray": True},
    "slurm-slices": {"site": "generic", "stage": "data", "gpus": 0, "tasks": 8},
    "slurm-eval": {"site": "sakura", "stage": "eval", "gpus": 1, "cpus": 14, "tasks": 2, "follow": Path("runs/8B")},
    "slurm-preflight": {"site": "sakura", "stage": "doctor", "nodes": 8},
    "pbs-train-abci3": {"site": "abci3", "nodes": 4, "chain": 3, "account": "gaa00000"},
    "pbs-train-miyabi": {"site": "miyabi", "nodes": 16, "account": "group", "changes": ["requeue=true"]},
    "pbs-slices": {"site": "generic-pbs", "stage": "tokens", "gpus": 0, "tasks": 8},
    "age-train-tsubame4": {
        "site": "tsubame4", "nodes": 2, "chain": 7, "account": "tga-lab",
        "changes": ["container.kind=apptainer", "container.image=/shared/jpfm.sif", "modules=[cuda/12.8.0]"],
    },
    "age-train-requeue": {"site": "tsubame4", "nodes": 2, "changes": ["requeue=true"], "exclude": ("r1n1", "r2n2")},
    "age-slices": {"site": "generic-age", "stage": "data", "gpus": 0, "tasks": 8},
}  # fmt: skip
PBS = {"-N", "-l", "-q", "-J", "-P", "-W", "-r", "-j", "-o", "-v", "-A"}
"""Options of qsub(1B) that a script may hold: man page of OpenPBS, doc/man1/qsub.1B."""
AGE = {"-S", "-N", "-l", "-t", "-P", "-r", "-cwd", "-j", "-o", "-pe", "-q", "-v", "-V", "-ac", "-notify"}
"""Options of qsub(1): man page of Grid Engine 8.1.9."""
SLURM = {
    "job-name", "output", "open-mode", "time", "partition", "nodes", "ntasks-per-node", "cpus-per-task",
    "gpus-per-node", "array", "account", "exclude", "signal", "requeue", "no-requeue",
}  # fmt: skip
"""Options of sbatch(1), version 22.05."""


def job(case: str, folder: Path) -> Job:
    given = dict(CASES[case])
    site = find(given.pop("site"), given.pop("changes", ()))
    name, queue = site.queue_named(None)
    values: dict[str, Any] = {
        "stage": "train", "name": "8B", "out": folder / "runs" / "8B", "site": site, "scheduler": site.scheduler,
        "queue_name": name, "queue": queue, "nodes": 1, "gpus": queue.gpus_per_node, "cpus": queue.cpus_per_node,
        "seconds": 24 * 3600, "stop_before": 300, "line": "jpfm submit configs/train/8B.yaml ...",
    }  # fmt: skip
    return Job(**(values | given))


def rendered(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    made = job(case, folder)
    parts = {part.file: render(made, part) for part in made.parts()}
    text = "\n".join(f"# ======== {name}\n{text}" for name, text in parts.items())
    return text.replace(str(folder), "/shared/me").replace(sys.executable, "/shared/venv/bin/python")


@pytest.mark.parametrize("case", CASES)
def test_a_script_is_as_it_was_read(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, file = rendered(case, tmp_path, monkeypatch), FOLDER / f"{case}.sh"
    if os.environ.get("JPFM_WRITE_SCRIPTS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_no_file_is_left_of_another_case() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_bash_reads_it(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=rendered(case, tmp_path, monkeypatch), text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES)
def test_shellcheck_finds_nothing(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; `make slurm` installs it")
    monkeypatch.chdir(tmp_path)
    made = job(case, tmp_path)
    for part in made.parts():
        done = subprocess.run(
            ["shellcheck", "--shell=bash", "--exclude=SC1091,SC2034,SC2054", "-"], input=render(made, part), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.stdout == ""


@pytest.mark.parametrize("case", CASES)
def test_directives_are_documented(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prefix, known = {"slurm": ("#SBATCH ", SLURM), "pbs": ("#PBS ", PBS), "age": ("#$ ", AGE)}[case.partition("-")[0]]
    made = job(case, tmp_path)
    for part in made.parts():
        lines = render(made, part).splitlines()
        options = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        assert options
        for option in options:
            found = re.match(r"--([a-z-]+)" if prefix == "#SBATCH " else r"(-[A-Za-z_]+)", option)
            assert found is not None, option
            assert found[1] in known, option
        first_command = next(number for number, line in enumerate(lines) if not line.startswith("#"))
        assert not any(line.startswith(prefix) for line in lines[first_command:]), "schedulers stop reading there"


@pytest.mark.parametrize("case", CASES)
def test_a_folder_with_an_odd_name_is_quoted(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder it is handed in from; --out itself is refused with such a name."""
    odd = tmp_path / "it's $HOME"
    odd.mkdir()
    monkeypatch.chdir(odd)
    made = job(case, tmp_path)
    for part in made.parts():
        script = render(made, part)
        (line,) = [line for line in script.splitlines() if line.startswith("cd ")]
        shown = subprocess.run(["bash", "-c", f"{line}\npwd"], text=True, capture_output=True, check=True)
        assert shown.stdout == f"{odd}\n"
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("case", ["slurm-train", "pbs-slices", "age-train-requeue"])
def test_text_of_a_config_is_no_command(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a line's end, a command line with one, and all that the shell would carry out."""
    monkeypatch.chdir(tmp_path)
    evil = "x\ntouch pwned\n#$(touch pwned)`touch pwned`;touch pwned"
    made = dataclasses.replace(job(case, tmp_path), name=evil, line=f"jpfm submit 'name={evil}'", account="a$(b)")
    for part in made.parts():
        script = render(made, part)
        lines = [line for line in script.splitlines() if "touch pwned" in line]
        assert lines
        assert all(line.startswith("#") for line in lines)
        assert "jpfm-x_touch_pwned" in script
