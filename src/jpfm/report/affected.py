"""What documents have reached: every artifact of their family that holds them, learnt from them, or was made from such.

    reach = reached(corpus, ["crawl/a.warc.gz#120"], Path("out"))
    reach.touched, reach.exposure.runs, reach.exposure.ranges, reach.exposure.steps

The family is all that lies below a folder and was made from what the corpus was made from: what was made of the corpus,
the corpora it was made of, and others over the same raw files, whose documents have the same ids. Lineage says who may
hold a document; what an artifact holds (ids, token ranges, training steps) says who does.
Refused: to trust lineage alone. Then every checkpoint of the corpus would be affected, also those from before the step.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from jpfm.core import lineage
from jpfm.core.artifact import MANIFEST, PLAN, Artifact, Kind
from jpfm.data.duplicates.store import FOLDER as SIGNATURES
from jpfm.data.forget import NAME as FORGET
from jpfm.report.exposure import Exposure, expose

What = Literal[
    "documents", "dropped", "hashes", "statistics", "tokens", "trained", "vocabulary", "scored", "decided", "derived",
    "clean",
]  # fmt: skip
"""What an artifact has of the documents; `report.forgotten_page` says it in words. One thing each, the gravest."""
RECORD = "forgotten"
"""The name of a report that records a forgetting; it is about documents but holds none."""


class Touched(NamedTuple):
    """An artifact and what it has of the documents."""

    id: str
    kind: Kind
    places: tuple[str, ...]
    """All its copies, relative to the folder that was searched."""
    what: What
    documents: int | None
    """How many of the documents that is about, where it can be counted."""


@dataclass(frozen=True)
class Reach:
    """All that some documents have reached."""

    touched: tuple[Touched, ...]
    """The corpus first, then by kind in the order of the stages. Clean are those that were looked at in vain."""
    exposure: Exposure
    """Token ranges, and the training steps that saw them."""
    unfinished: tuple[tuple[str, str], ...]
    """(place, kind) of what is being made from something touched, or was left half made."""
    unknown: tuple[tuple[str, str], ...]
    """(place, id of a parent that is not here): whether these are of the family cannot be told."""


_STAGES: tuple[Kind, ...] = (
    "source", "corpus", "signatures", "classifier", "tokenizer", "tokens", "checkpoint", "scores", "report",
)  # fmt: skip


def reached(corpus: Artifact, ids: Sequence[str], runs: Path) -> Reach:
    """Follow documents of a corpus through all that lies below a folder.

    Args:
        ids: of the documents.
        runs: folder to search; what lies elsewhere is not found.
    Raises:
        ArtifactError: an artifact of the family is damaged: it cannot be said what it holds.
    """
    known = lineage.index(runs) | {corpus.id: corpus}
    family = _Family(corpus, known, ids)
    exposure = expose([family.known[i] for i in family.members if family.known[i].manifest.kind in _TRAINED], ids)
    verdicts = {identity: family.judge(identity, exposure) for identity in family.members}
    places = _places(runs, corpus)
    touched = [
        Touched(identity, known[identity].manifest.kind, tuple(places[identity]), what, count)
        for identity, (what, count) in verdicts.items()
        if what != "clean" or family.is_near(identity, verdicts)
    ]
    touched.sort(key=lambda one: (one.id != corpus.id, _STAGES.index(one.kind), one.places))
    names = {one.id for one in touched if one.what != "clean"}
    return Reach(tuple(touched), exposure, tuple(_unfinished(runs, names)), tuple(_unknown(known, family, places)))


_TRAINED: tuple[Kind, ...] = ("tokens", "checkpoint")


class _Family:
    """The artifacts that share an ancestor with the corpus, and what each has of the documents."""

    def __init__(self, corpus: Artifact, known: dict[str, Artifact], ids: Sequence[str]) -> None:
        self.known, self.ids = known, pl.Series(ids, dtype=pl.String)
        children: dict[str, list[str]] = {}
        for artifact in known.values():
            for parent in artifact.manifest.parents:
                children.setdefault(parent, []).append(artifact.id)
        above = _closure([corpus.id], {identity: known[identity].manifest.parents for identity in known})
        self.members = [i for i in _closure(above, children) if i in known and not _is_record(known[i])]
        self._kept: dict[str, pl.DataFrame] = {}
        self._verdicts: dict[str, tuple[What, int | None]] = {}

    def is_near(self, identity: str, verdicts: dict[str, tuple[What, int | None]]) -> bool:
        """Whether an artifact was made straight from a touched one: then a reader wants to know that it is clean."""
        return any(verdicts.get(p, ("clean", None))[0] != "clean" for p in self.known[identity].manifest.parents)

    def judge(self, identity: str, exposure: Exposure) -> tuple[What, int | None]:
        """What an artifact has of the documents, and of how many."""
        if identity not in self._verdicts:
            artifact = self.known[identity]
            parents = [self.known[p] for p in artifact.manifest.parents if p in self.known]
            above = {parent.id: self.judge(parent.id, exposure)[0] for parent in parents if parent.id in self.members}
            self._verdicts[identity] = self._judge(artifact, parents, above, exposure)
        return self._verdicts[identity]

    def _judge(
        self, artifact: Artifact, parents: Sequence[Artifact], above: dict[str, What], exposure: Exposure
    ) -> tuple[What, int | None]:
        kinds = {parent.id: parent.manifest.kind for parent in parents}
        of = {what: [kinds[i] for i, found in above.items() if found == what] for what in above.values()}
        match artifact.manifest.kind:
            case "corpus":
                return self._of_corpus(artifact, decided=bool(of.get("hashes") or of.get("statistics")))
            case "signatures":
                found = self._count(artifact, f"{SIGNATURES}/*.parquet", "id")
                return ("hashes", found) if found else ("clean", None)
            case "tokenizer" | "classifier":
                count = sum(self._learnt(parent, artifact.manifest.kind) for parent in parents)
                return ("statistics", count) if count else ("clean", None)
            case "tokens":
                found = exposure.ranges.filter(pl.col("tokens") == artifact.id).height
                return ("tokens", found) if found else ("clean", None)
            case "checkpoint":
                if (found := exposure.documents_in(artifact.id)) or "checkpoint" in of.get("trained", []):
                    return "trained", found or None
                return ("vocabulary" if {"statistics", "vocabulary"} & of.keys() else "clean"), None
            case "scores":
                found = self._count(artifact, "items/*.parquet", "item_id")
                if found:
                    return "scored", found
                return (
                    "derived" if "checkpoint" in [*of.get("trained", []), *of.get("vocabulary", [])] else "clean"
                ), None
            case "report":
                return ("derived" if set(of) - {"clean"} else "clean"), None
        return "clean", None  # a source: raw files, that others answer for

    def _of_corpus(self, corpus: Artifact, *, decided: bool) -> tuple[What, int | None]:
        if kept := self._documents(corpus).height:
            return "documents", kept
        if dropped := self._count(corpus, "dropped/*.parquet", "id", but=FORGET):
            return "dropped", dropped
        return ("decided" if decided else "clean"), None

    def _documents(self, corpus: Artifact) -> pl.DataFrame:
        """Id, source and split of those that the corpus keeps."""
        if corpus.id not in self._kept:
            parts = [pl.DataFrame(schema={"id": pl.String, "source": pl.String, "split": pl.String})]
            for file in sorted((corpus.path / "documents").glob("*.parquet")):
                rows = pl.scan_parquet(file)
                split = pl.col("split") if "split" in rows.collect_schema() else pl.lit("train").alias("split")
                parts.append(
                    rows.select("id", "source", split).filter(pl.col("id").is_in(self.ids.implode())).collect()
                )
            self._kept[corpus.id] = pl.concat(parts)
        return self._kept[corpus.id]

    def _learnt(self, parent: Artifact, kind: Kind) -> int:
        """How many of the documents a tokenizer or classifier could learn from: of a corpus, or of raw files."""
        if parent.manifest.kind == "corpus":
            kept = self._documents(parent)
            return kept.filter(pl.col("split") == "train").height if kind == "tokenizer" else kept.height
        if parent.manifest.kind == "source" and kind == "classifier":
            return int(self.ids.str.starts_with(f"{parent.manifest.config['name']}/").sum())
        return 0

    def _count(self, artifact: Artifact, files: str, column: str, *, but: str | None = None) -> int:
        """How many of the documents a table of an artifact names, apart from rows of one step."""
        found = 0
        for file in sorted(artifact.path.glob(files)):
            rows = pl.scan_parquet(file).filter(pl.col(column).is_in(self.ids.implode()))
            rows = rows if but is None else rows.filter(pl.col("step") != but)
            found += rows.select(pl.col(column).n_unique()).collect().item()
        return found


def _closure(first: Iterable[str], following: Mapping[str, Sequence[str]]) -> list[str]:
    """These and all that can be reached from them, each once, nearest first."""
    found = dict.fromkeys(first)
    queue = list(found)
    while queue:
        for one in following.get(queue.pop(0), ()):
            if one not in found:
                found[one] = None
                queue.append(one)
    return list(found)


def _is_record(artifact: Artifact) -> bool:
    return artifact.manifest.kind == "report" and artifact.manifest.config.get("report") == RECORD


def _relative(path: Path, runs: Path) -> str:
    return Path(os.path.relpath(path, runs)).as_posix()


def _places(runs: Path, corpus: Artifact) -> dict[str, list[str]]:
    """Where each artifact lies, with all copies: a copy that is overlooked is a document that was not forgotten."""
    found: dict[str, list[str]] = {corpus.id: [_relative(corpus.path, runs)]}
    for file in sorted(runs.rglob(MANIFEST)):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # of some other program; lineage.index has refused a damaged one of ours
        if isinstance(content, dict) and "id" in content:
            places = found.setdefault(str(content["id"]), [])
            if (place := _relative(file.parent, runs)) not in places:
                places.append(place)
    return found


def _unfinished(runs: Path, names: set[str]) -> Iterable[tuple[str, str]]:
    """Folders in which something is being made from what is touched."""
    for file in sorted(runs.rglob(f"*.partial/{PLAN}")):
        plan = json.loads(file.read_text(encoding="utf-8"))
        if names & set(plan["parents"]):
            yield _relative(file.parent, runs), plan["kind"]


def _unknown(known: dict[str, Artifact], family: _Family, places: dict[str, list[str]]) -> Iterable[tuple[str, str]]:
    """What has a parent that is not here, and is not in the family by another way."""
    for identity in sorted(known.keys() - set(family.members), key=lambda one: places[one]):
        for parent in known[identity].manifest.parents:
            if parent not in known and not _is_record(known[identity]):
                yield places[identity][0], parent
