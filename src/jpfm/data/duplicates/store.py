"""Signatures of earlier corpora: what new documents are compared with, without reading earlier text again.

    stores = Stores.open(("out/2025.signatures", "out/wikipedia.signatures"))
    stores.files, stores.count

Written by `data.signatures`. One row a document: id, digests of its keys, band keys, and the hashes of its n-grams by
which a candidate is confirmed exactly.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.errors import UsageError

FOLDER = "signatures"


@dataclass(frozen=True)
class Stores:
    """Signature artifacts that a step compares with, in the order of its settings."""

    artifacts: tuple[Artifact, ...]

    @classmethod
    def open(cls, folders: Sequence[str]) -> "Stores":
        """Open the artifacts.

        Raises:
            ArtifactError: a folder holds no finished signatures.
        """
        return cls(tuple(open_artifact(Path(folder).absolute(), "signatures") for folder in folders))

    @functools.cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of signatures, in order."""
        return tuple(file for item in self.artifacts for file in sorted((item.path / FOLDER).glob("*.parquet")))

    @functools.cached_property
    def count(self) -> int:
        """Documents in all."""
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    @property
    def words(self) -> str:
        """What stands behind the id of a document of an earlier corpus."""
        return f" of {', '.join(item.id for item in self.artifacts)}" if self.artifacts else ""

    def require(self, step: str, **settings: Any) -> None:
        """Check that all signatures were made with these settings.

        Raises:
            UsageError: one was not; the message names the setting and both values.
        """
        asked = json.loads(json.dumps(settings))
        for item in self.artifacts:
            for name, value in asked.items():
                there = item.manifest.config.get(name)
                if there != value:
                    raise UsageError(
                        f"{step}: {item.path} was made with {name}: {there}, the step has {value}",
                        hint=f"set {name} alike in both, or make the signatures again (jpfm data signatures)",
                    )
