"""The band join of near_duplicates over 20 million signatures on two workers: seconds, and memory of all processes.

    python -m benchmarks.data.band_join SCRATCH [--millions 20] [--workers 2] [--record]

Made-up signatures in files of a million, as a build's sketches: the digests of keys, 18 bands, a priority. One document
in ten is in a group of two to four that share some bands, one in a hundred is an exact copy, and one bucket of 100,000
look-alikes stands in the first band. So it is known which pairs must come out, and the benchmark fails where another
number does. The goal is 4 GB for all processes together (see `watch`). Needs 250 bytes of disk a signature.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.data import report
from benchmarks.data.watch import watch

from jpfm.data.steps.near_duplicates import banding

BANDS, ROWS_PER_BAND = banding(0.8)
_FILE_ROWS = 1_000_000
_GROUPED, _COPIED = 0.1, 0.01
_LARGE = 100_000
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def mix(values: U64) -> U64:
    """A 64-bit permutation with random-looking values (splitmix64)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)


def shared_in(group: U64, band: int) -> npt.NDArray[np.bool_]:
    """Whether the documents of a group have the same key in a band: surely in one, in every fourth of the others."""
    by_chance = mix(group * np.uint64(64) + np.uint64(band)) % np.uint64(4) == 0
    return np.asarray(by_chance | (group % np.uint64(BANDS) == np.uint64(band)), dtype=np.bool_)


def plan(count: int) -> tuple[I64, I64, I64]:
    """Who is whose copy and in whose group: (group of each row, row that each row copies, rows of the large bucket).

    Both are the row itself where nothing was planted. Shapes (count,), (count,), (min(100,000, a twentieth),).
    """
    draw = np.random.Generator(np.random.Philox(1))
    order = draw.permutation(count)
    group, copied = np.arange(count), np.arange(count)
    at = 0
    for size in (2, 3, 4):
        number = int(count * _GROUPED / 3 / size)
        members = np.sort(order[at : at + number * size].reshape(number, size), axis=1)
        group[members] = members[:, :1]
        at += number * size
    number = int(count * _COPIED)
    pairs = np.sort(order[at : at + 2 * number].reshape(number, 2), axis=1)
    copied[pairs] = pairs[:, :1]
    at += 2 * number
    return group, copied, np.sort(order[at : at + min(_LARGE, count // 20)])


def make(folder: Path, count: int) -> None:
    """Write the sketches."""
    folder.mkdir(parents=True)
    group, copied, large = plan(count)
    for number, start in enumerate(range(0, count, _FILE_ROWS)):
        stop = min(count, start + _FILE_ROWS)
        rows = np.arange(start, stop, dtype=np.uint64)
        here, own = group[start:stop].astype(np.uint64), copied[start:stop].astype(np.uint64)
        columns = {
            "id": pa.array([f"d{row:09d}" for row in range(start, stop)]),
            "key_high": mix(own + np.uint64(1 << 62)),
            "key_low": mix(own + np.uint64(1 << 61)),
            "priority": np.zeros(stop - start, dtype=np.uint64),
        }
        for band in range(BANDS):
            label = np.where(shared_in(here, band) & (here != rows), here, own)
            if band == 0:
                label[large[(large >= start) & (large < stop)] - start] = count
            columns[f"band_{band:03d}"] = mix(label * np.uint64(64) + np.uint64(band)) | np.uint64(1)
        pq.write_table(pa.table(columns), folder / f"sketch-{number:04d}.parquet", compression="zstd")


def expected(count: int) -> dict[str, int]:
    """What must come out: exact copies, pairs of small groups, pairs of the large bucket (first and neighbours)."""
    group, copied, large = plan(count)
    sizes = np.bincount(np.bincount(group), minlength=5)
    small = sum(int(sizes[size]) * size * (size - 1) // 2 for size in (2, 3, 4))
    return {
        "copies": int(np.sum(copied != np.arange(count))),
        "pairs": small + (2 * len(large) - 3 if len(large) > 8 else 0),
        "in_large_buckets": len(large) if len(large) > 8 else 0,
    }


def join(files: list[Path], scratch: Path, workers: int) -> dict[str, int]:
    """What near_duplicates does with sketches before it reads any text."""
    from jpfm.core.shards import Engine
    from jpfm.data.duplicates.bands import candidates
    from jpfm.data.duplicates.verdicts import Rows
    from jpfm.data.steps.exact_duplicates import copies, priorities_of, ranks

    rows = Rows(files)
    priority = priorities_of(rows, 0)
    same = copies(rows, ("key_high", "key_low"), priority, 0)
    taking_part = np.ones(rows.count, dtype=np.bool_)
    taking_part[same.rows] = False
    pairs, buckets = candidates(
        rows, BANDS, taking_part=taking_part, ranks=ranks(priority), earlier=0, scratch=scratch,
        engine=Engine(workers=workers),
    )  # fmt: skip
    return {"copies": len(same.rows), "pairs": len(pairs), "in_large_buckets": len(buckets.rows)}


def measure(scratch: Path, count: int, workers: int) -> dict[str, Any]:
    """Make signatures, join them in a process of its own, compare with what was planted.

    Raises:
        SystemExit: something else came out.
    """
    folder = scratch / "sketches"
    make(folder, count)
    out = scratch / "join"
    out.mkdir()
    told = watch([sys.executable, "-m", "benchmarks.data.band_join", str(scratch), "--join", "--workers", str(workers)])
    found, wanted = json.loads(told.output), expected(count)
    if found != wanted:
        raise SystemExit(f"planted {wanted}, found {found}")
    disk = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "signatures": count, "bands": BANDS, "workers": workers, "disk_gb": round(disk / 1e9, 2), "found": found,
        "seconds": round(told.seconds, 1), "processor_seconds": round(told.processor_seconds, 1),
        "resident_gb": round(told.resident_gb, 2), "proportional_gb": round(told.proportional_gb, 2),
        "processes": told.processes,
    }  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    row = result["join"]
    return (
        f"{report.heading('The band join', result['environment'])}\n"
        f"{row['signatures']:,} signatures of {row['bands']} bands ({row['disk_gb']} GB of sketches), {row['workers']}"
        " workers; every planted pair found, no other.\n\n"
        "| seconds | of processors | peak GB of all processes, resident | proportional | processes | pairs | goal |\n"
        "|---:|---:|---:|---:|---:|---:|---|\n"
        f"| {row['seconds']} | {row['processor_seconds']} | {row['resident_gb']} | {row['proportional_gb']} |"
        f" {row['processes']} |"
        f" {row['found']['pairs']:,} | 4 GB |\n"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--millions", type=float, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="write results/band_join.{json,md}")
    parser.add_argument("--join", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    scratch = asked.scratch.resolve()
    if asked.join:
        files = sorted((scratch / "sketches").glob("*.parquet"))
        print(json.dumps(join(files, scratch / "join", asked.workers)))
        return
    if scratch.exists() and any(scratch.iterdir()):
        raise SystemExit(f"{scratch} is not empty; name another folder")
    facts = report.environment()
    result = {"environment": facts, "join": measure(scratch, int(asked.millions * 1e6), asked.workers)}
    if asked.record:
        report.write("band_join", result, page(result))
    print(page(result), end="")


if __name__ == "__main__":
    main()
