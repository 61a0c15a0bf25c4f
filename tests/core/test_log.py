"""What a person sees: plain lines on stderr, JSONL events, nothing on stdout."""

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jpfm.core import log as logs
from jpfm.core.log import Events, log, progress, setup


@pytest.fixture
def own_logger() -> Iterator[None]:
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.mark.usefixtures("own_logger")
@pytest.mark.parametrize(
    ("verbose", "quiet", "level"),
    [(False, False, logging.INFO), (True, False, logging.DEBUG), (False, True, logging.WARNING)],
)
def test_the_log_goes_to_stderr_at_the_asked_level(
    capsys: pytest.CaptureFixture[str], verbose: bool, quiet: bool, level: int
) -> None:
    setup(verbose=verbose, quiet=quiet)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING):
        log.log(number, "%sの記録", logging.getLevelName(number))
    out, err = capsys.readouterr()
    assert out == ""
    assert ("DEBUGの記録" in err, "INFOの記録" in err, "WARNINGの記録" in err) == (level <= 10, level <= 20, True)


def test_events_are_one_json_object_a_line(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.jsonl")
    events.write("pass finished", number=1, of=2)
    events.write("saved", path="日本語\n改行")
    first, second = map(json.loads, (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["event"], first["number"], first["of"]) == ("pass finished", 1, 2)
    assert (second["path"], isinstance(second["time"], float)) == ("日本語\n改行", True)
    assert "日本語" in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


def test_without_a_terminal_progress_is_plain_lines(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LINE_EVERY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="jpfm"), progress("reading", total=2000, unit="files") as bar:
        bar.advance(1500, kept=3, dropped_share=0.25)
    assert "reading: 1,500 of 2,000 files" in caplog.text
    assert "kept 3" in caplog.text
    assert "dropped share 0.25" in caplog.text
    assert "seconds left" in caplog.text
    assert capsys.readouterr().out == ""


def test_on_a_terminal_progress_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    code = (
        "from jpfm.core.log import progress, setup\nsetup()\n"
        "with progress('読み込み', total=4, unit='files') as bar:\n    for _ in range(4): bar.advance(1, kept=2)\n"
    )
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says EIO where the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert done.stdout == b""
    assert "読み込み" in shown.decode()
    assert "4/4" in shown.decode()
    assert "\x1b[" in shown.decode()
