"""The page that benchmarks.data.dedup writes: its JSON as Markdown tables."""

from typing import Any

from benchmarks.data import report


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    facts = result["environment"]
    parts = [
        report.heading("Deduplication", facts)
        + f"\nLoad average at the end {facts['load_average_at_the_end']}. One processor, defaults of each tool.",
        _signatures(result["signatures"]),
        _race(result),
        _quality(result["quality"]),
        _background(result["quality"]),
        _keys(result["keys"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: str, rows: list[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "|---" + "|---:" * (columns - 1) + "|", *rows])


def _signatures(found: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {row['bytes'] / 1e6:.0f} | {row['mb_per_second']:.1f} | {row['mb_per_processor_second']:.1f} |"
        for name, row in found.items()
    ]
    return "## Signatures\n\nText in memory, no files; medians.\n\n" + _table(
        "| who | MB | MB/s by the clock | MB/s of processor time |", rows
    )


def _race(result: dict[str, Any]) -> str:
    raced, quality = result["race"], result["quality"]
    rows = [
        f"| {name} | {raced['bytes'] / 1e6:.0f} | {row['seconds']:.1f} | {row['mb_per_second']:.1f} |"
        f" {row['mb_per_processor_second']:.1f} | {row['peak_gb']:.2f} |"
        for name, row in raced["arms"].items()
    ]
    for name, row in quality["outcomes"].items():
        if row["arm"] == "datatrove" and row["threshold"] == 0.7:
            ran, size = row["ran"], quality["bytes"]
            rows.append(
                f"| {name.split()[0]} (judged set) | {size / 1e6:.0f} | {ran['seconds']:.1f} |"
                f" {size / ran['seconds'] / 1e6:.2f} | {size / ran['processor_seconds'] / 1e6:.2f} |"
                f" {ran['peak_gb']:.2f} |"
            )
    return (
        f"## End to end: read, sketch, join, verify, write\n\nMedians of {raced['turns']} turns; threshold 0.8.\n\n"
        + _table("| who | MB | seconds | MB/s by the clock | MB/s of processor time | peak GB |", rows)
    )


def _quality(found: dict[str, Any]) -> str:
    parts = [
        f"## Right and wrong on {found['documents']:,} documents\n\nAgainst exact all-pairs Jaccard over character"
        " 5-grams. Precision: dropped documents of which a copy of at least this similarity was kept. Recall: of"
        " documents that should go, those that went right. Pairs: dropped document and the one named for it; true"
        " pairs of which at most one was kept."
    ]
    for view, what in (("raw", "the texts as they are"), ("key", "jpfm's keys")):
        rows = []
        for name, row in found["outcomes"].items():
            score = row["views"][view]
            named = "-" if score["pair_precision"] is None else f"{score['pair_precision']:.4f}"
            rows.append(
                f"| {name} | {score['dropped']} | {score['dropped'] - score['dropped_right']} | {score['left_over']} |"
                f" {score['precision']:.4f} | {score['recall']:.4f} | {named} | {score['pair_recall']:.4f} |"
            )
        head = "| who | dropped | wrong | left over | precision | recall | pair precision | pair recall |"
        parts.append(f"Similarity of {what}:\n\n{_table(head, rows)}")
    rows = [
        f"| {name} | " + " | ".join(_listed(row["wrongly_dropped_by_style"][view]) for view in ("raw", "key")) + " |"
        for name, row in found["outcomes"].items()
    ]
    parts.append(
        "How the wrongly dropped documents were made (form: only punctuation, width or line ends rewritten, and more"
        " where that left too high a similarity):\n\n" + _table("| who | by the texts | by the keys |", rows)
    )
    return "\n\n".join(parts)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _background(found: dict[str, Any]) -> str:
    lines = [
        f"## The corpus\n\nDocuments by how they were made: {_listed(found['styles'])}. Clusters: {found['planted']}."
    ]
    for view, row in found["background"].items():
        lines.append(
            f"`{view}`: " + "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()) + "."
        )
    return "\n\n".join(lines)


def _keys(found: dict[str, Any]) -> str:
    names = list(found["arms"])
    examples = list(next(iter(found["arms"].values()))["examples_equal"])
    rows = [
        f"| {pair.replace('/', ' = ')} | "
        + " | ".join("same" if found["arms"][name]["examples_equal"][pair] else "different" for name in names)
        + " |"
        for pair in examples
    ]
    counts = [
        f"{name}: {row['words_that_share_a_key']:,} ({row['of_them_katakana']:,} katakana)"
        for name, row in found["arms"].items()
    ]
    return (
        f"## What a key cannot tell apart\n\nOf {found['words']:,} different katakana words, years and numbered"
        f" articles in the judged set, those whose key is that of another: {'; '.join(counts)}.\n\n"
        + _table("| words | " + " | ".join(names) + " |", rows)
    )
