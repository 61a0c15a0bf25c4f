"""The step that finds evaluation items in documents: drop the document, cut the item out, or mark it.

    - step: decontaminate
      benchmarks:
        - {name: jsquad, path: bench/jsquad/valid.json.gz, items: data.paragraphs.qas, fields: [question], id_field: id}

An item is found where `minimum_share` of its distinct n-grams stand close together in a document. Measured on 40 MB of
public Japanese text against the questions of eleven benchmarks: no share of 0.5 or more was a false one. The default is
0.7 because questions are made from sentences: at 0.5, 32 % of JSQuAD's questions are "found" in the passages they were
made from, at 0.7 18 %; captions of JNLI at 0.5 to 0.7 differ from those of JSTS in what they show. What 0.7 costs: with
one character changed, passages and long problems are found in 96 to 99 of 100 cases, questions of a sentence in 21 to
51 (at 0.5 in 36 to 73). Choices alone are no texts to look for: オーバーフローエラーが発生した is one of JMMLU's, and
stands in three C++ pages.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from jpfm.data.benchmarks import Action, Benchmark
from jpfm.data.document import CONTAMINATION, drop_table
from jpfm.data.item_index import BENCHMARKS, Hit, ItemIndex, item_index
from jpfm.data.steps.base import NO_CONTAMINATION, NO_DROPS, Changed, Step
from jpfm.data.steps.cuts import with_cuts
from jpfm.text import kernels
from jpfm.text.widen import widen, without

_EXCERPT = 200


class Decontaminate(Step):
    """Find evaluation items in documents by the n-grams they share, whatever their width, kana, numerals or readings.

    Adds `contaminated_by`: the benchmarks of which a document holds items still (those that are only marked). Every
    item found is a row of `contamination/`, also for documents that are dropped. Put it before `mask_personal_data`.
    """

    step: Literal["decontaminate"]
    benchmarks: Annotated[tuple[Benchmark, ...], pydantic.Field(min_length=1)]
    action: Action = "drop"
    """What happens where an item is found: no document, the document without the item, or only a mark."""
    ngram: Annotated[int, pydantic.Field(ge=4, le=64)] = 13
    """Unit characters of the key: punctuation and white space do not count."""
    minimum_share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.7
    """Of an item's distinct n-grams, as many must stand in one place of a document."""
    shortest: Annotated[int, pydantic.Field(ge=4, le=64)] | None = 11
    """Texts shorter than the n-gram are looked for whole if they have as many characters; null leaves them."""
    common_share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.005
    """An n-gram in more of a benchmark's texts (and in more than 10) is an instruction, and does not count."""
    adds = ("contaminated_by",)

    @pydantic.model_validator(mode="after")
    def _check_names(self) -> "Decontaminate":
        names = [benchmark.name for benchmark in self.benchmarks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"benchmarks: two are called '{min(twice)}'; rename one, or list its fields together")
        return self

    def check(self) -> None:
        """Every benchmark is there, can be read, and has something to look for."""
        self.index()

    def index(self) -> ItemIndex:
        """The items, read once a process."""
        resolved = tuple(
            one.model_copy(update={
                name: getattr(self, name) for name in ("ngram", "minimum_share", "action") if getattr(one, name) is None
            })
            for one in self.benchmarks
        )  # fmt: skip
        return item_index(resolved, shortest=self.shortest, common_share=self.common_share)

    def leave(self, corpus: Path) -> None:
        """Write what was looked for: counts of items found mean little without the items that could not be found."""
        pq.write_table(self.index().facts, corpus / BENCHMARKS, compression="zstd")

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Search a batch and act. Python sees only the documents with items."""
        index = self.index()
        by_row: dict[int, list[Hit]] = {}
        for hit in index.search(batch.column("text")):
            by_row.setdefault(hit.row, []).append(hit)
        marks: list[list[str]] = [[] for _ in range(batch.num_rows)]
        drops: dict[int, tuple[Hit, str]] = {}
        cuts: dict[int, list[tuple[int, int]]] = {}
        for row, hits in sorted(by_row.items()):
            of_action: dict[Action, list[Hit]] = {"drop": [], "cut": [], "mark": []}
            for hit in hits:
                of_action[index.groups[hit.group].action].append(hit)
            text = batch.column("text")[row].as_py()
            spans = widen(text, [(hit.start, hit.end) for hit in of_action["cut"]])
            if of_action["drop"]:
                drops[row] = (self._worst(index, of_action["drop"]), "")
            elif spans and not any(map(str.isalnum, without(text, spans))):
                drops[row] = (self._worst(index, of_action["cut"]), "; nothing is left without it")
            else:
                marks[row] = sorted({index.groups[hit.group].name for hit in of_action["mark"]})
                cuts[row] = spans
        found = _rows(index, batch, by_row)
        dropped = self._drops(index, batch, drops)
        cut = self._cut(batch, cuts)
        batch = cut.batch.append_column("contaminated_by", pa.array(marks, pa.list_(pa.string())))
        if drops:
            batch = batch.filter(pa.array([row not in drops for row in range(batch.num_rows)]))
        return Changed(batch, dropped, cut.edits, found)

    def _cut(self, batch: pa.RecordBatch, cuts: Mapping[int, Sequence[tuple[int, int]]]) -> Changed:
        view = kernels.buffers(batch.column("text"))
        rows, starts, ends = [], [], []
        for row, spans in cuts.items():
            text, first = batch.column("text")[row].as_py() if spans else "", int(view.offsets[row])
            for start, end in spans:
                rows.append(row)
                starts.append(first + len(text[:start].encode()))
                ends.append(first + len(text[:end].encode()))
        places = (np.array(values, dtype=np.int64) for values in (rows, starts, ends))
        return with_cuts(batch, self.name, "contamination", *places)

    @staticmethod
    def _worst(index: ItemIndex, hits: Iterable[Hit]) -> Hit:
        """The hit that a dropped document is reported with; the order of the benchmarks plays no part."""
        return min(hits, key=lambda hit: (-hit.share, index.groups[hit.group].name, min(hit.items)))

    def _drops(self, index: ItemIndex, batch: pa.RecordBatch, drops: Mapping[int, tuple[Hit, str]]) -> pa.Table:
        tables = []
        for threshold in sorted({index.groups[hit.group].minimum_share for hit, _ in drops.values()}):
            own = {row: drop for row, drop in drops.items() if index.groups[drop[0].group].minimum_share == threshold}
            details = [f"{index.groups[hit.group].name} {min(hit.items)}{why}" for hit, why in own.values()]
            tables.append(
                drop_table(
                    batch, pa.array(list(own), pa.int64()), step=self.name, reason="contaminated",
                    values=[hit.share for hit, _ in own.values()], threshold=threshold, details=details,
                )
            )  # fmt: skip
        return pa.concat_tables(tables) if tables else NO_DROPS


def _rows(index: ItemIndex, batch: pa.RecordBatch, by_row: Mapping[int, list[Hit]]) -> pa.Table:
    """Rows for `contamination/`: of each item in each document the place that holds most of it."""
    rows: list[dict[str, Any]] = []
    for row, hits in sorted(by_row.items()):
        best: dict[tuple[str, str], Hit] = {}
        for hit in sorted(hits, key=lambda hit: (-hit.share, hit.start, hit.end)):
            for item in hit.items:
                best.setdefault((index.groups[hit.group].name, item), hit)
        text = batch.column("text")[row].as_py()
        document = {"id": batch.column("id")[row].as_py(), "source": batch.column("source")[row].as_py()}
        rows += [
            {**document, "benchmark": name, "item": item, "share": hit.share, "start": hit.start,
             "length": hit.end - hit.start, "excerpt": text[hit.start : min(hit.end, hit.start + _EXCERPT)]}
            for (name, item), hit in sorted(best.items())
        ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=CONTAMINATION) if rows else NO_CONTAMINATION
