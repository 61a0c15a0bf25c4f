"""Where an artifact comes from: the graph of manifests below a folder, and its view as a tree.

print(why(Path("out/scores")))
"""

import json
from collections.abc import Iterator
from pathlib import Path

from jpfm.core.artifact import MANIFEST, Artifact, open_artifact
from jpfm.core.errors import ArtifactError


def index(folder: Path) -> dict[str, Artifact]:
    """Every finished artifact below a folder, by id. A manifest.json of some other program is passed over."""
    found: dict[str, Artifact] = {}
    for file in sorted(folder.rglob(MANIFEST)):
        if _is_ours(file):
            artifact = open_artifact(file.parent)
            found.setdefault(artifact.id, artifact)
    return found


def _is_ours(file: Path) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False  # ours is written whole or not at all
    return isinstance(content, dict) and {"schema_version", "kind", "id"} <= content.keys()


def parents(artifact: Artifact) -> list[Artifact | str]:
    """The parents in manifest order; a bare id for one that lies neither where it was, nor inside, nor beside it."""
    wanted = artifact.manifest.parents
    found: dict[str, Artifact] = {}
    for identity, place in artifact.manifest.run.inputs.items():
        # what was made from a checkpoint of a run that trained finds it under the name that the run has since its end
        for way in dict.fromkeys((place, place.replace(".partial/", "/"))):
            path = artifact.path.absolute() / way
            if (path / MANIFEST).is_file() and _is_ours(path / MANIFEST) and open_artifact(path).id == identity:
                found[identity] = open_artifact(path)
    folders = [artifact.path, *sorted(artifact.path.absolute().parent.iterdir())]
    for folder in folders:  # moved or copied since: look around
        if set(wanted) <= found.keys():
            break
        if folder.is_dir() and not folder.name.endswith(".partial"):
            found = index(folder) | found
    return [found.get(identity, identity) for identity in wanted]


def ancestors(artifact: Artifact) -> Iterator[Artifact]:
    """The artifact and all it was made from, each once, nearest first.

    Raises:
        ArtifactError: one of them cannot be found.
    """
    seen: set[str] = set()
    queue = [artifact]
    while queue:
        current = queue.pop(0)
        if current.id in seen:
            continue
        seen.add(current.id)
        yield current
        for parent in parents(current):
            if isinstance(parent, str):
                raise ArtifactError(
                    f"{current.path}: its parent {parent} is neither beside it nor where it was",
                    hint="put the folder that holds it beside this one",
                )
            queue.append(parent)


def why(path: Path, *, max_files: int = 5) -> str:
    """The tree from an artifact back to raw files with their licences, as text."""
    lines: list[str] = []
    seen: set[str] = set()
    _draw(open_artifact(path), "", "", lines=lines, seen=seen, max_files=max_files)
    return "\n".join(lines)


def _draw(node: Artifact | str, first: str, rest: str, *, lines: list[str], seen: set[str], max_files: int) -> None:
    if isinstance(node, str):
        lines.append(f"{first}{node}  (not found here)")
        return
    manifest = node.manifest
    again = node.id in seen
    lines.append(f"{first}{node.id}  {_describe(node)}{'  (shown above)' if again else ''}")
    if again:
        return
    seen.add(node.id)
    if manifest.kind == "source":
        shown = manifest.files[:max_files]
        for entry in shown:
            lines.append(f"{rest}  {entry.path}  {entry.bytes:,} bytes  sha256 {entry.sha256[:12]}")
        if len(manifest.files) > len(shown):
            lines.append(f"{rest}  ... and {len(manifest.files) - len(shown):,} more files")
        return
    children = parents(node)
    for position, child in enumerate(children):
        last = position == len(children) - 1
        first, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        _draw(child, rest + first, rest + below, lines=lines, seen=seen, max_files=max_files)


def _describe(artifact: Artifact) -> str:
    manifest = artifact.manifest
    words = [str(manifest.config.get("name", artifact.path.name))]
    if manifest.rights is not None:
        words.append(f"licence {manifest.rights.licence}")
        if manifest.rights.attribution:
            words.append(manifest.rights.attribution)
    total = sum(entry.bytes for entry in manifest.files)
    words.append(f"{len(manifest.files):,} files, {total:,} bytes")
    return " · ".join(words)
