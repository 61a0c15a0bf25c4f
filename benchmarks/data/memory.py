"""Peak memory of a worker on one very large file: a 5 GB file streams in less than 1.5 GB.

    python -m benchmarks.data.memory FOLDER SCRATCH [GIGABYTES]

FOLDER is the shared data, SCRATCH an empty folder with room for twice the size. Each file is built by one process with
one worker over the steps [normalize, characters, length]; its peak resident memory is what the kernel counted.
"""

import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard
from benchmarks.data.report import environment, heading, mixed_texts, write

from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.recipe import Recipe


def jsonl(texts: list[str]) -> Iterator[bytes]:
    while True:
        for text in texts:
            yield json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"


def plain(texts: list[str]) -> Iterator[bytes]:
    while True:
        for text in texts:
            yield text.encode() + b"\n\n"


def one_line(texts: list[str]) -> Iterator[bytes]:
    """A first record, a line without end, nothing else."""
    yield b'{"text": "' + texts[0][:500].replace('"', "").replace("\n", "").replace("\\", "").encode() + b'"}\n'
    while True:
        for text in texts:
            yield text.replace("\n", " ").encode()


KINDS: dict[str, tuple[str, Callable[[list[str]], Iterator[bytes]], dict[str, Any]]] = {
    "one.jsonl": ("jsonl", jsonl, {}),
    "one.jsonl.zst": ("jsonl", jsonl, {}),
    "one.txt": ("text", plain, {}),
    "line.jsonl": ("jsonl", one_line, {}),
}


def make(path: Path, parts: Iterator[bytes], size: int) -> None:
    with path.open("wb") as raw:
        file = zstandard.ZstdCompressor(level=1).stream_writer(raw) if path.suffix == ".zst" else raw
        done = 0
        for part in parts:
            file.write(part)
            done += len(part)
            if done >= size:
                break
        if file is not raw:
            file.close()


def run(folder: Path, name: str, form: str, settings: dict[str, Any], result: Any) -> None:
    """In a process of its own, so that the peak is this file's."""
    recipe = Recipe.model_validate(
        {
            "stage": "data", "name": "memory", "root": str(folder),
            "sources": [{"format": form, "name": "one", "paths": [name], "rights": {"licence": "CC0-1.0"}} | settings],
            "steps": [{"step": "normalize"}, {"step": "characters"}, {"step": "length", "minimum_chars": 10}],
        }
    )  # fmt: skip
    begun = time.perf_counter()
    made = build(recipe, folder / "out", engine=Engine(workers=1))
    assert made is not None
    total = made.manifest.stats["total"]
    result.put(
        {
            "seconds": time.perf_counter() - begun,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            **{key: total[key] for key in ("read", "kept", "chars", "quarantined")},
        }
    )


def main() -> None:
    """Run the benchmark."""
    data, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    size = int(float(sys.argv[3] if len(sys.argv) > 3 else 5) * 1e9)
    texts = [text for text in mixed_texts(data, at_least=1).to_pylist() if len(text) > 100]
    facts = environment()
    rows = {}
    for name, (form, parts, settings) in KINDS.items():
        folder = scratch / name
        folder.mkdir(parents=True)
        make(folder / name, parts(texts), size)
        context = multiprocessing.get_context("spawn")
        result = context.Queue()
        process = context.Process(target=run, args=(folder, name, form, settings, result))
        process.start()
        rows[name] = result.get() | {"input_gb": size / 1e9}
        process.join()
        shutil.rmtree(folder)
    lines = [heading("Peak memory on one large file", facts), ""]
    lines += [
        "| file | unpacked GB | peak GB | MB/s | documents read | kept | quarantined |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['input_gb']:.1f} | {row['peak_gb']:.2f} | {size / 1e6 / row['seconds']:.1f} "
        f"| {row['read']:,} | {row['kept']:,} | {row['quarantined'] or 0} |"
        for name, row in rows.items()
    ]
    lines += ["", "Goal: under 1.5 GB. `line.jsonl` is one record and then a single line of the rest of the size: the "
              "line is quarantined (too_large), the record kept."]  # fmt: skip
    write("memory", {"environment": facts, "files": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
