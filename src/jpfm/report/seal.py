"""Sealing a folder: the hash of every file, and a signature over these hashes by a person's SSH key.

    key = open_key(Path("~/.ssh/id_ed25519"))            # before the work begins: a wrong key is said at once
    write_seal(folder, key)                              # record.sha256, record.sha256.sig, allowed_signers

Checked with tools that every machine has: `sha256sum --check record.sha256`, and `ssh-keygen -Y verify`. The key is the
one a person already signs commits with. Refused: a signature of our own making (one more format to trust), and GPG.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jpfm.core import artifact as artifacts
from jpfm.core.errors import EnvironmentProblem, UsageError

SEAL = "record.sha256"
SIGNERS = "allowed_signers"
SIGNER = "approver"
NAMESPACE = "jpfm-forget"
"""A signature for one purpose is none for another."""
CHECK = f"sha256sum --check {SEAL}"
VERIFY = f"ssh-keygen -Y verify -f {SIGNERS} -I {SIGNER} -n {NAMESPACE} -s {SEAL}.sig < {SEAL}"
_PROGRAM = "ssh-keygen"


@dataclass(frozen=True)
class Key:
    """A private key file, its public half, and the fingerprint that people compare."""

    file: Path
    public: str
    fingerprint: str


def open_key(file: Path) -> Key:
    """Read the public half of a key.

    Raises:
        EnvironmentProblem: OpenSSH is not installed.
        UsageError: the file is no private key.
    """
    if shutil.which(_PROGRAM) is None:
        raise EnvironmentProblem(
            f"--sign-with needs {_PROGRAM}, which is not installed",
            hint="install the OpenSSH client, or leave --sign-with out: the record is sealed by hashes then",
        )
    if not file.is_file():
        raise UsageError(f"--sign-with {file}: no such file", hint="make a key: ssh-keygen -t ed25519 -f KEYFILE")
    public = _run(["-y", "-f", str(file)], file).split()
    if public[0] != "ssh-ed25519":
        raise UsageError(
            f"--sign-with {file}: is a key of type {public[0]}, not ssh-ed25519",
            hint="make one: ssh-keygen -t ed25519 -f KEYFILE",
        )
    fingerprint = _run(["-l", "-f", str(file)], file).split()[1]
    return Key(file, " ".join(public[:2]), fingerprint)


def write_seal(folder: Path, key: Key | None) -> None:
    """Write the hashes of all files of a folder, and sign them."""
    for name in (SEAL, f"{SEAL}.sig", SIGNERS):
        (folder / name).unlink(missing_ok=True)
    lines = [f"{entry.sha256}  {entry.path}\n" for entry in artifacts.hash_files(folder)]
    artifacts.write_text(folder / SEAL, "".join(lines))
    if key is not None:
        artifacts.write_text(folder / SIGNERS, f'{SIGNER} namespaces="{NAMESPACE}" {key.public}\n')
        _run(["-Y", "sign", "-f", str(key.file), "-n", NAMESPACE, str(folder / SEAL)], key.file)


def _run(arguments: Sequence[str], file: Path) -> str:
    """Run ssh-keygen; it may ask for a passphrase on the terminal."""
    done = subprocess.run([_PROGRAM, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise UsageError(
            f"--sign-with {file}: {_PROGRAM} refused: {said}",
            hint="name a private Ed25519 key that only you can read; make one: ssh-keygen -t ed25519 -f KEYFILE",
        )
    return done.stdout
