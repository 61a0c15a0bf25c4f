"""Connect to a Ray cluster: one that runs, or one started on this machine and stopped at the end.

    with connected(engine) as ray: ...

Inside an outer `connected` the inner ones share its connection. What is started here ends here: processes, the session
folder, the settings made for them. A cluster that was there before stays as it is.

A local cluster asks for a token that only its own processes know: Ray listens on the network, and who can send it a job
can do what its owner can (CVE-2023-48022). Nothing is reported home, and no dashboard runs.
"""

import io
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Any

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.log import log
from jpfm.core.shards import Engine

_OBJECT_STORE_BYTES = 100_000_000  # results are counts; Ray would take 30 % of the memory
_LONGEST_FOLDER = 20  # characters: below it lie sockets, whose paths may have 107
_ANSWER_SECONDS = 10.0


@contextmanager
def connected(engine: Engine) -> Iterator[Any]:
    """Be connected to the engine's cluster, and give the module `ray`.

    Raises:
        EnvironmentProblem: Ray is not installed, nothing answers at the address, or versions differ.
        UsageError: the address is none.
    """
    ray = _ray()
    if ray.is_initialized():
        _require_same(engine.address, ray.get_runtime_context().gcs_address)
        yield ray
        return
    stop = signal.getsignal(signal.SIGTERM)
    with _joined(ray, engine.address) if engine.address else _started(ray, engine.workers):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)  # Ray puts its own in place, which ends without a word
        with redirect_stdout(_NotForRay(sys.stdout)):
            yield ray


def _leave(ray: Any) -> None:
    with redirect_stdout(_ToLog()):
        ray.shutdown()


class _ToLog(io.TextIOBase):
    """What Ray prints: seen with --verbose. Stdout is for results."""

    def write(self, text: str) -> int:
        if text.strip():
            log.debug("ray: %s", text.strip())
        return len(text)


class _NotForRay(io.TextIOBase):
    """Stdout for everyone but Ray's own threads."""

    def __init__(self, stdout: Any) -> None:
        self._stdout, self._aside = stdout, _ToLog()

    def write(self, text: str) -> int:
        is_ray = threading.current_thread().name.startswith("ray_")
        return int((self._aside if is_ray else self._stdout).write(text))

    def flush(self) -> None:
        self._stdout.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # else 14 minutes until a wrong address is an error
    try:
        import ray
    except ImportError as error:
        raise EnvironmentProblem(
            f"--engine ray needs Ray, which is not installed here ({error})", hint='pip install "jpfm[ray]"'
        ) from error
    return ray


def _require_same(asked: str | None, connected_to: str) -> None:
    if asked is None or asked == "auto":
        return
    host, port = _check_address(asked)
    place = socket.gethostbyname(host)
    if port != connected_to.rpartition(":")[2] or not (place.startswith("127.") or connected_to.startswith(place)):
        raise UsageError(
            f"this process works on the Ray cluster at {connected_to} and cannot also join {asked}",
            hint="end that connection first (ray.shutdown()), or leave the address out",
        )


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    if address != "auto":
        _require_answer(address)
    failures = (ConnectionError, RuntimeError, ray.exceptions.RayError)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except failures as error:
        raise _not_joined(address, error) from error
    try:
        yield
    finally:
        _leave(ray)


def _check_address(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"--address {address}: expected HOST:PORT or auto",
            hint="e.g. --address 10.0.0.1:6379, as `ray start --head` prints it; ray:// addresses are not taken: run "
            "the command on a node of the cluster instead",
        )
    return host.strip("[]"), port


def _require_answer(address: str) -> None:
    """Find out in a moment what Ray would try for a minute."""
    host, port = _check_address(address)
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise EnvironmentProblem(
            f"no Ray cluster answers at {address} ({error.strerror or error})",
            hint="check host and port (6379 unless `ray start --head` was told another); or leave --address out to use "
            "this machine alone",
        ) from error


def _not_joined(address: str, error: Exception) -> EnvironmentProblem:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        return EnvironmentProblem(
            f"the Ray cluster at {address} has other versions. {text.removeprefix('Version mismatch: ')}",
            hint="use one Python environment for the cluster and this command, best in a folder that all nodes see",
        )
    if address == "auto":
        return EnvironmentProblem(
            f"no Ray cluster runs on this machine ({text})",
            hint="start one (`ray start --head`), name one with --address HOST:PORT, or leave --address out",
        )
    if "token" in text.lower() or isinstance(error, ConnectionError):
        return EnvironmentProblem(
            f"what answers at {address} does not let this process in: {text}",
            hint="check that this is the port of the head (6379 by default; not the dashboard's, nor that of ray://); "
            "if the cluster asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as for the cluster",
        )
    return EnvironmentProblem(
        f"this process cannot join the Ray cluster at {address}: {text}",
        hint="run the command on a node of the cluster, where `ray start` runs",
    )


@contextmanager
def _started(ray: Any, workers: int) -> Iterator[None]:
    workers = workers or len(os.sched_getaffinity(0))
    folder = tempfile.gettempdir()
    if len(folder) > _LONGEST_FOLDER:
        folder = "/tmp"  # noqa: S108 - a scheduler's TMPDIR is too long for a socket; the folder made below is private
    with tempfile.TemporaryDirectory(prefix="jpfm-ray-", dir=folder) as session, _token():
        try:
            ray.init(
                address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                object_store_memory=_OBJECT_STORE_BYTES, _temp_dir=session,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
            _leave(ray)
            raise EnvironmentProblem(
                f"no Ray cluster can be started on this machine: {' '.join(str(error).split())}",
                hint="leave --engine ray out to work with processes on this machine",
            ) from error
        log.info("Ray %s works on this machine, %d jobs at once", ray.__version__, workers)
        try:
            yield
        finally:
            _leave(ray)  # before its folder goes


@contextmanager
def _token() -> Iterator[None]:
    """Give Ray a token that is not written to the home folder, where it would stay. What the user set is left alone."""
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    if not any(before.values()):
        os.environ["RAY_AUTH_TOKEN"] = _secret()  # the mode is Ray's default for a local cluster
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@cache
def _secret() -> str:
    """One a process: Ray reads it once."""
    return secrets.token_hex(32)
