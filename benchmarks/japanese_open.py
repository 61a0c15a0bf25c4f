"""Write down a finished run of configs/japanese-open.yaml: its figures, hardware and commit, as Markdown.

    python benchmarks/japanese_open.py OUT benchmarks/results/japanese-open.md [BASELINES.json]

OUT is the folder that `jpfm run` filled. BASELINES.json is what benchmarks/bits_per_character.py wrote for it.
Every figure is read from the run's own manifests, metrics and scores.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.data.look import funnel

STAGES = ("corpus", "tokenizer", "tokens", "model", "scores", "leaderboard")


def table(rows: list[list[str]]) -> Iterator[str]:
    """A Markdown table; the first row is its heading."""
    yield "| " + " | ".join(rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows[1:]:
        yield "| " + " | ".join(row) + " |"
    yield ""


def training(model: Artifact) -> Iterator[str]:
    lines = (model.path / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    stats = model.manifest.stats
    yield (
        f"{stats['parameters']:,} parameters, {stats['steps']:,} steps, {stats['tokens']:,} tokens "
        f"({stats['epochs']:.2f} epochs), {stats['training_flops']:.3g} FLOP. Steps took "
        f"{sum(stats['tokens'] / stats['steps'] / row['tokens_per_second'] for row in rows) / 60:.1f} minutes in all; "
        f"median {statistics.median(row['tokens_per_second'] for row in rows):,.0f} tokens/s, best tenth "
        f"{statistics.quantiles([row['tokens_per_second'] for row in rows], n=10)[-1]:,.0f}."
    )
    yield ""
    width = max(1, len(rows) // 12)
    points = [rows[start : start + width] for start in range(0, len(rows), width)]
    heading = ["tokens seen", "mean loss (nats a token)", "learning rate", "mean gradient norm"]
    yield from table(
        [
            heading,
            *(
                [
                    f"{part[-1]['tokens']:,}",
                    f"{statistics.mean(r['loss'] for r in part):.3f}",
                    f"{part[-1]['lr']:.2g}",
                    f"{statistics.mean(r['grad_norm'] for r in part):.2f}",
                ]
                for part in points
            ),
        ]
    )


def scores(artifact: Artifact) -> Iterator[str]:
    document = json.loads((artifact.path / "scores.json").read_text(encoding="utf-8"))
    rows = [["task", "metric", "value", "95 % interval", "items", "baselines"]]
    parts = [["task", "part", "value", "95 % interval", "items"]]
    for task in document["tasks"]:
        baselines = ", ".join(f"{name} {value:.3f}" for name, value in task["baselines"].items())
        rows.append(
            [task["task"], task["metric"], f"{task['value']:.4f}", _interval(task), f"{task['num_items']:,}", baselines]
        )
        for level, entry in task["by"].get("level", {}).items():
            parts.append([task["task"], level, f"{entry['value']:.4f}", _interval(entry), f"{entry['num_items']:,}"])
    yield from table(rows)
    yield from table(parts)


def _interval(entry: dict[str, Any]) -> str:
    return f"{entry['low']:.4f} to {entry['high']:.4f}" if entry.get("low") is not None else "-"


def baselines(path: Path) -> Iterator[str]:
    result = json.loads(path.read_text(encoding="utf-8"))
    names = list(result["rows"][0]["bits_per_character"])
    rows = [["source", "documents", "characters", *(name.replace("_", " ") for name in names)]]
    for row in result["rows"]:
        figures = [f"{row['bits_per_character'][name]:.3f}" for name in names]
        rows.append([row["source"], f"{row['documents']:,}", f"{row['characters']:,}", *figures])
    yield from table(rows)
    yield (
        "xz is `xz -9e` (UTF-8, a NUL byte after each document), alone and as size(train + held-out) - size(train). "
        "The 5-grams are modified Kneser-Ney. Both were given all "
        f"{result['train']['characters']:,} characters of training text; the model had seen the tokens named above."
    )


def report(out: Path, compared: Path | None) -> str:
    """The whole page."""
    made = {stage: open_artifact(out / stage) for stage in STAGES}
    info = made["model"].manifest.run
    lines = [
        "# configs/japanese-open.yaml, a full run",
        "",
        f"Commit {info.git_commit}. {info.hardware.cpu}, {info.hardware.cores} cores, {info.hardware.memory_gib} GiB, "
        f"no GPU. Python {info.python}, " + ", ".join(f"{k} {v}" for k, v in info.versions.items()) + ".",
        "",
        *table([["stage", "artifact", "seconds"]]
               + [[s, a.id, f"{a.manifest.run.seconds:,.0f}"] for s, a in made.items()]),
        "Seconds are of the stage's last process; a stage that was stopped and resumed took longer.",
        "",
        "## Documents",
        "",
        *table([list(row) for row in funnel(made["corpus"].manifest.stats)]),
        "## Tokenizer",
        "",
        ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in made["tokenizer"].manifest.stats.items()) + ".",
        "",
        "## Training",
        "",
        *training(made["model"]),
        "## Scores",
        "",
        *scores(made["scores"]),
    ]  # fmt: skip
    if compared is not None:
        lines += ["## Bits per character against compressors on the same documents", "", *baselines(compared)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    page = report(Path(sys.argv[1]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    Path(sys.argv[2]).write_text(page, encoding="utf-8", newline="\n")
