"""The arm of rensa in benchmarks.data.dedup: the pipeline of its README over character 5-grams.

    PYTHON dedup_rensa.py build CORPUS OUT THRESHOLD     # OUT/kept.jsonl: the documents it keeps
    PYTHON dedup_rensa.py verdicts CORPUS OUT THRESHOLD  # the same, and OUT/verdicts.jsonl: what the scorer reads
    PYTHON dedup_rensa.py signatures CORPUS BYTES        # seconds of signatures alone, as JSON on stdout

PYTHON is that of an environment with rensa; this file imports nothing of jpfm. `RMinHashDeduplicator` with 128
permutations and its LSH, documents in corpus order, candidates confirmed by rensa with the similarity of the sketches.
Character 5-grams of the text as it is, as HojiChar feeds rensa. Refused for the build: sampled `rho` sketches, which
were no faster here (the time goes into making n-grams in Python) and whose flags also mark the first of two copies.
"""

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PERMUTATIONS = 128
_TURNS = 3


def tokens(text: str) -> list[str]:
    """The character 5-grams of a text."""
    return [text[i : i + 5] for i in range(max(1, len(text) - 4))]


def lines_of(corpus: Path) -> Iterator[str]:
    """The lines of all files, in corpus order."""
    for path in sorted(corpus.glob("part-*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            yield from lines


def build(corpus: Path, out: Path, threshold: float, *, tell: bool) -> None:
    """Read, sketch, join, verify, write, document by document.

    Args:
        tell: look up, for each document it drops, the kept one that it resembles. Not part of what is timed.
    """
    rensa: Any = importlib.import_module("rensa")  # by name: type checkers of jpfm do not know it
    out.mkdir(parents=True, exist_ok=True)
    index = rensa.RMinHashDeduplicator(threshold=threshold, num_perm=_PERMUTATIONS, use_lsh=True)
    told = (out / "verdicts.jsonl").open("w", encoding="utf-8", newline="\n") if tell else None
    waiting: list[str] = []

    def flush() -> None:
        rows = [json.loads(line) for line in waiting]
        flags = index.add_pairs((row["id"], tokens(row["text"])) for row in rows)
        kept.writelines(line for line, stays in zip(waiting, flags, strict=True) if stays)
        if told is not None:
            for row, stays in zip(rows, flags, strict=True):
                of = None if stays else next(iter(index.get_duplicate_sets([tokens(row["text"])])[0]), None)
                told.write(json.dumps({"id": row["id"], "kept": stays, "of": of}) + "\n")
        waiting.clear()

    with (out / "kept.jsonl").open("w", encoding="utf-8", newline="\n") as kept:
        for line in lines_of(corpus):
            waiting.append(line)
            if len(waiting) == 1_000:
                flush()
        flush()
    if told is not None:
        told.close()


def signatures(corpus: Path, num_bytes: int) -> dict[str, Any]:
    """Seconds for signatures of the first documents, n-grams included."""
    minhash: Any = importlib.import_module("rensa").RMinHash
    texts, size = [], 0
    for line in lines_of(corpus):
        texts.append(json.loads(line)["text"])
        size += len(texts[-1].encode())
        if size >= num_bytes:
            break
    ways: dict[str, Any] = {
        f"rensa RMinHash ({count} permutations)": lambda count=count: minhash.from_token_sets(
            (tokens(text) for text in texts), count, 42
        )
        for count in (112, 128)
    }
    ways["rensa rho (128, samples positions)"] = lambda: minhash.digest_matrix_from_token_sets_rho(
        [tokens(text) for text in texts], 128, 42
    )
    found = {}
    for name, way in ways.items():
        taken = []
        for _ in range(_TURNS):
            clock, processor = time.perf_counter(), time.process_time()
            way()
            taken.append((time.perf_counter() - clock, time.process_time() - processor))
        found[name] = {"bytes": size, "turns": taken}
    return found


def main(action: str, *words: str) -> None:
    """Run one action."""
    if action in ("build", "verdicts"):
        build(Path(words[0]), Path(words[1]), float(words[2]), tell=action == "verdicts")
    elif action == "signatures":
        print(json.dumps(signatures(Path(words[0]), int(words[1]))))
    else:
        raise SystemExit(f"unknown action {action}; see the first lines of {__file__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
