"""How fast the signals are, beside the nearest steps of datatrove, HojiChar and Swallow: one thread, one run.

    python -m benchmarks.data.signals FOLDER      # the shared data (raw/aozora, raw/cpprefjp, lists/hojichar)

Documents are whole Aozora works and Markdown pages. Ours runs over at least 200 MB in batches as `jpfm data build`
makes them; loops over documents (ours and theirs) over a sample of it, chosen once. Contenders take turns, so all meet
the same machine; the median of five turns counts, by the clock and by processor time (other work on the machine slows
the first). Writes results/signals.json and results/signals.md.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1", ARROW_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from benchmarks.data import report, swallow_rules

from jpfm.data.document import Document, to_batch
from jpfm.data.steps.base import Filter, Signal
from jpfm.data.steps.presets.swallow import SwallowV1
from jpfm.data.steps.signals import BulletinBoard, Characters, Compression, Lines, Repeats, Repetition, ZlibCompression
from jpfm.data.steps.word_signals import Nouns, WordList, WordLists, Words

REPEATS = 5
AT_LEAST = 200_000_000  # UTF-8 bytes
SAMPLE = 1_500_000  # for loops over documents
_BATCH_CHARS = 4_000_000
_LISTS = {"adult": "adult_keywords_ja", "adult_en": "adult_keywords_en", "violence": "violence_keywords_ja",
          "discrimination": "discrimination_keywords_ja", "advertisement": "advertisement_keywords_ja"}  # fmt: skip


def batches(texts: Sequence[str]) -> list[pa.RecordBatch]:
    """Record batches of about 4 million characters."""
    found, waiting, chars = [], [], 0
    for n, text in enumerate(texts):
        waiting.append(Document(str(n), text))
        chars += len(text)
        if chars >= _BATCH_CHARS:
            found.append(to_batch(waiting, "s", "CC0-1.0"))
            waiting, chars = [], 0
    return [*found, to_batch(waiting, "s", "CC0-1.0")]


def ours(parts: Sequence[pa.RecordBatch], *steps: Signal | Filter) -> Callable[[], None]:
    """Run steps over batches."""

    def run() -> None:
        for batch in parts:
            for step in steps:
                batch = step.run(batch).batch

    return run


def datatrove_rules() -> Callable[[str], None]:
    """Gopher's two filters with Japanese words, every rule passed so that every rule is computed."""
    from datatrove.data import Document as Theirs
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    wide: dict[str, Any] = {"language": "jpn_Jpan"}
    repetition = GopherRepetitionFilter(
        dup_line_frac=2, dup_para_frac=2, dup_line_char_frac=2, dup_para_char_frac=2,
        top_n_grams=tuple((n, 99.0) for n in (2, 3, 4)), dup_n_grams=tuple((n, 99.0) for n in range(5, 11)), **wide,
    )  # fmt: skip
    quality = GopherQualityFilter(
        min_doc_words=1, max_doc_words=10**9, min_avg_word_length=1, max_avg_word_length=10**6,
        max_symbol_word_ratio=10**6, max_bullet_lines_ratio=2, max_ellipsis_lines_ratio=2,
        max_non_alpha_words_ratio=1e-9, min_stop_words=1, stop_words=["の"], **wide,
    )  # fmt: skip

    def judge(text: str) -> None:
        document = Theirs(text=text, id="0")
        repetition.filter(document)
        quality.filter(document)

    return judge


def hojichar_rules(*, with_words: bool) -> Callable[[str], None]:
    """All filters of HojiChar that discard, each on every document (a rejected one is judged on)."""
    from hojichar import Document as Theirs
    from hojichar.filters import document_filters as filters

    names = ["AcceptJapanese", "DiscardAdultContentJa", "DiscardAdultContentEn", "DiscardDiscriminationContentJa",
             "DiscardViolenceContentJa", "DiscardBBSComments", "DiscardAds", "DiscardRareKuten",
             "CharRepetitionRatioFilter", "DiscardTooManySpecialToken", "SingleCharacterRepetitionFilter",
             "DiscardTooManyEndingEllipsis", "DiscardTooShortLines"]  # fmt: skip
    rules = [
        getattr(filters, name)() for name in names + ["DiscardTooManyNouns", "WordRepetitionRatioFilter"] * with_words
    ]

    def judge(text: str) -> None:
        document = Theirs(text)
        for rule in rules:
            rule.apply(document)

    return judge


def loop(judge: Callable[[str], object], texts: Sequence[str]) -> Callable[[], None]:
    """Judge texts one by one."""

    def run() -> None:
        for text in texts:
            judge(text)

    return run


class Contender(NamedTuple):
    who: str
    what: str
    bytes: int
    run: Callable[[], object]


def contenders(folder: Path, texts: Sequence[str], small: Sequence[str]) -> list[Contender]:
    """Everything that takes turns."""
    whole, part = batches(texts), batches(small)
    measured = [Lines(step="lines").run(batch).batch for batch in part]
    paths = {name: str(folder / "lists" / "hojichar" / f"{file}.txt") for name, file in _LISTS.items()}
    lists = tuple(WordList(name=name, path=path) for name, path in paths.items() if name != "adult_en")
    lists += (WordList(name="adult_en", path=paths["adult_en"], language="en"),)
    fast = (Characters(step="characters"), Lines(step="lines"), Repeats(step="repeats"))
    large = sum(len(text.encode()) for text in texts)
    size = sum(len(text.encode()) for text in small)
    columnar: list[tuple[str, Sequence[Signal | Filter]]] = [
        ("signals of swallow-v1: characters, lines, repeats", fast),
        ("the same and the filter swallow-v1", (*fast, SwallowV1(step="swallow-v1"))),
        *((step.name, (step,)) for step in fast),
        ("repetition (repeated 10-grams alone)", (Repetition(step="repetition"),)),
        ("compression (LZ4)", (Compression(step="compression"),)),
        ("bulletin_board", (BulletinBoard(step="bulletin_board"),)),
    ]
    loops: list[tuple[str, Sequence[pa.RecordBatch], Signal]] = [
        ("zlib_compression", part, ZlibCompression(step="zlib_compression")),
        ("word_lists (HojiChar's five)", measured, WordLists(step="word_lists", lists=lists)),
        ("nouns (fugashi)", part, Nouns(step="nouns")),
        ("words (fugashi)", part, Words(step="words")),
        ("words (sudachi)", part, Words(step="words", segmenter="sudachi")),
    ]
    return [
        *(Contender("jpfm", what, large, ours(whole, *steps)) for what, steps in columnar),
        *(Contender("jpfm", what, size, ours(column, step)) for what, column, step in loops),
        Contender("a slow reading of Swallow's rules", "swallow-v1 (stand-in for its script)", size,
                  loop(swallow_rules.judge, small)),
        Contender("HojiChar", "13 discarding filters without morphology", size,
                  loop(hojichar_rules(with_words=False), small)),
        Contender("HojiChar", "all 15 discarding filters", size, loop(hojichar_rules(with_words=True), small)),
        Contender("datatrove", "GopherRepetitionFilter, GopherQualityFilter", size, loop(datatrove_rules(), small)),
    ]  # fmt: skip


def main(folder: Path) -> None:
    packages = ("numba", "numpy", "pyarrow", "pyahocorasick", "fugashi", "sudachipy", "datatrove", "hojichar")
    facts = report.environment(packages)
    texts = report.mixed_texts(folder, at_least=AT_LEAST).to_pylist()
    small, size = [], 0
    for text in random.Random(1).sample(texts, len(texts)):
        bytes_ = len(text.encode())
        if size + bytes_ < SAMPLE and bytes_ < SAMPLE // 8:  # no single work is the sample
            small.append(text)
            size += bytes_
    everyone = contenders(folder, texts, small)
    chars = {everyone[0].bytes: sum(map(len, texts)), everyone[-1].bytes: sum(map(len, small))}
    taken: list[list[tuple[float, float]]] = [[] for _ in everyone]
    for turn in range(REPEATS + 1):  # the first compiles and loads
        for contender, times in zip(everyone, taken, strict=True):
            clock, processor = time.perf_counter(), time.process_time()
            contender.run()
            times.append((time.perf_counter() - clock, time.process_time() - processor))
        print(f"turn {turn} of {REPEATS} done", file=sys.stderr, flush=True)
    results = []
    for contender, times in zip(everyone, taken, strict=True):
        clock, processor = (statistics.median(row[k] for row in times[1:]) for k in (0, 1))
        results.append(
            {
                "who": contender.who, "what": contender.what, "bytes": contender.bytes,
                "seconds_by_clock": round(clock, 4), "seconds_of_processor": round(processor, 4),
                "mb_per_second_by_clock": round(contender.bytes / clock / 1e6, 2),
                "mb_per_second_of_processor": round(contender.bytes / processor / 1e6, 2),
                "processor_ns_per_char": round(processor / chars[contender.bytes] * 1e9, 2),
            }
        )  # fmt: skip
    facts["load_average_at_the_end"] = round(os.getloadavg()[0], 2)
    report.write("signals", {"environment": facts, "results": results}, _page(facts, results))


def _page(facts: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    table = "\n".join(
        f"| {row['who']} | {row['what']} | {row['bytes'] / 1e6:.1f} | {row['mb_per_second_by_clock']:.1f} |"
        f" {row['mb_per_second_of_processor']:.1f} | {row['processor_ns_per_char']:.1f} |"
        for row in results
    )
    return (
        f"{report.heading('Signals and published filters', facts)}\nOne thread; contenders take turns, medians of"
        f" {REPEATS} turns. Load average at the end {facts['load_average_at_the_end']}. Text: Aozora works and Markdown"
        f" pages as our readers give them, of natural size; loops over documents run over a random sample of it.\n\n"
        "| who | what | MB | MB/s by the clock | MB/s of processor time | ns a character |\n"
        f"|---|---|---:|---:|---:|---:|\n{table}\n\n{_LIMITS}"
    )


_LIMITS = """What limits: `repeats` is bound by branches the processor cannot foresee (is this 5-gram new, where do two
copies part) and by look-ups in the second-level cache; `lines` by one table look-up, one counter and one multiplication
a character. Word lists, nouns and words are bound by the automaton and the analysers, one document at a time. The steps
of datatrove and HojiChar are loops of Python over documents and n-grams; here every rule is computed for every
document, also where an earlier one rejects it.
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
