"""Artifacts: a directory whose `manifest.json` is written last.

    artifact = produce(out, kind="tokens", version=1, config=settings.identity(), parents=[corpus], work=work)
    manifest = open_artifact(out).manifest
    problems = verify(out)

`produce` takes the lock, gives `work` the directory `NAME.partial/`, hashes what it wrote, writes the manifest, syncs
and renames. Running it again finds the finished directory and does nothing, or finds the partial one and lets `work`
go on. What `work` finds in `draft.path` is its own earlier output, so it skips what is there.

The id covers (kind, stage version, config, parents, files): no clock, no host, no path. Files under `logs/`, under
`state/` (what a stage keeps to change its result later) and directories that are artifacts of their own (they hold a
manifest) are kept but not part of the id.
Refused: a database of runs beside the files; it drifts from them.
"""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import pydantic

from jpfm.core import run
from jpfm.core.errors import ArtifactError, DataError, EnvironmentProblem, UsageError
from jpfm.core.lock import lock
from jpfm.core.log import Events, log
from jpfm.core.rights import Rights
from jpfm.core.run import RunInfo

Kind = Literal["source", "classifier", "signatures", "corpus", "tokenizer", "tokens", "checkpoint", "scores", "report"]
MANIFEST = "manifest.json"
PLAN = "plan.json"
LOGS = "logs"
STATE = "state"
DISCARDED = ".discarded"


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Record):
    """One file of an artifact: path below its directory, size in bytes, SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


class Manifest(_Record):
    """What an artifact is, from what it was made, and what it holds."""

    schema_version: Literal[1] = 1
    kind: Kind
    id: str
    stage_version: int
    parents: tuple[str, ...]
    config: dict[str, Any]
    files: tuple[FileEntry, ...]
    stats: dict[str, Any]
    rights: Rights | None = None
    run: RunInfo


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """The content-derived name."""
        return self.manifest.id


@dataclass
class Draft:
    """The unfinished artifact that a stage works on. `path` is `NAME.partial/`; it survives a kill."""

    path: Path
    resumed: bool
    config: dict[str, Any]
    parents: tuple[str, ...]
    measured: dict[str, Any] = field(default_factory=dict)
    """Figures of the run record that the stage knows better than the clock of this process: gpu_hours, ..."""

    @property
    def logs(self) -> Path:
        """Folder for what carries the clock; kept beside the result, not part of its id."""
        folder = self.path / LOGS
        folder.mkdir(exist_ok=True)
        return folder

    def status(self, words: str) -> None:
        """Say in words what is happening, for a person who looks at `logs/status`."""
        write_text(self.logs / "status", words + "\n")


@dataclass(frozen=True)
class Finished:
    """What `work` returns: figures for the manifest (no clock in them), and the rights of a source."""

    stats: Mapping[str, Any]
    rights: Rights | None = None


def artifact_id(
    kind: Kind, version: int, config: Mapping[str, Any], parents: Sequence[str], files: Sequence[FileEntry]
) -> str:
    """The content-derived name of an artifact: the same on any machine."""
    hashes = [[entry.path, entry.sha256] for entry in files]
    body = {"kind": kind, "version": version, "config": config, "parents": list(parents), "files": hashes}
    return f"{kind}-{hashlib.sha256(canonical_json(body).encode()).hexdigest()[:12]}"


def canonical_json(value: Any, *, indent: int | None = None) -> str:
    """JSON with sorted keys and Japanese as written."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent, default=str)


def produce(
    out: Path,
    *,
    kind: Kind,
    version: int,
    config: Mapping[str, Any],
    parents: Sequence[Artifact],
    work: Callable[[Draft], Finished],
) -> Artifact:
    """Make the artifact at `out`, resume it, or find it done.

    Args:
        out: the directory to make. `NAME.partial` and `NAME.lock` beside it are used on the way.
        config: the settings that decide the result, as `Settings.identity()` gives them.
        work: fills `draft.path` and returns the figures. Called again after a kill: it must skip what is done.
    Raises:
        ArtifactError: `out` holds something else, or another process is making it now.
    """
    out = out.absolute()
    plan = plan_of(kind, version, config, parents)
    if (done := finished(out, plan)) is not None:
        return done
    with lock(out):
        _recover(out)
        if (done := finished(out, plan)) is not None:
            return done
        draft = open_draft(out, plan)
        events = Events(draft.logs / "events.jsonl")
        events.write("resumed" if draft.resumed else "started", kind=kind)
        info = run.start(inputs={p.id: os.path.relpath(p.path, out) for p in parents})
        try:
            result = work(draft)
        except (UsageError, DataError, EnvironmentProblem):
            _drop_empty(draft)
            raise
        for leftover in draft.path.glob(f"*{DISCARDED}"):
            discard(leftover)
        events.write("finished", kind=kind)
        draft.status("finished")
        files = tuple(hash_files(draft.path))
        identity = plan["config"]
        manifest = Manifest(
            kind=kind,
            id=artifact_id(kind, version, identity, plan["parents"], files),
            stage_version=version,
            parents=tuple(plan["parents"]),
            config=identity,
            files=files,
            stats=dict(result.stats),
            rights=result.rights,
            run=run.finish(info).model_copy(update=draft.measured),
        )
        _publish(draft, manifest, out)
    log.info("%s finished: %s", out.name, manifest.id)
    return Artifact(out, manifest)


def plan_of(kind: Kind, version: int, config: Mapping[str, Any], parents: Sequence[Artifact]) -> dict[str, Any]:
    """What `NAME.partial/plan.json` says, so that a resume with other settings is refused."""
    body = {"kind": kind, "version": version, "config": config, "parents": [p.id for p in parents]}
    return dict(json.loads(canonical_json(body)))


def open_draft(out: Path, plan: dict[str, Any]) -> Draft:
    """Create or reopen `NAME.partial/` for this plan."""
    partial = out.with_name(out.name + ".partial")
    plan_file = partial / PLAN
    resumed = plan_file.exists()
    if resumed:
        differs = _differences(json.loads(plan_file.read_text(encoding="utf-8")), plan)
        if differs:
            raise ArtifactError(
                f"{partial} was started with other settings ({differs})",
                hint=f"take another --out, or delete {partial} to start anew",
            )
        log.info("resuming %s", partial)
    else:
        draft_logs = partial / LOGS  # array tasks may start at once: each writes its own copy, then renames
        draft_logs.mkdir(parents=True, exist_ok=True)
        own = draft_logs / f"plan.{socket.gethostname()}.{os.getpid()}"
        write_text(own, canonical_json(plan, indent=1))
        os.replace(own, plan_file)
    return Draft(partial, resumed, plan["config"], tuple(plan["parents"]))


def _drop_empty(draft: Draft) -> None:
    """A mistake in the settings, found before anything was made, leaves nothing that a corrected line must resume."""
    made = (path for path in draft.path.rglob("*") if path.is_file() and path.relative_to(draft.path).parts[0] != LOGS)
    if {path.name for path in made} <= {PLAN}:
        discard(draft.path)


def _publish(draft: Draft, manifest: Manifest, out: Path) -> None:
    for path in sorted(draft.path.rglob("*")):  # everything is on disk before a manifest says so
        if path.is_file() or path.is_dir():
            _sync(path)
    write_text(draft.path / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    _sync(draft.path / MANIFEST)
    (draft.path / PLAN).unlink(missing_ok=True)
    _sync(draft.path)
    os.rename(draft.path, out)
    _sync(out.parent)


def _recover(out: Path) -> None:
    """Finish what a kill between manifest and rename left. Only the holder of the lock may."""
    leftover = out.with_name(out.name + ".partial")
    if not out.exists() and (leftover / MANIFEST).exists():
        (leftover / PLAN).unlink(missing_ok=True)
        os.rename(leftover, out)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def finished(out: Path, plan: dict[str, Any]) -> Artifact | None:
    """The artifact at `out` where it is done, None where there is none yet.

    Raises:
        ArtifactError: `out` holds something else.
    """
    if not out.exists():
        return None
    if not (out / MANIFEST).exists():
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
            return None
        raise ArtifactError(f"{out} exists and is no artifact", hint="take another --out; nothing in it was touched")
    found = open_artifact(out)
    other = {
        "kind": found.manifest.kind,
        "version": found.manifest.stage_version,
        "config": found.manifest.config,
        "parents": list(found.manifest.parents),
    }
    differs = _differences(json.loads(canonical_json(other)), plan)
    if differs:
        raise ArtifactError(
            f"{out} holds {found.id}, made with other settings ({differs})",
            hint="take another --out, or delete that folder to make it anew",
        )
    log.info("%s: nothing to do, %s is finished", out.name, found.id)
    return found


def _differences(old: Any, new: Any, prefix: str = "") -> str:
    """The first places where two plans differ, in words."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        old, new = ({str(n): item for n, item in enumerate(items)} for items in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
            for key in sorted({*old, *new})
        ]
        parts = [part for part in parts if part]
        return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
    return "" if old == new else f"{prefix}: {_short(old)} there, {_short(new)} asked"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def open_artifact(path: Path, kind: Kind | None = None) -> Artifact:
    """Read a finished artifact.

    Raises:
        ArtifactError: there is none, it is unfinished, or it is of another kind.
    """
    file = path / MANIFEST
    if not file.exists():
        if path.with_name(path.name + ".partial").exists():
            raise ArtifactError(
                f"{path} is unfinished", hint="run the command that makes it again; it resumes, or says what stopped it"
            )
        what = "has no manifest.json" if path.exists() else "does not exist"
        raise ArtifactError(
            f"{path} {what}",
            hint=f"name the folder of a finished {kind or ''} artifact, made by a jpfm command".replace("  ", " "),
        )
    try:
        manifest = Manifest.model_validate_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(
            f"{file} is not a jpfm manifest: {str(error).splitlines()[0]}",
            hint="the file was changed or is of a newer version; restore it or build again",
        ) from error
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(
            f"{path} is a {manifest.kind} artifact, not a {kind} artifact", hint=f"name the folder of a {kind} artifact"
        )
    return Artifact(path, manifest)


def verify(path: Path, *, root: Path | None = None) -> list[str]:
    """Hash every file again; one sentence for each difference. Empty means intact.

    Args:
        root: where the files lie when that is not the artifact's own folder (a source names raw files elsewhere).
    """
    manifest = open_artifact(path).manifest
    base = root or path
    problems = []
    for entry in manifest.files:
        file = base / entry.path
        if not file.is_file():
            problems.append(f"{entry.path}: missing")
        elif file.stat().st_size != entry.bytes:
            problems.append(f"{entry.path}: {file.stat().st_size} bytes, the manifest says {entry.bytes}")
        elif sha256(file) != entry.sha256:
            problems.append(f"{entry.path}: content changed (same size, other SHA-256)")
    again = artifact_id(manifest.kind, manifest.stage_version, manifest.config, manifest.parents, manifest.files)
    if again != manifest.id:
        problems.append(f"{MANIFEST}: says {manifest.id}, its content gives {again}")
    return problems


def hash_files(folder: Path) -> Iterator[FileEntry]:
    """Every content file below an artifact, sorted; logs and nested artifacts left out."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in (LOGS, STATE) and not path.is_symlink():
                yield from (
                    FileEntry(path=f"{path.name}/{e.path}", bytes=e.bytes, sha256=e.sha256)
                    for e in ([] if (path / MANIFEST).exists() else hash_files(path))
                )
        elif path.name not in (PLAN, MANIFEST):
            yield FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(file: IO[bytes]) -> tuple[int, str]:
    """Bytes and SHA-256 of what is left in an open file."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace a file's text at once: a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(temporary, path)


def discard(path: Path) -> None:
    """Remove a scratch file or folder. A folder goes at once: a kill leaves `NAME.discarded`, never a part of it."""
    if path.is_dir():
        doomed = path.with_name(path.name.removesuffix(DISCARDED) + DISCARDED)
        if path != doomed:
            if doomed.exists():
                shutil.rmtree(doomed)
            os.rename(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)
