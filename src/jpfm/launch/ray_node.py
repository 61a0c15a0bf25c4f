"""What a job runs on each node for a build with Ray: a cluster in the job, and the build on the first node.

    python -m jpfm.launch.ray_node --rank 0 --nodes 4 --processes 64 --head n1 --port 21234 --jobs out/corpus.jobs \\
        -- data build out/corpus.jobs/config.yaml --out out/corpus

Other people's Ray clusters may run on the same nodes: only the head's port is fixed, the token is this job's own, files
lie in a folder of this job, and `ray stop`, which would end every cluster of the user, is not used. Nodes that come
late, or are lost, are made up for: the build begins when all are there, or after five minutes with those that are.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core import ending
from jpfm.core.errors import EnvironmentProblem, JpfmError, Preempted
from jpfm.core.log import log, setup
from jpfm.launch import node

_MEETING = "ray"
"""File of a start with the head's address and the token; readable by the owner alone, removed at the end."""
_SEEN = "seen"
"""File of a start with the head's address as another node sees it."""
_WAIT_SECONDS = 300
_OBJECT_STORE_BYTES = 200_000_000
"""Batches are small and results go to disk."""
_ANY_PORT = (
    "node-manager-port", "object-manager-port", "runtime-env-agent-port", "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port", "metrics-export-port", "min-worker-port", "max-worker-port",
)  # fmt: skip


@dataclass
class RayNode(node.Node):
    """One node's part of a cluster; `processes` are its cores."""

    def run(self) -> int:
        """Be the head and build, or a worker until the head has ended."""
        if shutil.which("ray", path=str(Path(sys.executable).parent)) is None:
            raise EnvironmentProblem("Ray is not installed", hint='pip install "jpfm[ray]", or submit with --tasks')
        os.environ["RANK"] = str(self.rank)  # under which it notes its end
        for number in node.ASKING:
            signal.signal(number, self._note)
        return self._head() if self.rank == 0 else self._worker()

    @property
    def meeting(self) -> Path:
        """The folder of this start, which all nodes see."""
        return Path(os.environ[ending.FOLDER])

    def _head(self) -> int:
        address, token = self._own_address(), secrets.token_hex(32)
        with self._ray(address, token, ["--head", f"--node-ip-address={address}", f"--port={self.port}",
                                        "--include-dashboard=false",
                                        f"--ray-client-server-port={self.port + 1}"]) as cluster:  # fmt: skip
            secret = self.meeting / _MEETING
            descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"address": address, "token": token}, file)
            try:
                self._wait_for_nodes(address, token, cluster)
                return self._build(address, token)
            finally:
                secret.unlink()

    def _build(self, address: str, token: str) -> int:
        """The build itself, in this job's cluster; a signal reaches it."""
        command = [
            sys.executable, "-m", "jpfm", *self.arguments, "--engine", "ray", "--address", f"{address}:{self.port}"
        ]  # fmt: skip
        self.alone = True  # a signal is for the build itself
        return self.supervise(command, self._environment(token))

    def _worker(self) -> int:
        artifacts.write_text(self.meeting / _SEEN, socket.gethostbyname(self.head) + "\n")
        found = self._meet()
        if found is None:
            return 0
        own = _address_towards(found["address"])
        options = [f"--address={found['address']}:{self.port}", f"--node-ip-address={own}"]
        with self._ray(own, found["token"], options) as cluster:
            while cluster.poll() is None and (self.meeting / _MEETING).exists():
                time.sleep(node.LOOK_SECONDS)
        return 0

    def _meet(self) -> dict[str, str] | None:
        """Where the head is, once it is there; None where the job ends before."""
        while self.asked is None:
            try:
                return dict(json.loads((self.meeting / _MEETING).read_text(encoding="utf-8")))
            except (FileNotFoundError, ValueError):  # not yet there, or not yet whole
                time.sleep(node.LOOK_SECONDS)
        return None

    def _own_address(self) -> str:
        """This host as another node sees it: its own name may stand for 127.0.1.1 here."""
        if self.nodes == 1:
            return "127.0.0.1"
        end = time.monotonic() + _WAIT_SECONDS
        while not (self.meeting / _SEEN).exists():
            if self.asked is not None:
                raise Preempted(f"{self.asked} came before the other nodes", hint="it starts again")
            if time.monotonic() > end:
                raise EnvironmentProblem(
                    f"no other of {self.nodes} nodes came within {_WAIT_SECONDS} s",
                    hint="look at the log for what keeps them; `jpfm doctor --cluster` looks at the nodes",
                )
            time.sleep(node.LOOK_SECONDS)
        return (self.meeting / _SEEN).read_text(encoding="utf-8").strip()

    def _wait_for_nodes(self, address: str, token: str, cluster: "subprocess.Popen[Any]") -> None:
        count = (
            "import ray, sys; ray.init(address=sys.argv[1], logging_level='error', log_to_driver=False);"
            "print(sum(n['Alive'] for n in ray.nodes()), int(ray.cluster_resources().get('CPU', 0)))"
        )
        end, shown = time.monotonic() + _WAIT_SECONDS, ""
        while time.monotonic() < end and self.asked is None and cluster.poll() is None:
            asked = subprocess.run(
                [sys.executable, "-c", count, f"{address}:{self.port}"], env=self._environment(token),
                capture_output=True, text=True, check=False, cwd="/",
            )  # fmt: skip
            shown = asked.stdout.strip().rpartition("\n")[2]
            if shown and int(shown.split()[0]) >= self.nodes:
                break
            time.sleep(node.LOOK_SECONDS)
        if cluster.poll() is not None or not shown:
            raise EnvironmentProblem("Ray did not start", hint="its own words are in the log above")
        there, cpus = shown.split()
        log.info("with %s of %d nodes, %s CPUs", there, self.nodes, cpus)

    @contextmanager
    def _ray(self, own: str, token: str, options: list[str]) -> "Iterator[subprocess.Popen[Any]]":
        """A node of the cluster for as long as the block runs."""
        # short: sockets below it may have 107 characters
        files = tempfile.mkdtemp(prefix="jr", dir=os.environ.get("JPFM_RAY_TMP", "/tmp"))  # noqa: S108 - our own folder
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--block", f"--num-cpus={self.processes}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={files}", "--disable-usage-stats",
            *(f"--{name}=0" for name in _ANY_PORT), *options,
        ]  # fmt: skip
        with subprocess.Popen(command, env=self._environment(token), cwd="/") as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait()
                shutil.rmtree(files, ignore_errors=True)

    def _environment(self, token: str) -> Mapping[str, str]:
        return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}


def _address_towards(host: str) -> str:
    """The address that this host would send from; Ray itself asks the way to a host on the internet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((host, 9))
        return str(way.getsockname()[0])


def main() -> int:
    """Entry point."""
    setup()
    try:
        return node.main(kind=RayNode)
    except JpfmError as error:
        log.error("%s. Hint: %s", error.message, error.hint)
        ending.record(error.exit_code, error.message, error.hint)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
