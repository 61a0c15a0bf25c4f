"""The arm of jpfm in benchmarks.data.dedup: `jpfm data build` on a recipe with near_duplicates as its only step.

python -m benchmarks.data.dedup_ours verdicts CORPUS OUT     # after `jpfm data build OUT.yaml --out OUT`
python -m benchmarks.data.dedup_ours signatures CORPUS BYTES
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.data.planted import read

from jpfm.core.artifact import open_artifact
from jpfm.data.build import read_documents
from jpfm.data.steps.near_duplicates import NearDuplicates
from jpfm.text.dedup_key import KeyRules, keys
from jpfm.text.sketch import band_keys

_TURNS = 5
_BATCH = 2_000  # documents; about 4 million characters, as a build has them
RECIPE = """stage: data
name: planted
root: {corpus}
sources:
  - {{format: jsonl, name: planted, paths: ["part-*.jsonl"], rights: {{licence: CC0-1.0}}}}
steps:
  - {{step: near_duplicates, jaccard: {threshold}}}
"""


def verdicts(corpus: Path, out: Path) -> None:
    """Write OUT.verdicts.jsonl, {id, kept, of} for each document, from the built corpus."""
    names = {}
    for path in sorted(corpus.glob("part-*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            names[f"planted/{path.name}#{number}"] = json.loads(line)["id"]
    built = open_artifact(out, "corpus")
    kept = {name for batch in read_documents(built, ["id"]) for name in batch.column("id").to_pylist()}
    gone = {
        row["id"]: row["detail"]
        for path in sorted((out / "dropped").glob("*.parquet"))
        for row in pq.read_table(path, columns=["id", "detail"]).to_pylist()
    }
    if kept | set(gone) != set(names):
        raise SystemExit("the build does not account for every document")
    with out.with_name(f"{out.name}.verdicts.jsonl").open("w", encoding="utf-8", newline="\n") as told:
        for ours, name in names.items():
            of = None if ours in kept else names[gone[ours].removeprefix("same as ")]
            told.write(json.dumps({"id": name, "kept": ours in kept, "of": of}) + "\n")


def signatures(corpus: Path, num_bytes: int) -> dict[str, Any]:
    """Seconds for the sketches of a recipe's step, and for its kernels alone."""
    texts = read(corpus, ("text",)).column("text").combine_chunks()
    batches, size = [], 0
    for start in range(0, len(texts), _BATCH):
        batches.append(texts.slice(start, _BATCH))
        size += sum(len(text.encode()) for text in batches[-1].to_pylist())
        if size >= num_bytes:
            break
    step = NearDuplicates(step="near_duplicates")
    bands, rows = step.banding

    def kernels(batch: pa.Array) -> object:
        return band_keys(keys(batch, KeyRules()), size=step.ngram, bands=bands, rows_per_band=rows)

    ways: dict[str, Callable[[pa.Array], object]] = {
        f"jpfm near_duplicates ({bands} bands of {rows}; key, digest, sketch)": step.signature,
        f"jpfm key and sketch alone ({bands} bands of {rows})": kernels,
    }
    found = {}
    for name, way in ways.items():
        taken = []
        for turn in range(_TURNS + 1):  # the first one compiles
            clock, processor = time.perf_counter(), time.process_time()
            for batch in batches:
                way(batch)
            if turn:
                taken.append((time.perf_counter() - clock, time.process_time() - processor))
        found[name] = {"bytes": size, "turns": taken}
    return found


def main(action: str, *words: str) -> None:
    """Run one action."""
    if action == "verdicts":
        verdicts(Path(words[0]), Path(words[1]))
    elif action == "signatures":
        print(json.dumps(signatures(Path(words[0]), int(words[1]))))
    else:
        raise SystemExit(f"unknown action {action}; see the first lines of {__file__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
