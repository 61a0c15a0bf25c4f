"""Characters a token on held-out Japanese text, at the vocabulary sizes of LLM-jp's tokenizers.

    python -m benchmarks.tokens.fertility SCRATCH --shared FOLDER [--sizes 48586 98452] [--record]

The recipe japanese-open with one document in five held out (near duplicates are dropped before: none is in both), and
statutes left out of the tokenizer's training altogether. LLM-jp's figures are those measured earlier on unseen text of
the three kinds (their models are not on this machine); theirs were trained on some hundred times more text.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.compute as pc
from benchmarks.data import report

from jpfm.core import config
from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError
from jpfm.core.shards import Engine
from jpfm.data.build import build, read_documents
from jpfm.data.recipe import Recipe
from jpfm.tokens.encoder import Encoder
from jpfm.tokens.tokenizer import TokenizerConfig, train

RECIPE = Path(__file__).parents[2] / "data_recipes" / "japanese-open.yaml"
LLM_JP = {
    48_586: ("v2.2", 1.34, 2.07, 1.40),
    98_452: ("v3.1", 1.72, 2.52, 1.77),
    196_608: ("v4 alpha", 1.87, 2.67, 2.25),
}
KINDS = {"old literature": ("aozora",), "technical": ("arch-guidelines",), "statutes": ("statutes",),
         "C++ reference": ("cpprefjp",), "encyclopaedia": ("wikipedia-ner",)}  # fmt: skip
WAYS = ("unigram-short", "unigram-bunsetsu", "bpe-bunsetsu", "unigram-none")


def corpus_of(folder: Path, shared: Path) -> Artifact:
    recipe = config.load(RECIPE, Recipe, [f"root={shared / 'raw'}"]).config
    steps = tuple(
        step.model_copy(update={"held_out_share": 0.2}) if step.step == "split" else step for step in recipe.steps
    )
    made = build(
        recipe.model_copy(update={"steps": steps}), folder / "corpus", engine=Engine(workers=os.cpu_count() or 1)
    )
    assert made is not None
    return made


def figures(tokenizer: Path, corpus: Artifact) -> dict[str, float]:
    """Characters a token by kind of text. Statutes are wholly unseen, so all of them count."""
    encoder = Encoder.open(tokenizer)
    parts = []
    for split in ("held_out", "train"):
        for batch in read_documents(corpus, ["source", "text"], split=split):
            if split == "train":
                batch = batch.filter(pc.equal(batch.column("source"), "statutes"))
            tokens = np.diff(encoder.encode(batch.column("text")).offsets)
            frame = pl.DataFrame(pl.from_arrow(batch))
            parts.append(frame.select("source", chars=pl.col("text").str.len_chars(), tokens=pl.Series(tokens)))
    sums = pl.concat(parts).group_by("source").agg(pl.col("chars", "tokens").sum())
    found = {row["source"]: row for row in sums.iter_rows(named=True)}
    out = {}
    for kind, sources in KINDS.items():
        chars, count = (sum(found[s][key] for s in sources if s in found) for key in ("chars", "tokens"))
        out[kind] = chars / count if count else float("nan")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48_586, 98_452])
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--weigh", nargs="*", default=[], metavar="SOURCE=TIMES", help="take a source more often")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    corpus = corpus_of(given.scratch, given.shared)
    sources = list(corpus.manifest.stats["sources"])
    weights = {s: corpus.manifest.stats["sources"][s]["chars"] / 1e6 if s != "statutes" else 0.0 for s in sources}
    for word in given.weigh:
        source, _, times = word.partition("=")
        weights[source] *= float(times)
    rows: list[dict[str, Any]] = []
    for size in given.sizes:
        for way in given.ways:
            name, (model, _, cuts) = "-".join([str(size), way, *given.weigh]), way.partition("-")
            settings = TokenizerConfig(
                stage="tokenizer", model=model, vocab_size=size, morphemes=cuts, weights=weights, short_text="repeat",
                max_training_chars=20_000_000,
            )  # fmt: skip
            try:
                made = train(settings, corpus, given.scratch / name)
            except DataError as error:  # a size that the text cannot fill is a result
                print(name, error)
                rows.append({"size": size, "way": way, "failed": str(error)})
                continue
            rows.append({"size": size, "way": way, **figures(made.path, corpus)})
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    facts = report.environment(("sentencepiece", "tokenizers", "fugashi"))
    result = {"rows": rows, "llm_jp": LLM_JP, "corpus": corpus.id, "environment": facts}
    print(json.dumps(result, ensure_ascii=False, indent=1))
    if given.record:
        kinds = list(KINDS)
        lines = [report.heading("Characters a token on held-out text", facts), "", __doc__ or "", "",
                 "| pieces | tokenizer | " + " | ".join(kinds) + " |", "|---:|---|" + "---:|" * len(kinds)]  # fmt: skip
        for size in given.sizes:
            if size in LLM_JP:
                name, *known = LLM_JP[size]
                lines.append(f"| {size:,} | LLM-jp {name} (reported) | " + " | ".join(map(str, known)) + " | | |")
            for row in rows:
                if row["size"] == size:
                    told = row["failed"] if "failed" in row else " | ".join(f"{row[kind]:.3f}" for kind in kinds)
                    lines.append(f"| {size:,} | jpfm {row['way']} | {told} |")
        report.write("fertility", result, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
