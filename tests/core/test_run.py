"""Who ran what: facts of this machine, none of them part of an id."""

import os
import platform
import socket
import subprocess
import sys
import time

from jpfm.core import run


def test_a_run_says_where_when_and_with_what() -> None:
    info = run.finish(run.start(inputs={"corpus-0": "../corpus"}))
    assert info.host == socket.gethostname()
    assert info.python == platform.python_version()
    assert info.versions["pyarrow"]
    assert info.versions["jpfm"]
    assert info.inputs == {"corpus-0": "../corpus"}
    assert info.seconds >= 0
    time.strptime(info.started, "%Y-%m-%dT%H:%M:%S%z")
    assert run.RunInfo.model_validate_json(info.model_dump_json()) == info


def test_hardware_is_this_machine() -> None:
    machine = run.hardware()
    assert machine.cores == os.cpu_count()
    assert machine.cpu
    assert 0.1 < machine.memory_gib < 100_000


def test_the_commit_is_the_one_git_tells() -> None:
    told = subprocess.run(
        ["git", "-C", os.path.dirname(run.__file__), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    assert (run.git_commit() or "").removesuffix("+changes") == told.stdout.strip()


def test_the_owner_names_process_host_and_command() -> None:
    words = run.owner()
    assert f"process {os.getpid()} on {socket.gethostname()} since 2" in words
    assert words.endswith(")")


def test_versions_and_hardware_import_no_torch() -> None:
    code = "import sys; from jpfm.core import run; run.versions(); run.hardware(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
