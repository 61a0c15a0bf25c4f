"""Text to token files: `jpfm tokens pack` beside bare SentencePiece, Hugging Face tokenizers and datatrove.

    python -m benchmarks.tokens.pack FOLDER TOKENIZER [--mb 40] [--repeats 5] [--write]

FOLDER holds the public data (raw/aozora, raw/cpprefjp); TOKENIZER is a tokenizer artifact of ours, whose SentencePiece
model and tokenizer.json give equal ids. All arms take the same documents on one thread:

- pack: the whole stage from the corpus artifact to the finished tokens artifact: Parquet in, `.bin`, `.idx`,
  docs.parquet, hashes and syncs out
- encoder: our search alone, Arrow column to arrays
- SentencePiece: `encode` of a list of lines to lists of ids; nothing is written
- tokenizers: `encode_batch_fast` of a list of documents; nothing is written
- datatrove: MegatronDocumentTokenizer over documents in memory; it writes .bin and .idx

CPU seconds of the process stand beside wall seconds: on a machine that others use, they are the time of one core.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pyarrow as pa
from benchmarks.data.report import environment, heading, mixed_texts, num_bytes, write

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.data.build import build, read_documents
from jpfm.data.recipe import Recipe
from jpfm.tokens.encoder import Encoder
from jpfm.tokens.pack import TokensConfig, pack


def corpus_of(texts: list[str], folder: Path) -> Artifact:
    """A corpus of documents as they are."""
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    source = {"format": "jsonl", "name": "text", "paths": ["texts.jsonl"], "rights": {"licence": "CC0-1.0"}}
    recipe = {"stage": "data", "name": "texts", "root": str(folder), "sources": [source], "steps": []}
    built = build(Recipe.model_validate(recipe), folder / "corpus")
    assert built is not None
    return built


def seconds_of(action: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Medians of wall and CPU seconds, after one run that is not counted."""
    action()
    wall, cpu = [], []
    for _ in range(repeats):
        begun = time.perf_counter(), time.process_time()
        action()
        wall.append(time.perf_counter() - begun[0])
        cpu.append(time.process_time() - begun[1])
    return {"wall": statistics.median(wall), "cpu": statistics.median(cpu), "all_cpu": [round(x, 3) for x in cpu]}


def arms(corpus: Artifact, tokenizer: Artifact, scratch: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    import sentencepiece
    from datatrove.data import Document
    from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer
    from tokenizers import Tokenizer

    texts = [text for batch in read_documents(corpus, ["text"]) for text in batch["text"].to_pylist()]
    lines = [line for text in texts for line in text.split("\n")]
    column = pa.array(texts)
    encoder = Encoder.open(tokenizer.path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer.path / "sentencepiece.model"))
    fast = Tokenizer.from_file(str(tokenizer.path / "tokenizer.json"))

    def packed() -> None:
        shutil.rmtree(scratch / "tokens", ignore_errors=True)
        pack(TokensConfig(stage="tokens"), corpus, tokenizer, scratch / "tokens")

    def datatrove() -> None:
        step = MegatronDocumentTokenizer(
            str(scratch / "datatrove"), tokenizer_name_or_path=str(tokenizer.path / "tokenizer.json"),
            eos_token="<|eos|>",
        )  # fmt: skip
        step.run((Document(text, str(number)) for number, text in enumerate(texts)), 0, 1)

    return {
        "pack": packed,
        "encoder": lambda: encoder.encode(column),
        "SentencePiece": lambda: processor.encode(lines, num_threads=1),
        "tokenizers": lambda: fast.encode_batch_fast(texts, add_special_tokens=False),
        "datatrove": datatrove,
    }


def main() -> None:
    """Run the arms in turn and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--mb", type=int, default=40, help="UTF-8 megabytes of text, at least")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write results/pack.json and .md")
    options = parser.parse_args()
    facts = environment(("datatrove", "numba", "numpy", "pyarrow", "sentencepiece", "tokenizers"))
    tokenizer = open_artifact(options.tokenizer, "tokenizer")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        texts, size = [], 0
        for text in mixed_texts(options.folder, at_least=options.mb * 1_000_000).to_pylist():
            if size < options.mb * 1_000_000:
                texts.append(text)
                size += len(text.encode())
        corpus = corpus_of(texts, scratch)
        column = pa.concat_arrays([batch["text"] for batch in read_documents(corpus, ["text"])])
        megabytes = num_bytes(column) / 1e6
        found = {}
        for arm, action in arms(corpus, tokenizer, scratch).items():
            found[arm] = seconds_of(action, options.repeats)
            found[arm]["mb_per_cpu_second"] = round(megabytes / found[arm]["cpu"], 1)
            found[arm]["mb_per_second"] = round(megabytes / found[arm]["wall"], 1)
            print(arm, found[arm], flush=True)
    bare = found["SentencePiece"]["mb_per_cpu_second"]
    lines = [
        heading("Text to token files, one core", facts),
        f"{megabytes:.0f} MB of Aozora works and Markdown pages; {tokenizer.manifest.stats['vocab_size']:,} pieces; "
        f"medians of {options.repeats}.\n",
        "| | MB/s of CPU time | beside bare SentencePiece | MB/s of wall time | writes |",
        "|---|---:|---:|---:|---|",
    ]
    writes = {"pack": ".bin, .idx, docs.parquet, manifest", "datatrove": ".bin, .idx"}
    for arm, one in found.items():
        lines.append(
            f"| {arm} | {one['mb_per_cpu_second']} | {one['mb_per_cpu_second'] / bare:.2f} | {one['mb_per_second']} | "
            f"{writes.get(arm, '–')} |"
        )
    page = "\n".join(lines)
    if options.write:
        write("pack", {"environment": facts, "megabytes": megabytes, "arms": found}, page)
    print(page)


if __name__ == "__main__":
    main()
