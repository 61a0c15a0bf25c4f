"""The arm of datatrove in benchmarks.data.dedup: its four stages of MinHash deduplication, with its defaults.

    PYTHON dedup_datatrove.py build CORPUS OUT          # the four stages; OUT/kept and OUT/removed are its own output
    PYTHON dedup_datatrove.py verdicts CORPUS OUT       # OUT/verdicts.jsonl: what the scorer reads
    PYTHON dedup_datatrove.py signatures CORPUS BYTES   # seconds of stage 1 alone, as JSON on stdout
    PYTHON dedup_datatrove.py keys FILE                 # one word a line; its key of each on stdout

PYTHON is that of an environment of its own (datatrove 0.10 needs xxhash < 4, jpfm does not): this file imports nothing
of jpfm. Stage 2 has one task a bucket, the others one a file, as datatrove's example does; one worker. Clusters are
saved so that a removed document can be told from the one kept for it; the defaults are left alone otherwise: 14 buckets
of 8 hashes over 5-grams of SudachiPy's words.
"""

import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

LANGUAGE = "jpn"
_TURNS = 3


def build(corpus: Path, out: Path) -> None:
    """Run the four stages."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig()
    num_files = len(list(corpus.glob("part-*.jsonl")))

    def reader() -> Any:
        return JsonlReader(str(corpus), glob_pattern="part-*.jsonl")

    def run(number: int, pipeline: list[Any], tasks: int) -> None:
        logs = str(out / "logs" / str(number))
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=logs).run()

    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "remove_ids"))
    run(1, [reader(), MinhashDedupSignature(signatures, config, language=LANGUAGE)], num_files)
    run(2, [MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets)
    run(3, [MinhashDedupCluster(buckets, removed, config=config, save_cluster_id=True)], 1)
    exclusion = JsonlWriter(str(out / "removed"))
    keep = MinhashDedupFilter(removed, exclusion_writer=exclusion, load_cluster_ids=True)
    run(4, [reader(), keep, JsonlWriter(str(out / "kept"))], num_files)


def verdicts(corpus: Path, out: Path) -> None:
    """Write {id, kept, of} for each document of the corpus; `of` is the kept one of its cluster."""
    clusters: dict[str, dict[str, int]] = {"kept": {}, "removed": {}}
    for name, found in clusters.items():
        for path in sorted((out / name).glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    found[row["id"]] = row["metadata"]["minhash_cluster_id"]
    stays = {cluster: name for name, cluster in clusters["kept"].items() if cluster >= 0}
    with (out / "verdicts.jsonl").open("w", encoding="utf-8", newline="\n") as told:
        for path in sorted(corpus.glob("part-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                name = json.loads(line)["id"]
                kept = name in clusters["kept"]
                of = None if kept else stays.get(clusters["removed"][name])
                told.write(json.dumps({"id": name, "kept": kept, "of": of}) + "\n")


def signatures(corpus: Path, num_bytes: int) -> dict[str, Any]:
    """Seconds for shingles and signatures of the first documents, in memory, without files."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    stage = MinhashDedupSignature(str(corpus.with_name("unused-signatures")), language=LANGUAGE)
    texts, size = [], 0
    for line in (corpus / "part-0000.jsonl").read_text(encoding="utf-8").splitlines():
        texts.append(json.loads(line)["text"])
        size += len(texts[-1].encode())
        if size >= num_bytes:
            break
    stage.get_signature(stage.get_shingles("最初の一度は辞書を読むので数えない。"))
    taken = []
    for _ in range(_TURNS):
        clock, processor = time.perf_counter(), time.process_time()
        for text in texts:
            stage.get_signature(stage.get_shingles(text))
        taken.append((time.perf_counter() - clock, time.process_time() - processor))
    return {"datatrove (112 hashes, SudachiPy's words)": {"bytes": size, "turns": taken}}


def key(word: str) -> str:
    """What datatrove compares instead of the word."""
    from datatrove.utils.text import simplify_text

    return str(simplify_text(word))


def main(action: str, *words: str) -> None:
    """Run one action."""
    if action == "build":
        build(Path(words[0]), Path(words[1]))
    elif action == "verdicts":
        verdicts(Path(words[0]), Path(words[1]))
    elif action == "signatures":
        print(json.dumps(signatures(Path(words[0]), int(words[1]))))
    elif action == "keys":
        for word in Path(words[0]).read_text(encoding="utf-8").split("\n"):
            print(key(word))
    else:
        raise SystemExit(f"unknown action {action}; see the first lines of {__file__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
