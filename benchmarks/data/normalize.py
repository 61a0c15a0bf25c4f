"""How fast text is normalised on one core, beside the peers' nearest equal steps, in one run.

    python -m benchmarks.data.normalize FOLDER     # the shared data; needs neologdn, ftfy, datatrove, hojichar

Two texts: Aozora works and Markdown files as published (CR LF, ruby, code fences; every line is edited), and as our
readers hand them to the step. Peers run on the published text, slow ones on every n-th document of it. Contenders take
turns, so all meet the same machine; the median of five turns counts, by the clock and by processor time (other work on
the machine slows the first). Peers do other things than we do: NFKC rewrites
㎡ and ①, neologdn removes spaces and tildes. The table says what each one does.
"""

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.data.report import environment, heading, mixed_texts, num_bytes, write

AT_LEAST = 200_000_000  # UTF-8 bytes
REPEATS = 5
BATCH = 1024  # documents, as a recipe hands them to a step
PEERS = ("neologdn", "ftfy", "datatrove", "hojichar")


class Contender(NamedTuple):
    does: str
    run: Callable[[], object]
    column: pa.Array


def published(folder: Path) -> list[str]:
    """Aozora works and Markdown files, decoded and nothing else."""
    texts = []
    for archive in sorted((folder / "raw").glob("aozora/*.tar.gz")) + sorted((folder / "raw").glob("*/*_md.tar.gz")):
        encoding, suffix = ("cp932", ".txt") if archive.parent.name == "aozora" else ("utf-8", ".md")
        with tarfile.open(archive) as members:
            for member in members:
                file = members.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
                if file is not None:
                    texts.append(file.read().decode(encoding))
    return texts


def by_columns(column: pa.Array) -> pa.Array:
    """What `normalize` was before: a polars or Arrow function over the column for each rule. No code is exempt."""
    import polars as pl

    from jpfm.text.width import _FULL_KANA, _HALF_KANA

    table = {chr(c): chr(c - 0xFEE0) for c in range(0xFF10, 0xFF5B) if chr(c - 0xFEE0).isalnum()}
    table |= {
        half + mark: unicodedata.normalize("NFKC", half + mark) for half in "ｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎｳ" for mark in "ﾞ"
    }
    table |= {half + "ﾟ": unicodedata.normalize("NFKC", half + "ﾟ") for half in "ﾊﾋﾌﾍﾎ"}
    table |= dict(zip(_HALF_KANA, _FULL_KANA, strict=True)) | {"～": "〜", "－": "−", "\u00a0": " ", "▁": "_"}
    table |= dict.fromkeys(("\r\n", "\r", "\u2028", "\u2029", "\u0085"), "\n")
    invisible = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060\ufeff]"
    series = pl.Series(pl.from_arrow(column)).str.replace_all(invisible, "")
    frame = series.to_frame("text").select(
        pl.col("text").str.replace_many(list(table), list(table.values()), leftmost=True)
    )
    series = frame["text"].str.replace_all(r"[ \t\u3000]+\n", "\n").str.replace_all(r"\n{3,}", "\n\n")
    series = series.str.strip_chars_end(" \t\n\u3000").str.strip_chars_start("\n")
    return pc.utf8_normalize(series.to_arrow().cast(pa.string()), form="NFC")


def contenders(whole: pa.Array, read: pa.Array, once: pa.Array) -> dict[str, Contender]:
    import neologdn
    from datatrove.pipeline.formatters import FTFYFormatter
    from hojichar import Document
    from hojichar.filters.document_filters import DocumentNormalizer

    from jpfm.text.normalize import DEFAULT, NormalizeRules, normalize

    loose = NormalizeRules(keep_fenced_code=False)
    every = NormalizeRules.model_validate({name: True for name, value in loose if isinstance(value, bool)})
    part, few = once.take(pa.array(range(0, len(once), 4))), once.take(pa.array(range(0, len(once), 40)))
    texts, few_texts = part.to_pylist(), few.to_pylist()
    fix, hojichar = FTFYFormatter(), DocumentNormalizer()

    def ours(column: pa.Array, rules: NormalizeRules = DEFAULT, *, spans: bool = False) -> Callable[[], object]:
        batches = [column.slice(start, BATCH) for start in range(0, len(column), BATCH)]
        if spans:
            return lambda: [normalize(batch, rules, spans=True) for batch in batches]
        return lambda: [normalize(batch, rules) for batch in batches]

    def each(function: Callable[[str], object], of: Sequence[str]) -> Callable[[], object]:
        return lambda: [function(text) for text in of]

    return {
        "ours": Contender("the defaults", ours(whole), whole),
        "ours, edits kept": Contender("and every change as a row", ours(whole, spans=True), whole),
        "ours, text of our readers": Contender("the defaults", ours(read), read),
        "ours, code not exempt": Contender("no search for fences", ours(whole, loose), whole),
        "ours, all rules": Contender("every switch on", ours(whole, every), whole),
        "polars and Arrow functions": Contender("our step before this kernel", lambda: by_columns(part), part),
        "Arrow utf8_normalize NFC": Contender("composition alone", lambda: pc.utf8_normalize(part, form="NFC"), part),
        "unicodedata NFKC": Contender(
            "width, and ㎡ ① ㈱ … too", each(lambda text: unicodedata.normalize("NFKC", text), texts), part
        ),
        "HojiChar DocumentNormalizer": Contender("NFKC", each(lambda one: hojichar.apply(Document(one)), texts), part),
        "neologdn": Contender("width, spaces, tildes, repeats", each(neologdn.normalize, few_texts), few),
        "datatrove FTFYFormatter": Contender("mojibake, controls, escapes", each(fix.format, few_texts), few),
    }  # fmt: skip


def compile_seconds() -> float:
    """Compilation in a new process with an empty cache, as the first batch of a fresh install meets it."""
    code = (
        "import time, pyarrow as pa\nfrom jpfm.text.normalize import normalize\nbegun = time.process_time()\n"
        "normalize(pa.array(['ｶﾞ']))\nprint(time.process_time() - begun)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environ = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(folder: Path) -> None:
    for threads in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):  # read when a library is imported
        os.environ[threads] = "1"
    facts = environment(("numba", "numpy", "polars", "pyarrow", *PEERS))
    pa.set_cpu_count(1)
    texts = published(folder)
    once = pa.array(texts, pa.string())
    whole = pa.array(texts * -(-AT_LEAST // num_bytes(once)), pa.string())
    runs = contenders(whole, mixed_texts(folder, at_least=AT_LEAST), once)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    worked: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(REPEATS + 1):  # the first one warms up
        for name, contender in runs.items():
            begun, worked_before = time.perf_counter(), time.process_time()
            contender.run()
            if turn:
                taken[name].append(time.perf_counter() - begun)
                worked[name].append(time.process_time() - worked_before)
    speeds = {}
    for name, contender in runs.items():
        size = num_bytes(contender.column) / 1e6
        speeds[name] = {
            "does": contender.does, "megabytes": round(size, 1), "documents": len(contender.column),
            "megabytes_per_second": round(size / statistics.median(taken[name]), 1),
            "megabytes_per_cpu_second": round(size / statistics.median(worked[name]), 1),
            "slowest": round(size / max(taken[name]), 1), "fastest": round(size / min(taken[name]), 1),
        }  # fmt: skip
    from jpfm.text.normalize import normalize

    rules = Counter(normalize(once, spans=True)[1]["rule"].to_pylist())
    result: dict[str, Any] = {"environment": facts, "speeds": speeds, "edits_by_rule": dict(rules.most_common())}
    result["compile_seconds"] = round(compile_seconds(), 1)
    lines = [heading("Normalisation on one core", facts)]
    lines.append(
        f"Median of {REPEATS} turns; contenders took turns in one process. MB are 10^6 bytes of UTF-8 input.\n"
    )
    lines.append(
        "| | does | MB | documents | MB/s | MB per CPU second | slowest to fastest |\n|---|---|--:|--:|--:|--:|--:|"
    )
    for name, of in speeds.items():
        lines.append(
            f"| {name} | {of['does']} | {of['megabytes']} | {of['documents']} | **{of['megabytes_per_second']}** "
            f"| {of['megabytes_per_cpu_second']} "
            f"| {of['slowest']} to {of['fastest']} |"
        )
    edits = ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common())
    lines.append(f"\nEdits in one copy of the published text ({num_bytes(once) / 1e6:.1f} MB): {edits}.")
    lines.append(
        f"\nFirst call without compilation cache: {result['compile_seconds']} CPU seconds; later processes load it."
    )
    write("normalize", result, "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
