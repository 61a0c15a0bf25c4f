"""Near duplicates: of documents that share most character n-grams one stays.

    - step: near_duplicates
      jaccard: 0.8
      prefer: {rule: newest, sources: [laws]}
      number_aware: true
      against: [out/2025.signatures]

Signatures find candidate pairs, exact Jaccard similarity over the n-grams of the keys confirms each, and a document
goes only for a similar one that stays (`clusters: kept`). Dakuten, small kana and numbers count: パリ is not ハリ,
令和5年 not 令和6年. Work: one pass over the text, a join of 8 bytes a band and document, and candidates' text again.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.core.artifact import Artifact, write_text
from jpfm.core.config import place
from jpfm.core.log import log
from jpfm.data.duplicates.bands import Buckets, band_name, candidates, unpack
from jpfm.data.duplicates.clusters import Edges, connected_clusters, kept_clusters, with_copies
from jpfm.data.duplicates.known import known_from, write_known
from jpfm.data.duplicates.prefer import Prefer
from jpfm.data.duplicates.store import Stores
from jpfm.data.duplicates.verdicts import Numbers, Rows, write_verdicts
from jpfm.data.duplicates.verify import NOTHING, Candidates, Confirmed, confirmed, gather_sets, similarities
from jpfm.data.steps.base import Changed, CorpusStep, Sketched, drop_decided
from jpfm.data.steps.exact_duplicates import copies, digests, kept_sizes, priorities_of, ranks, weights_of, with_sizes
from jpfm.text.dedup_key import KeyRules, keys
from jpfm.text.numerals import number_marks
from jpfm.text.sketch import band_keys

FIGURES = "figures.json"
_NUMBER_RULES = KeyRules(spaces=False, punctuation=False)  # 3.5 is not 35
_FOUND = 0.95  # of the pairs just at the threshold, so many become candidates when bands are chosen from it
_HASHES = 128


def banding(threshold: float) -> tuple[int, int]:
    """Bands and rows a band for a similarity: the most selective banding of about 128 values that still finds pairs.

    >>> banding(0.8), banding(0.7), banding(0.5)
    ((18, 7), (25, 5), (42, 3))

    Returns:
        (bands, rows_per_band): a pair at the threshold becomes a candidate with a probability of at least 0.95.
    """
    for rows in range(_HASHES, 1, -1):
        bands = _HASHES // rows
        if 1 - (1 - threshold**rows) ** bands >= _FOUND:
            return bands, rows
    return _HASHES, 1


class NearDuplicates(CorpusStep):
    """Keep one of documents that share most character n-grams. `cluster_size` counts what each one left stands for."""

    adds = ("cluster_size",)

    step: Literal["near_duplicates"]
    jaccard: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.8
    """Smallest similarity at which two documents count as one."""
    ngram: Annotated[int, pydantic.Field(ge=1, le=64)] = 5
    """Unit characters of the key."""
    key: KeyRules = KeyRules()
    """What makes no difference."""
    bands: Annotated[int, pydantic.Field(ge=1, le=512)] | None = None
    """Together with rows_per_band: documents of similarity s become candidates with probability
    1 - (1 - s^rows_per_band)^bands. Null chooses both from `jaccard`, for 0.95 at the threshold."""
    rows_per_band: Annotated[int, pydantic.Field(ge=1, le=64)] | None = None
    prefer: Prefer = Prefer()
    """Which of several documents stays."""
    clusters: Literal["kept", "connected"] = "kept"
    """kept: a document goes only for a similar one that stays. connected: all but one of what chains of pairs join."""
    number_aware: bool = False
    """For laws, minutes and filings: documents whose numbers or eras differ are kept, and counted apart."""
    except_sources: tuple[str, ...] = ()
    """Sources that are left alone: reference manuals, whose pages differ by a word on purpose."""
    against: tuple[str, ...] = place(())
    """Folders of signatures (`jpfm data signatures`): documents similar to one of an earlier corpus go too."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "NearDuplicates":
        if (self.bands is None) != (self.rows_per_band is None):
            raise ValueError("set bands and rows_per_band together, or neither")
        return self

    @property
    def banding(self) -> tuple[int, int]:
        """(bands, rows_per_band)"""
        if self.bands is not None and self.rows_per_band is not None:
            return self.bands, self.rows_per_band
        return banding(self.jaccard)

    @property
    def named_sources(self) -> tuple[str, ...]:
        """The sources that stay first, and those left alone."""
        return (*self.prefer.sources, *self.except_sources)

    def inputs(self) -> tuple[Artifact, ...]:
        """The signatures of earlier corpora."""
        return Stores.open(self.against).artifacts

    def check(self) -> None:
        """The signatures were made with this step's key, n-gram and bands."""
        bands, rows = self.banding
        Stores.open(self.against).require(
            self.name, key=self.key.model_dump(), ngram=self.ngram, bands=bands, rows_per_band=rows
        )

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Digest, band keys and priority of each document; a mark of its numbers where they count."""
        texts = batch.column("text")
        if self.except_sources:  # an empty text has no signature, so it is compared with nothing
            left_alone = pc.is_in(batch.column("source"), value_set=pa.array(self.except_sources, pa.string()))
            texts = pc.if_else(left_alone, "", texts)
        columns: dict[str, Any] = {"id": batch.column("id")} | self.signature(texts)
        columns |= {"priority": pa.array(self.prefer.priorities(batch)), **dict(weights_of(batch, "num_copies"))}
        return pa.record_batch(list(columns.values()), names=list(columns))

    def signature(self, texts: pa.Array, *, numbers: bool | None = None) -> dict[str, pa.Array]:
        """What a corpus of signatures keeps of each text as well."""
        bands, rows = self.banding
        found = keys(texts, self.key)
        pairs = digests(found)
        columns = {"key_high": pa.array(pairs[:, 0]), "key_low": pa.array(pairs[:, 1])}
        if self.number_aware if numbers is None else numbers:
            columns["numbers"] = pa.array(number_marks(keys(texts, _NUMBER_RULES)))
        matrix = band_keys(found, size=self.ngram, bands=bands, rows_per_band=rows)
        return columns | {band_name(band): pa.array(np.ascontiguousarray(matrix[:, band])) for band in range(bands)}

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """Candidates by bands, confirmed by exact similarity; the best of each cluster stays."""
        stores = Stores.open(self.against)
        rows = Rows([*stores.files, *(shard.sketch for shard in sketched.shards)])
        priority = priorities_of(rows, len(stores.files))
        numbers = rows.column("numbers") if self.number_aware else None
        same = copies(rows, ("key_high", "key_low"), priority, stores.count, marks=numbers)
        taking_part = np.ones(rows.count, dtype=np.bool_)
        taking_part[same.rows] = False
        pairs, buckets = candidates(
            rows, self.banding[0], taking_part=taking_part, ranks=ranks(priority), marks=numbers,
            earlier=stores.count, scratch=sketched.scratch, engine=sketched.engine,
        )  # fmt: skip
        similar = self._confirm(pairs, buckets, rows, sketched, stores)
        edges = similar.compared.at_least(self.jaccard)
        num_similar = len(edges.left)
        if numbers is not None:
            equal = numbers[edges.left] == numbers[edges.right]
            edges = Edges(*(column[equal] for column in edges))
        found = with_copies((kept_clusters if self.clusters == "kept" else connected_clusters)(edges, priority), same)
        sizes = kept_sizes(found, _weights(rows, len(stores.files)), stores.count)
        write_verdicts(
            found, rows, [shard.name for shard in sketched.shards], decision, reason="near_duplicate",
            threshold=self.jaccard, sizes=sizes, first=len(stores.files), words=stores.words,
        )  # fmt: skip
        write_known(similar.compared, decision)
        figures = {
            "documents": rows.count - stores.count, "equal_keys": len(same.rows),
            "pairs_compared": len(similar.compared.pairs), "pairs_similar": num_similar,
            "dropped": int((found.rows >= stores.count).sum()),
            "largest_cluster": int(sizes[1].max()) if len(sizes[1]) else 1, "unfinished_buckets": similar.unfinished,
        } | ({"pairs_kept_for_their_numbers": num_similar - len(edges.left)} if self.number_aware else {})  # fmt: skip
        log.info("%s: %s", self.name, ", ".join(f"{key} {value:,}" for key, value in figures.items()))
        write_text(decision / FIGURES, json.dumps(figures, sort_keys=True))

    def _confirm(
        self, pairs: npt.NDArray[np.uint64], buckets: Buckets, rows: Rows, sketched: Sketched, stores: Stores
    ) -> Confirmed:
        """Compare candidates by the n-gram sets of their texts; those of earlier corpora lie in their signatures."""
        first = len(stores.files)
        files = (*stores.files, *(shard.documents for shard in sketched.shards))
        before = sketched.before
        known = known_from(before.decision, before.sketches, rows, first) if before is not None else NOTHING
        gathered: list[Candidates] = []

        def sets_of(wanted: Numbers) -> Candidates:
            if not gathered or not np.isin(wanted, gathered[-1].rows).all():
                needed = [number - first for number, _, _ in rows.by_file(wanted) if number >= first]
                sketched.need([sketched.shards[number].name for number in needed])
                folder = sketched.scratch / f"sets{len(gathered)}"
                folder.mkdir()
                gathered.append(gather_sets(wanted, rows, files, self.key, self.ngram, folder, sketched.engine))
            return gathered[-1]

        def similarity(asked: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
            values, new = known.look_up(asked)
            if new.any():
                sets = sets_of(np.unique(np.concatenate(unpack(asked[new]))))
                values[new] = similarities(asked[new], sets, sketched.engine)
            return values

        return confirmed(pairs, buckets, self.jaccard, similarity, earlier=stores.count)

    def figures(self, decision: Path) -> dict[str, int]:
        """How many pairs were compared, similar, kept for their numbers."""
        return dict(json.loads((decision / FIGURES).read_text(encoding="utf-8")))

    def apply(self, batch: pa.RecordBatch, decision: pa.Table) -> Changed:
        """Drop the near duplicates and count them."""
        changed = drop_decided(batch, decision, self.name)
        return changed._replace(batch=with_sizes(changed.batch, decision, "cluster_size", "num_copies"))


def _weights(rows: Rows, first: int) -> npt.NDArray[np.uint64] | None:
    """How many documents each row stood for before; None where no step counted them."""
    own = Rows(rows.files[first:])
    earlier = np.ones(rows.count - own.count, dtype=np.uint64)
    return np.concatenate([earlier, own.column("weight")]) if own.has("weight") else None


def probability(similarity: float, bands: int, rows_per_band: int) -> float:
    """Chance that two documents of this similarity become candidates.

    >>> round(probability(0.8, *banding(0.8)), 3)
    0.986
    """
    return 1 - math.pow(1 - similarity**rows_per_band, bands)
