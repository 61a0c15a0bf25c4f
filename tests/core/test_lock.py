"""One process makes one artifact. Real processes, stopped and killed."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jpfm.core.artifact import Draft, Finished, produce, verify
from jpfm.core.errors import ArtifactError
from jpfm.core.lock import lock

OWNER = """
import sys, time
from pathlib import Path
from jpfm.core.artifact import Finished, produce
def work(draft):
    (draft.path / "begun").write_text("x")
    while not Path(sys.argv[2]).exists():
        time.sleep(0.02)
    return Finished({})
print(produce(Path(sys.argv[1]), kind="source", version=1, config={}, parents=[], work=work).id)
"""


def _start_owner(out: Path, go: Path) -> "subprocess.Popen[str]":
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(out), str(go)], stdout=subprocess.PIPE, text=True)
    begun = out.with_name(out.name + ".partial") / "begun"
    until = time.monotonic() + 60
    while not begun.exists() and owner.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return owner


def _refuse(draft: Draft) -> Finished:
    raise AssertionError("work was called though another process works")


def _begin(draft: Draft) -> Finished:
    (draft.path / "begun").write_text("x")
    return Finished({})


def test_of_two_processes_the_second_is_told_who_works(tmp_path: Path) -> None:
    out, go = tmp_path / "a", tmp_path / "go"
    owner = _start_owner(out, go)
    with pytest.raises(ArtifactError) as caught:
        produce(out, kind="source", version=1, config={}, parents=[], work=_refuse)
    assert f"is being made by process {owner.pid} on {socket.gethostname()} since" in caught.value.message
    assert "wait for it" in caught.value.hint
    go.touch()
    told = owner.communicate(timeout=60)[0].strip()
    assert produce(out, kind="source", version=1, config={}, parents=[], work=_refuse).id == told
    assert verify(out) == []
    assert not (tmp_path / "a.lock").exists()


def test_the_lock_of_a_killed_process_is_explained_and_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = _start_owner(tmp_path / "a", tmp_path / "never")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with caplog.at_level("WARNING", logger="jpfm"):
        done = produce(tmp_path / "a", kind="source", version=1, config={}, parents=[], work=_begin)
    assert f"stale lock of process {owner.pid} on" in caplog.text
    assert "taking over" in caplog.text
    assert done.id == produce(tmp_path / "b", kind="source", version=1, config={}, parents=[], work=_begin).id


def test_a_lock_file_removed_by_its_owner_in_between_is_not_taken_for_ours(tmp_path: Path) -> None:
    with lock(tmp_path / "a"):
        os.rename(tmp_path / "a.lock", tmp_path / "gone")
        with lock(tmp_path / "a"), (tmp_path / "a.lock").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
