"""The model that is extended: a jpfm checkpoint, or another program's model as an artifact named by its files.

    base = find_base("models/llama-3")
    parent = base.as_artifact("Llama-3-8B", "LicenseRef-llama3")     # a parent of the checkpoint; `jpfm why` shows it
    keep(parent, draft.path)                                         # its manifest, inside what was made of it

Another program's model is a source: raw files that others answer for, with name, licence and SHA-256. Its manifest is
kept in `inputs/base-model/` of the result, because it has none of its own; so the lineage has no gap wherever the two
folders are moved. Refused: a nested *checkpoint*; `jpfm verify` would look for its weights beside that manifest, and
reports of what a model was trained on would ask it for documents.
"""

from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import snapshot_download

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import MANIFEST, Artifact, FileEntry, Manifest
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.rights import Rights

VERSION = 1
NOT_STATED = "not stated"
"""The licence of a base whose user names none."""
_READ = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


class Base(NamedTuple):
    """The model to extend."""

    folder: Path
    artifact: Artifact | None
    """The checkpoint, where it is one of jpfm."""

    def as_artifact(self, name: str | None, licence: str | None) -> Artifact:
        """The parent of what is made: the checkpoint, or the folder's files under this name and licence."""
        if self.artifact is not None:
            return self.artifact
        paths = sorted({path for pattern in _READ for path in self.folder.glob(pattern)})
        files = tuple(
            FileEntry(path=path.name, bytes=path.stat().st_size, sha256=artifacts.sha256(path)) for path in paths
        )
        config: dict[str, Any] = {"name": name or "base model", "licence": licence, "format": "transformers"}
        manifest = Manifest(
            kind="source", id=artifacts.artifact_id("source", VERSION, config, (), files), stage_version=VERSION,
            parents=(), config=config, files=files,
            stats={"files": len(files), "bytes": sum(file.bytes for file in files)},
            rights=Rights(licence=licence or NOT_STATED), run=run.finish(run.start(inputs={})),
        )  # fmt: skip
        return Artifact(self.folder, manifest)


def find_base(base: str) -> Base:
    """Open a folder, or a hub id out of the local cache; the network is never asked.

    Raises:
        UsageError: neither is there.
        ArtifactError: it is an artifact whose files were changed.
    """
    folder = Path(base)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(base, local_files_only=True))
        except Exception as error:  # an id that is none and one that is not cached raise many kinds
            raise UsageError(
                f"base: {base} is no folder, and no model of that id is in the local cache",
                hint=f"name a folder, or fetch it first: hf download {base}",
            ) from error
    if (folder / MANIFEST).exists():
        if problems := artifacts.verify(folder):
            raise ArtifactError(f"base {folder} is damaged: {problems[0]}", hint="copy it again; see `jpfm verify`")
        return Base(folder, artifacts.open_artifact(folder, "checkpoint"))
    return Base(folder, None)


def keep(parent: Artifact, folder: Path) -> None:
    """Write the manifest of a parent that has none on disk into `inputs/base-model/` of what is made of it."""
    if not (parent.path / MANIFEST).exists():
        own = folder / "inputs" / "base-model"
        own.mkdir(parents=True, exist_ok=True)
        artifacts.write_text(own / MANIFEST, parent.manifest.model_dump_json(indent=1) + "\n")
