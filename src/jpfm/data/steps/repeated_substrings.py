"""Passages that stand in several documents, wherever they begin and end: each stays where it stands first.

    - step: repeated_substrings
      size: 100

What Lee et al. 2022 (arXiv:2107.06499) do with a suffix array of the corpus, by samples: of every `window` consecutive
n-grams of `size` key characters one is kept (`text.winnow`), 8 bytes for about window / 2 characters, and those that
enough documents have are looked up when the documents are read again. A passage of at least size + window - 1 key
characters that stands in enough documents is always found, a shorter one of at least `size` often. Nothing is cut on a
hash alone: the text is compared with the first document that has the n-gram, and the copy is followed to its ends; of
ends that only later documents share, up to window - 1 characters are not seen. Sentences are cut whole or not at all.
Memory: 1 GB a worker to count; the decision (repeated text once, 40 bytes a sampled n-gram of it) is mapped, not read.
Refused: a suffix array (8 bytes for each byte of text, sorted on one machine).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.shards import map_shards
from jpfm.data.duplicates.counting import frequent_keys, per_document
from jpfm.data.duplicates.passages import PASSAGES, Decision, Found, Places, Writer
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, CorpusStep, ShardFiles, Sketched
from jpfm.data.steps.cuts import with_cuts
from jpfm.text.dedup_key import KeyRules, Keys, keys
from jpfm.text.kernels import hash_rows
from jpfm.text.lines import Segments, hash_spans, segments, texts
from jpfm.text.passages import References, joined, matches, spans
from jpfm.text.winnow import Grams, winnow

REPEATED = "repeated_substrings.parquet"
"""In a corpus: the passages that `repeated_substrings` looked for, as their first document has them."""
_BATCH = 1024


class PassageJob(NamedTuple):
    """N-grams whose text is wanted, and the shard that has them first."""

    step: "RepeatedSubstrings"
    documents: Path
    keys: npt.NDArray[np.uint64]


class RepeatedSubstrings(CorpusStep):
    """Cut passages that other documents have too out of all documents but the first."""

    step: Literal["repeated_substrings"]
    size: Annotated[int, pydantic.Field(ge=10, le=10_000)] = 100
    """Shortest passage that counts, in characters of the key (without spaces and punctuation)."""
    window: Annotated[int, pydantic.Field(ge=1, le=10_000)] = 50
    """Of so many neighbouring n-grams one is kept. Repeats of size + window - 1 characters are found for certain."""
    minimum_documents: Annotated[int, pydantic.Field(ge=2)] = 2
    """A passage counts when it stands in at least this many documents."""
    keep_first: bool = True
    """The first document keeps the passage. False cuts it there too, but for its ends: up to window - 1 characters and
    the rest of their sentences."""
    whole_sentences: bool = True
    """Cut whole sentences and lines of a passage, if they come to size / 2 characters; false cuts to the character."""
    code: bool = False
    """Cut in fenced code (``` or ~~~) too."""
    key: KeyRules = KeyRules()
    """What makes no difference between two copies."""

    def _grams(self, batch: pa.RecordBatch, *, places: bool) -> tuple[Segments, Keys, Grams]:
        """The sampled n-grams of the batch's prose."""
        prose = segments(batch.column("text"), code=self.code)
        found = keys(prose.column, self.key, places=places)
        grams = winnow(found, size=self.size, window=self.window)
        return prose, found, grams.where(grams.rows % 2 == 0)  # the rows between hold code

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The sampled n-grams, and in how many documents of the batch each stands."""
        prose, _, grams = self._grams(batch, places=False)
        distinct, documents = per_document(prose.units.rows[grams.rows // 2], grams.hashes)
        return pa.record_batch([distinct, documents], names=["key", "documents"])

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """The n-grams that enough documents have, with the passages around them in the first document of each."""
        shards, before = sketched.shards, sketched.before
        found = frequent_keys(
            [shard.sketch for shard in shards], self.minimum_documents, scratch=sketched.scratch, engine=sketched.engine
        )
        wanted = [found.keys[found.first == number] for number in range(len(shards))]
        known: dict[int, Found] = {}
        if before is not None:  # of shards that did not change the passages are known
            for number, old in enumerate(Decision.open(before.decision).by_shard()):
                same = np.array_equal(np.sort(old.places.keys), wanted[number])
                if same and shards[number].sketch.samefile(before.sketches[number]):
                    known[number] = old
        numbers = [number for number in range(len(shards)) if len(wanted[number]) and number not in known]
        sketched.need([shards[number].name for number in numbers])
        jobs = [PassageJob(self, shards[number].documents, wanted[number]) for number in numbers]
        made = iter(map_shards(passages_of, jobs, sketched.engine))
        with Writer(decision, found) as writer:
            for number, keys_here in enumerate(wanted):
                here = known[number] if number in known else next(made)[1] if len(keys_here) else Found.nothing()
                if len(here.places.keys) != len(keys_here):
                    raise ArtifactError(
                        f"{self.name}: the documents of shard {shards[number].name} are not those that were sketched",
                        hint="something wrote into the unfinished corpus; remove it and build again",
                    )
                writer.add(here)

    def load(self, decision: Path, shard: str) -> Decision:
        return Decision.open(decision)

    def differs(self, before: Path, now: Path, shard: ShardFiles) -> bool:
        """Whether an n-gram of the shard is repeated in one decision alone, or stands first in another document."""
        own = pq.read_table(shard.sketch, columns=["key"]).column("key").to_numpy()
        old, new = (Decision.open(folder).compared(own) for folder in (before, now))
        return not np.array_equal(old, new)

    def figures(self, decision: Path) -> dict[str, Any]:
        """How much text is repeated."""
        found = Decision.open(decision)
        return {
            "passages": found.passages.num_rows,
            "key_characters": pc.sum(found.passages.column("points")).as_py() or 0,
        }

    def keep(self, decision: Path, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """The passages stay readable in the corpus: edits alone only say where they stood."""
        found = Decision.open(decision).passages.select(PASSAGES.names)
        if found.num_rows == 0:
            return
        with pq.ParquetWriter(corpus / REPEATED, PASSAGES, compression="zstd") as writer:
            for batch in found.to_batches():
                writer.write_batch(batch)

    def apply(self, batch: pa.RecordBatch, decision: Decision) -> Changed:
        """Cut the passages; every cut is an edit."""
        if decision.passages.num_rows == 0 or batch.num_rows == 0:
            return Changed(batch, NO_DROPS, NO_EDITS)
        prose, found, grams = self._grams(batch, places=True)
        number = decision.find(grams.hashes)
        hits = np.flatnonzero(number >= 0)
        grams, places = grams.where(hits), decision.places.take(number[hits])
        own = batch.column("id").take(pa.array(prose.units.rows[grams.rows // 2]))
        other = pc.not_equal(decision.passages.column("id").take(pa.array(places.passage)), own).to_numpy()
        if self.keep_first:
            grams, places = grams.where(other), places.take(other)
        else:  # a document equals itself beyond what others have of it
            places = places._replace(before=places.before * other, after=places.after * other)
        known = References(decision.points, places.at, places.before, places.after)
        copies = matches(found, grams, known, size=self.size)
        cuts = spans(prose, found, copies, whole_sentences=self.whole_sentences, least=self.size // 2)
        return with_cuts(batch, self.name, "repeated_substring", *cuts)

    def passages(self, batch: pa.RecordBatch, wanted: npt.NDArray[np.uint64]) -> Found:
        """The first of each wanted n-gram of a batch, with what stands around it."""
        prose, found, grams = self._grams(batch, places=True)
        distinct, places = np.unique(grams.hashes, return_index=True)  # the first of each
        grams = grams.where(np.sort(places[np.isin(distinct, wanted, assume_unique=True)]))
        starts = np.maximum(found.offsets[grams.rows], grams.places - self.window + 1)
        ends = np.minimum(found.offsets[grams.rows + 1], grams.places + self.size + self.window - 1)
        around = joined(grams.rows, starts, ends)
        passage = np.searchsorted(around.starts, grams.places, side="right") - 1
        lengths = around.ends - around.starts
        at = (np.cumsum(lengths) - lengths - around.starts)[passage] + grams.places
        points = [found.points[start:end] for start, end in zip(around.starts, around.ends, strict=True)]
        rows = pa.array(prose.units.rows[around.rows // 2])
        ids = batch.column("id").take(rows)
        hashes = np.empty(len(passage), dtype=np.uint64)
        hash_spans(found.points.view(np.uint8), hash_rows(ids), passage, 4 * starts, 4 * ends, hashes)
        text = texts(batch.column("text"), spans(prose, found, around, whole_sentences=False))
        before, after = (sizes.astype(np.uint32) for sizes in (grams.places - starts, ends - grams.places - self.size))
        return Found(
            pa.table([batch.column("source").take(rows), ids, text], names=["source", "id", "text"]), lengths,
            np.concatenate([np.zeros(0, np.uint32), *points]),
            Places(grams.hashes, passage, at, before, after, hashes),
        )  # fmt: skip


def passages_of(job: PassageJob) -> Found:
    """The passages of the wanted n-grams of a shard."""
    left, made = job.keys, [Found.nothing()]
    for batch in pq.ParquetFile(job.documents).iter_batches(batch_size=_BATCH, columns=["id", "source", "text"]):
        made.append(job.step.passages(batch, left))
        left = np.setdiff1d(left, made[-1].places.keys, assume_unique=True)
        if len(left) == 0:
            break
    return Found.joined(made)
