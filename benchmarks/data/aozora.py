"""Aozora source to clean Parquet: a whole `jpfm data build`, one worker, on real works repeated to 200 MB.

    python -m benchmarks.data.aozora FOLDER [--input-mb 200] [--repeats 3]     # FOLDER holds raw/aozora

The recipe is one aozora source with the steps normalize, characters and length; what is timed is `build` from the call
to the finished artifact, with hashing of the input, zstd Parquet and the final checks in it. CPU seconds of the process
stand beside wall seconds: on a machine that others use, they are the time of one core. Twice: the works as plain .txt
files and as the .tar.gz they come in. Apart from that, the parts of the source alone (decode, header and colophon,
marks), so that the figure says what limits it. Writes `results/aozora.json` and `.md`.
"""

import argparse
import io
import shutil
import statistics
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from benchmarks.data.report import environment, heading, median_seconds, write

from jpfm.core.artifact import Artifact
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.data.sources.aozora import _split
from jpfm.data.sources.aozora_marks import clean
from jpfm.data.sources.archive import members
from jpfm.text.decode import decode

STEPS = ({"step": "normalize"}, {"step": "characters"}, {"step": "length"})


def works(folder: Path) -> list[tuple[str, bytes]]:
    """Every work under `raw/aozora`, by its name."""
    paths = sorted([*(folder / "raw" / "aozora").glob("*.tar.gz"), *(folder / "raw" / "aozora").glob("plain/*.txt")])
    return [(Path(m.name).name, m.read()) for path in paths for m in members(path, path.name)]


def lay_out(found: list[tuple[str, bytes]], root: Path, copies: int) -> None:
    """Copies of the works under `txt/` and, packed, under `tar/`."""
    for copy in range(copies):
        plain = root / "txt" / f"{copy:03}"
        plain.mkdir(parents=True)
        (root / "tar").mkdir(exist_ok=True)
        with tarfile.open(root / "tar" / f"{copy:03}.tar.gz", "w:gz", compresslevel=6) as archive:
            for name, data in found:
                (plain / name).write_bytes(data)
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


def recipe(root: Path, pattern: str) -> Recipe:
    """An aozora-only recipe."""
    source = {"format": "aozora", "name": "aozora", "paths": (pattern,), "rights": {"licence": "public-domain-JP"}}
    return Recipe.model_validate(
        {"stage": "data", "name": "aozora", "root": str(root), "sources": (source,), "steps": STEPS}
    )


def timed_build(root: Path, pattern: str, repeats: int) -> tuple[list[float], list[float], Artifact]:
    """Wall and CPU seconds of each build, and the last artifact."""
    wall, cpu, made = [], [], None
    for number in range(repeats + 1):  # the first compiles and warms the page cache
        out = root / f"out-{number}"
        begun, spent = time.perf_counter(), time.process_time()
        made = build(recipe(root, pattern), out, engine=Engine(workers=1))
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - spent)
        if number < repeats:
            shutil.rmtree(out)
    assert made is not None
    return wall[1:], cpu[1:], made


def text_bytes(corpus: Artifact) -> int:
    """UTF-8 bytes of the text that the corpus kept."""
    files = sorted((corpus.path / "documents").glob("*.parquet"))
    return sum(pc.sum(pc.binary_length(pq.read_table(file, columns=["text"]).column("text"))).as_py() for file in files)


def parts(found: list[tuple[str, bytes]], repeats: int) -> dict[str, float]:
    """Input MB/s of each part of the source alone."""
    size = sum(len(data) for _, data in found) / 1e6
    texts = [decode(data).text.replace("\r\n", "\n") for _, data in found]
    bodies = [_split(text)[1] for text in texts]
    return {
        "decode": size / median_seconds(lambda: [decode(data) for _, data in found], repeats=repeats),
        "header_and_colophon": size / median_seconds(lambda: [_split(text) for text in texts], repeats=repeats),
        "marks": size / median_seconds(lambda: [clean(body) for body in bodies], repeats=repeats),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--input-mb", type=float, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    facts = environment()
    found = works(options.folder)
    once = sum(len(data) for _, data in found)
    copies = max(1, -(-int(options.input_mb * 1e6) // once))
    result: dict[str, Any] = {
        "environment": facts, "works": len(found), "copies": copies, "input_bytes": once * copies,
        "repeats": options.repeats, "steps": [step["step"] for step in STEPS], "workers": 1,
        "parts_input_mb_per_second": parts(found, options.repeats), "builds": {},
    }  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(found, root, copies)
        for label, pattern in (("plain .txt", "txt/*/*.txt"), (".tar.gz", "tar/*.tar.gz")):
            wall, cpu, corpus = timed_build(root, pattern, options.repeats)
            kept = text_bytes(corpus)
            shutil.rmtree(corpus.path)
            read = result["input_bytes"] / 1e6
            figures: dict[str, Any] = {
                "wall_seconds": wall, "cpu_seconds": cpu, "documents": corpus.manifest.stats["total"]["kept"],
                "kept_utf8_bytes": kept,
            }  # fmt: skip
            row = f"| {label} |"
            for clock, seconds in (("wall", statistics.median(wall)), ("cpu", statistics.median(cpu))):
                figures[f"input_mb_per_{clock}_second"] = read / seconds
                figures[f"output_mb_per_{clock}_second"] = kept / 1e6 / seconds
                row += f" {seconds:.1f} | {read / seconds:.1f} | {kept / 1e6 / seconds:.1f} |"
            result["builds"][label] = figures
            rows.append(row)
    page = heading("Aozora source to clean Parquet", facts) + (
        f"\n{len(found)} works x {copies} = {result['input_bytes'] / 1e6:.0f} MB of CP932; one worker; steps "
        f"{', '.join(result['steps'])}; median of {options.repeats} whole builds after one to warm up.\n\n"
        "| input | wall s | MB/s of CP932 read | MB/s of UTF-8 kept | CPU s | MB/s read | MB/s kept |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "The source's parts alone, MB/s of CP932: "
        + ", ".join(f"{name} {rate:.0f}" for name, rate in result["parts_input_mb_per_second"].items())
        + ".\n\nGoal of issue 3: 20 MB/s.\n"
    )
    write("aozora", result, page)
    print(page)


if __name__ == "__main__":
    main()
