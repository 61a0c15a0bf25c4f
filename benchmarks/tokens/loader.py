"""Batches of tokens a second, one process: TokenOrder and Loader, numpy over a memmap, and Hugging Face datasets.

    python -m benchmarks.tokens.loader SCRATCH [--millions 200] [--seq-len 4096] [--record]

Each reads the same rows of the same ids in a shuffled order and gives uint32 (ours), int64 (numpy, as a training script
usually does for torch) or numpy arrays (datasets), 64 rows a batch, the file in the page cache. Start-up is timed on a
blend of 10^10 rows of which nothing but the settings exists. Medians of 5.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from benchmarks.data import report

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.tokens.index import write_index
from jpfm.tokens.loader import Loader
from jpfm.tokens.mixture import Mixture
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.permutation import permute
from jpfm.tokens.store import Span, TokenStore

ROWS = 64
_SOURCES = {"web": 0.7, "law": 0.2, "novels": 0.1}
_DOCUMENT = 1000


def made(folder: Path, tokens: int) -> Artifact:
    """Three sources of random ids, documents of 1,000 tokens."""

    def work(draft: Draft) -> Finished:
        files = []
        for number, (source, share) in enumerate(_SOURCES.items()):
            count = int(tokens * share) // _DOCUMENT * _DOCUMENT
            ids = np.random.default_rng(number).integers(4, 32_000, count, dtype=np.uint16)
            ids[_DOCUMENT - 1 :: _DOCUMENT] = 2
            ids.tofile(draft.path / f"{source}-00000.bin")
            lengths = np.full(count // _DOCUMENT, _DOCUMENT, dtype=np.int32)
            write_index(draft.path / f"{source}-00000.idx", lengths, np.dtype(np.uint16))
            pl.DataFrame({"id": [], "length": []}).write_parquet(draft.path / f"{source}-00000.docs.parquet")
            files.append({"name": f"{source}-00000", "source": source, "documents": len(lengths), "tokens": count})
        return Finished(
            {"vocab_size": 32_000, "eos": 2, "dtype": "uint16", "tokenizer": "none", "files": files,
             "tokens_by_source": {file["source"]: file["tokens"] for file in files}}
        )  # fmt: skip

    return artifacts.produce(folder, kind="tokens", version=2, config={"tokens": tokens}, parents=[], work=work)


def rates(run: Callable[[], int], repeats: int = 5) -> float:
    """Median tokens a second; the first turn, which warms the page cache, is not counted."""
    run()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        tokens = run()
        found.append(tokens / (time.perf_counter() - start))
    return float(np.median(found))


def datasets_of(stream: Any, seq_len: int, folder: Path) -> Any:
    """Rows as a data set on disk, shuffled the way its documentation shows."""
    import datasets
    import pyarrow as pa

    rows = len(stream) // (seq_len + 1)
    ids = pa.array(np.asarray(stream[: rows * (seq_len + 1)]).astype(np.int32))
    table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(ids, seq_len + 1)})
    place = folder / f"hf-{seq_len}-{rows}"
    if not place.exists():
        datasets.Dataset(table).save_to_disk(place)
    return datasets.load_from_disk(place).shuffle(seed=0).with_format("numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--millions", type=int, default=200)
    parser.add_argument("--seq-len", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    seq_len, steps = given.seq_len, given.steps
    store = TokenStore.open(made(given.scratch / f"tokens-{given.millions}", given.millions * 1_000_000))
    order = TokenOrder(store, seq_len, ROWS, mixture=Mixture(weights=_SOURCES))
    per_run: int = steps * ROWS * seq_len
    result: dict[str, Any] = {}

    def ours() -> int:
        with Loader(order, 0, steps) as loader:
            return sum(int(rows.shape[0]) * int(seq_len) for _, rows in loader)

    def ours_alone() -> int:
        out = np.empty((ROWS, seq_len + 1), dtype=np.uint32)
        for step in range(steps):
            order.fill(out, step)
        return per_run

    stream = np.memmap(store.files[0].bin, dtype=np.uint16, mode="r")
    rows = (len(stream) - 1) // seq_len
    shuffled = permute(np.arange(rows), rows, 7)

    def gather() -> int:
        for step in range(steps):
            numbers = shuffled[np.arange(step * ROWS, (step + 1) * ROWS) % rows]
            np.asarray(stream[numbers[:, None] * seq_len + np.arange(seq_len + 1)]).astype(np.int64)
        return per_run

    def slices() -> int:
        for step in range(steps):
            numbers = shuffled[np.arange(step * ROWS, (step + 1) * ROWS) % rows]
            np.stack([stream[n * seq_len : (n + 1) * seq_len + 1] for n in numbers.tolist()]).astype(np.int64)
        return per_run

    result["TokenOrder + Loader"] = rates(ours)
    result["TokenOrder.fill alone"] = rates(ours_alone)
    result["numpy memmap gather"] = rates(gather)
    result["numpy memmap slices"] = rates(slices)
    data = datasets_of(stream, seq_len, given.scratch)
    few = max(1, steps // 20)

    def hugging_face() -> int:
        done = 0
        for batch in data.iter(batch_size=ROWS):
            done += 1
            assert batch["input_ids"].shape == (min(ROWS, len(batch["input_ids"])), seq_len + 1)
            if done == few:
                break
        return int(done * ROWS * seq_len)

    result["Hugging Face datasets, shuffled"] = rates(hugging_face, 3)

    start = time.perf_counter()
    spans = {f"s{n}": Span(n * 10**12 * 4, (n + 1) * 10**12 * 4) for n in range(10)}
    huge = TokenStore((), (), np.array([0, 4 * 10**13]), spans, ())
    weights = {f"s{n}": 0.1 for n in range(10)}
    blend = TokenOrder(huge, 4096, 512, mixture=Mixture(weights=weights))
    blend.rows(10**6)
    start_up = time.perf_counter() - start
    start = time.perf_counter()
    for step in range(200):
        blend.rows(step * 7919)
    step_seconds = (time.perf_counter() - start) / 200
    figures = {
        "seq_len": seq_len, "rows_a_batch": ROWS, "millions": given.millions, "tokens_a_second": result,
        "start_up": {"rows": blend.num_rows, "seconds": start_up, "microseconds_a_step": step_seconds * 1e6},
        "environment": report.environment(("numba", "numpy", "datasets")),
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    if given.record:
        lines = [
            f"{report.heading('Loader: tokens a second into batches', figures['environment'])}",
            f"Rows of {seq_len:,} + 1 tokens, {ROWS} a batch, in the page cache, one process; medians.", "",
            "| way | million tokens a second |", "|---|---:|",
            *(f"| {name} | {rate / 1e6:,.0f} |" for name, rate in result.items()), "",
            f"Start-up with {blend.num_rows:,} rows in ten sources, first step included: {start_up * 1000:.1f} ms; "
            f"the rows of a step of 512 are then worked out in {step_seconds * 1e6:.0f} us.",
        ]  # fmt: skip
        report.write("loader", figures, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
