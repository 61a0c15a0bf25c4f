"""What every benchmark of the data floor shares: the machine, the text it runs over, medians, and where results go.

texts = mixed_texts(Path("FOLDER"), at_least=200_000_000)     # documents of natural size: Aozora works and Markdown
seconds = median_seconds(lambda: run(texts), repeats=5)
write("normalize", {"ours": {...}}, markdown_table)
"""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

RESULTS = Path(__file__).parents[1] / "results"
_ROOT = Path(__file__).parents[2]


def environment(packages: Sequence[str] = ("numba", "numpy", "polars", "pyarrow")) -> dict[str, Any]:
    """Hardware, commit and package versions of this run."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    cpu = platform.processor() or platform.machine()
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                cpu = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    changed = git("status", "--porcelain", "--", "src", "benchmarks/data")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "simd": [flag for flag in ("avx2", "avx512f", "amx_tile") if flag in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "commit": git("rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "load_average": round(os.getloadavg()[0], 2),
    }


def mixed_texts(folder: Path, *, at_least: int) -> pa.Array:
    """Text of Aozora works and Markdown pages as our readers give it, repeated to a size.

    Args:
        folder: the shared data (it holds raw/aozora and raw/cpprefjp).
        at_least: UTF-8 bytes.
    """
    from jpfm.data.document import Document
    from jpfm.data.sources.aozora import AozoraSource
    from jpfm.data.sources.markdown import MarkdownSource

    rights: Any = {"licence": "CC0-1.0"}
    sources = [
        AozoraSource(format="aozora", name="aozora", paths=("raw/aozora/*.tar.gz",), rights=rights),
        MarkdownSource(
            format="markdown", name="markdown", rights=rights,
            paths=("raw/arch-guidelines/*.tar.gz", "raw/cpprefjp/*.tar.gz"),
        ),
    ]  # fmt: skip
    once = [
        document.text
        for source in sources
        for piece in source.pieces(folder, 1 << 40)
        for document in source.documents(piece)
        if isinstance(document, Document)
    ]
    size = sum(len(text.encode()) for text in once)
    return pa.array(once * -(-at_least // size), pa.string())


def num_bytes(column: pa.Array) -> int:
    """UTF-8 bytes of a text column."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.binary_length(column)).as_py() or 0)


def median_seconds(action: Callable[[], object], *, repeats: int = 5) -> float:
    """Median wall seconds of an action that was run once before (compilation, caches)."""
    action()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def write(name: str, result: dict[str, Any], markdown: str) -> None:
    """Write `results/NAME.json` and `results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    (RESULTS / f"{name}.md").write_text(markdown.rstrip() + "\n", encoding="utf-8", newline="\n")


def heading(title: str, facts: dict[str, Any]) -> str:
    """The first lines of a result page: title, hardware, commit, versions."""
    versions = ", ".join(f"{key} {value}" for key, value in facts["packages"].items())
    return (
        f"# {title}\n\n{facts['cores']} cores, {facts['cpu']} ({', '.join(facts['simd'])}), {facts['memory_gib']} GiB; "
        f"Python {facts['python']}, {versions}; commit {facts['commit']}; load average at the start "
        f"{facts['load_average']}.\n"
    )
