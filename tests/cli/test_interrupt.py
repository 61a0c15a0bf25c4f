"""A signal is never lost, wherever it comes."""

import signal
import subprocess
import sys
import time

import pytest

LOST = """
import ctypes, sys, time
from jpfm.cli.interrupt import interrupts

def busy():
    print("ready", flush=True)
    time.sleep(2)  # the signal comes here, inside a callback from C, which swallows the exception
    return 0

try:
    with interrupts():
        ctypes.CFUNCTYPE(ctypes.c_int)(busy)()
        print("went on", flush=True)
        for _ in range(200):
            time.sleep(0.1)
        print("never stopped", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
time.sleep(4)
print("quiet", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_callback_swallows_comes_again(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOST], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "ignored" in err  # it was swallowed
    assert out.split("\n")[:3] == ["went on", "stopped", "quiet"]
    assert process.returncode == 0
