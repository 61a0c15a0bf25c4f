"""A signal is never lost, wherever it comes."""

import signal
import subprocess
import sys
import time

import pytest

LOST = '''
import ctypes, sys, time
from jpfm.cli.interrupt import interrupts

CODE = """
def busy():
    print("ready", flush=True)
    for _ in range(20):
        time.sleep(0.1)  # the signal comes here, inside a callback from C, which swallows the exception
    return 0
"""
exec(CODE, here := {"__name__": NAME, "time": time})

try:
    with interrupts():
        ctypes.CFUNCTYPE(ctypes.c_int)(here["busy"])()
        print("went on", flush=True)
        for _ in range(200):
            time.sleep(0.1)
        print("never stopped", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
time.sleep(4)
print("quiet", flush=True)
'''


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["somebody.elses", "llvmlite.binding.executionengine"])
def test_a_signal_that_a_callback_swallows_comes_again(number: signal.Signals, name: str) -> None:
    """Of a callback that is not known the exception is printed; of the compiler's it is never raised."""
    code = f"NAME = {name!r}\n{LOST}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert ("Traceback" in err) == (name == "somebody.elses")
    assert out.split("\n")[:3] == ["went on", "stopped", "quiet"]
    assert process.returncode == 0
