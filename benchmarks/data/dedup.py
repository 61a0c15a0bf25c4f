"""Deduplication side by side: jpfm, rensa and datatrove over the same files, judged by exact all-pairs similarity.

    python -m venv PEERS && PEERS/bin/pip install "datatrove[processing,multilingual]==0.10.1" rensa==0.5.0
    python -m benchmarks.data.dedup SCRATCH --shared FOLDER --peers PEERS/bin/python [--record]
    python -m benchmarks.data.dedup SCRATCH --megabytes 3 --documents 400      # invented text, ours alone: seconds

Run from the root of the checkout, with `jpfm` installed beside python. FOLDER is the shared data, SCRATCH an empty
folder with room for six times the megabytes (500). The peers have an environment of their own: datatrove needs
xxhash < 4. With --record the result goes to results/dedup.{json,md}, else to SCRATCH/dedup.{json,md}. Without --peers
only ours runs.

Every arm reads the same JSONL files, runs in a process of its own on one processor, with its defaults, and is judged by
which documents it kept. Speed is UTF-8 bytes of text by the wall clock of the whole process, and by its processor time
(other work on the machine slows the first alone). rensa and ours run over the large corpus in turns, datatrove, which
is too slow for that, over the documents of the judged set. Right and wrong are defined in `oracle.Score`; similarity is
Jaccard over character 5-grams, once of the texts as they are, once of jpfm's keys, since every arm normalises otherwise
(rensa's n-grams are raw, datatrove's are words without marks and digits) and each view favours another arm.
"""

import argparse
import json
import os
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from benchmarks.data import dedup_page, oracle, planted, report
from benchmarks.data.dedup_ours import RECIPE
from benchmarks.data.watch import watch

from jpfm.text.dedup_key import KeyRules, keys

THRESHOLDS = (0.7, 0.8)
VIEWS = {"raw": oracle.raw_points, "key": oracle.key_points}
_HERE = Path(__file__).parent
_LOWEST = 0.3  # of the pairs that the oracle looks for: to see what unrelated documents have in common
_RANDOM_PAIRS = 200_000
_SIGNATURE_BYTES = {"jpfm": 100_000_000, "rensa": 30_000_000, "datatrove": 3_000_000}
_ONE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA", "ARROW", "RAYON")} | {"POLARS_MAX_THREADS": "1"}
_WORD = re.compile(
    r"(?<![ァ-ヺー])[ァ-ヺー]{2,8}(?![ァ-ヺー])|(?:明治|大正|昭和|平成|令和)[0-9〇一二三四五六七八九十]{1,3}年"
    r"|第[0-9一二三四五六七八九十百]{1,5}条|[12][0-9]{3}年"
)
_EXAMPLES = (
    ("パリ", "ハリ"), ("ガス", "カス"), ("ポスト", "ホスト"), ("かぎ", "かき"), ("病院", "びょういん"), ("ﾊﾟﾘ", "パリ"),
    ("令和5年", "令和6年"), ("売上高1,234百万円", "売上高987百万円"), ("第十条", "第十一条"),
)  # fmt: skip


class Ran(NamedTuple):
    """What a process took."""

    seconds: float
    processor_seconds: float
    peak_gb: float


def run(*command: str) -> Ran:
    """Run a command on one processor and one thread a library; it must succeed."""
    told = watch(command, one_core=True, env=_ONE)
    return Ran(told.seconds, told.processor_seconds, told.resident_gb)


class Arm(NamedTuple):
    """One contender. The threshold is None for one that has no such setting."""

    name: str
    python: str
    script: str

    def build(self, corpus: Path, out: Path, threshold: float) -> Ran:
        """Deduplicate, as its users do."""
        if self.name == "jpfm":
            recipe = out.with_name(f"{out.name}.yaml")
            recipe.write_text(RECIPE.format(corpus=json.dumps(str(corpus)), threshold=threshold), encoding="utf-8")
            command = str(Path(sys.executable).with_name("jpfm"))
            return run(command, "data", "build", str(recipe), "--out", str(out), "--workers", "1")
        words = [str(threshold)] if self.name == "rensa" else []
        return run(self.python, self.script, "build", str(corpus), str(out), *words)

    def verdicts(self, corpus: Path, out: Path, threshold: float) -> Path:
        """Deduplicate and tell of each document whether it was kept, and if not for which one it went."""
        if self.name == "rensa":
            run(self.python, self.script, "verdicts", str(corpus), str(out), str(threshold))
            return out / "verdicts.jsonl"
        if self.name == "datatrove":
            run(self.python, self.script, "verdicts", str(corpus), str(out))
            return out / "verdicts.jsonl"
        run(self.python, "-m", self.script, "verdicts", str(corpus), str(out))
        return out.with_name(f"{out.name}.verdicts.jsonl")

    def ask(self, *words: str) -> str:
        """The standard output of another action."""
        how = ["-m", self.script] if self.name == "jpfm" else [self.script]
        return watch([self.python, *how, *words], one_core=True, env=_ONE).output


def arms(peers: str | None) -> list[Arm]:
    """Ours, and the peers where there is an environment for them."""
    ours = [Arm("jpfm", sys.executable, "benchmarks.data.dedup_ours")]
    names = ("rensa", "datatrove") if peers else ()
    return ours + [Arm(name, str(peers), str(_HERE / f"dedup_{name}.py")) for name in names]


def size_of(corpus: Path) -> int:
    """UTF-8 bytes of the text of a corpus."""
    return report.num_bytes(planted.read(corpus, ("text",)).column("text"))


# quality


def judge(everyone: Sequence[Arm], corpus: Path, scratch: Path) -> dict[str, Any]:
    """Precision and recall of every arm on a corpus; and the speed of those that do not run over the large one."""
    table = planted.read(corpus)
    column = table.column("text").combine_chunks()
    told = planted.read_planted(corpus)
    position = {name: n for n, name in enumerate(table.column("id").to_pylist())}
    views = {name: oracle.gram_sets(points(column)) for name, points in VIEWS.items()}
    pairs = {name: oracle.all_pairs(sets, _LOWEST) for name, sets in views.items()}
    outcomes: dict[str, Any] = {}
    for arm in everyone:
        for threshold in THRESHOLDS if arm.name != "datatrove" else THRESHOLDS[:1]:
            out = scratch / f"{arm.name}-{threshold}"
            ran = arm.build(corpus, out, threshold)
            kept = np.zeros(len(position), dtype=np.bool_)
            of = np.full(len(position), -1, dtype=np.int64)
            for line in arm.verdicts(corpus, out, threshold).read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                kept[position[row["id"]]] = row["kept"]
                of[position[row["id"]]] = position[row["of"]] if row["of"] is not None else -1
            judged = THRESHOLDS if arm.name == "datatrove" else (threshold,)
            for limit in judged:
                outcomes[f"{arm.name} at {limit}"] = {
                    "arm": arm.name, "threshold": limit, "ran": ran._asdict(),
                    "views": {name: _score(pairs[name], views[name], kept, of, limit) for name in VIEWS},
                    "wrongly_dropped_by_style": {name: _wrong(pairs[name], kept, limit, told) for name in VIEWS},
                }  # fmt: skip
    return {
        "documents": len(position), "bytes": report.num_bytes(column), "styles": _counts(row["style"] for row in told),
        "outcomes": outcomes, "background": {name: _background(pairs[name], views[name], told) for name in VIEWS},
        "planted": _planted(told),
    }  # fmt: skip


def _score(pairs: oracle.Pairs, sets: oracle.Sets, kept: Any, of: Any, threshold: float) -> dict[str, Any]:
    found = oracle.score(
        pairs, kept, threshold=threshold, names=of, similarity_of=lambda a, b: oracle.similarities(sets, a, b)
    )
    rates = {name: getattr(found, name) for name in ("precision", "recall", "pair_precision", "pair_recall")}
    return found._asdict() | {name: None if rate is None else round(rate, 4) for name, rate in rates.items()}


def _wrong(pairs: oracle.Pairs, kept: Any, threshold: float, told: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How the documents were made that went without a similar one that stays."""
    near = pairs.similarity >= threshold
    covered = np.zeros(len(kept), dtype=np.bool_)
    for one, other in ((pairs.left[near], pairs.right[near]), (pairs.right[near], pairs.left[near])):
        covered[one[kept[other]]] = True
    return _counts(told[row]["style"] for row in np.flatnonzero(~kept & ~covered).tolist())


def _counts(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return dict(sorted(found.items()))


def _background(pairs: oracle.Pairs, sets: oracle.Sets, told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What documents have in common that nobody planted."""
    cluster = np.array([row["cluster"] for row in told], dtype=np.int64)
    draw = np.random.Generator(np.random.Philox(1))
    left, right = draw.integers(0, len(told), (2, _RANDOM_PAIRS))
    apart = cluster[left] != cluster[right]
    random = oracle.similarities(sets, left[apart], right[apart])
    unplanned = cluster[pairs.left] != cluster[pairs.right]
    top = np.sort(pairs.similarity[unplanned])[::-1]
    counts, edges = np.histogram(pairs.similarity[~unplanned], bins=np.linspace(0.5, 1, 11))
    shares = (0.5, 0.9, 0.99, 0.999, 1.0)
    return {
        "random_pairs": int(apart.sum()),
        "random_quantiles": {str(q): round(float(np.quantile(random, q)), 4) for q in shares},
        f"unplanned_pairs_at_{_LOWEST}": len(top), "unplanned_pairs_at_0.5": int(np.sum(top >= 0.5)),
        "unplanned_top": [round(float(value), 4) for value in top[:10]],
        "pairs_by_similarity": {f"{low:.2f}": int(count) for low, count in zip(edges[:-1], counts, strict=True)},
    }  # fmt: skip


def _planted(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How near the copies came to their targets, and how large the clusters are."""
    missed = [
        abs(row["target"] - row["jaccard"]) for row in told if row["style"] in ("characters", "sentences", "mixed")
    ]
    sizes = np.bincount(np.unique([row["cluster"] for row in told], return_inverse=True)[1])
    return {
        "targets_missed_by": {str(q): round(float(np.quantile(missed, q)), 4) for q in (0.5, 0.99, 1.0)},
        "clusters_of_more_than_one": int(np.sum(sizes > 1)), "largest_cluster": int(sizes.max()),
    }  # fmt: skip


# speed


def race(everyone: Sequence[Arm], corpus: Path, scratch: Path, turns: int) -> dict[str, Any]:
    """The arms that are fast enough over the large corpus, in turns; medians."""
    taken: dict[str, list[Ran]] = {arm.name: [] for arm in everyone if arm.name != "datatrove"}
    for turn in range(turns):
        for arm in everyone:
            if arm.name in taken:
                taken[arm.name].append(arm.build(corpus, scratch / f"race-{arm.name}-{turn}", 0.8))
                print(f"turn {turn + 1}: {arm.name} {taken[arm.name][-1].seconds:.1f} s", file=sys.stderr, flush=True)
    size = size_of(corpus)
    return {"bytes": size, "turns": turns, "arms": {name: _speed(size, rows) for name, rows in taken.items()}}


def _speed(size: int, rows: Sequence[Ran]) -> dict[str, float]:
    clock, processor = (statistics.median(row[k] for row in rows) for k in (0, 1))
    return {
        "seconds": round(clock, 2), "processor_seconds": round(processor, 2),
        "mb_per_second": round(size / clock / 1e6, 2), "mb_per_processor_second": round(size / processor / 1e6, 2),
        "peak_gb": round(max(row.peak_gb for row in rows), 2),
    }  # fmt: skip


def signatures(everyone: Sequence[Arm], corpus: Path) -> dict[str, Any]:
    """Speed of signatures alone, of text in memory: medians."""
    found = {}
    for arm in everyone:
        told = json.loads(arm.ask("signatures", str(corpus), str(_SIGNATURE_BYTES[arm.name])))
        for name, row in told.items():
            found[name] = _speed(row["bytes"], [Ran(clock, processor, 0.0) for clock, processor in row["turns"]]) | {
                "bytes": row["bytes"]
            }
    return found


# keys


def same_keys(everyone: Sequence[Arm], corpus: Path, scratch: Path) -> dict[str, Any]:
    """How many different words of the corpus an arm cannot tell apart, and examples."""
    words = sorted({word for text in planted.read(corpus, ("text",)).column("text").to_pylist()
                    for word in _WORD.findall(text)})  # fmt: skip
    asked = words + [word for pair in _EXAMPLES for word in pair]
    file = scratch / "words.txt"
    file.write_text("\n".join(asked), encoding="utf-8", newline="\n")
    found = keys(pa.array(asked), KeyRules())
    points = "".join(map(chr, found.points))
    theirs = {"jpfm": [points[a:b] for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]}
    theirs["rensa"] = asked
    for arm in everyone:
        if arm.name == "datatrove":
            theirs[arm.name] = arm.ask("keys", str(file)).split("\n")[: len(asked)]
    result: dict[str, Any] = {"words": len(words), "arms": {}}
    for name, made in theirs.items():
        groups = _counts(made[: len(words)])
        equal = {"/".join(pair): made[len(words) + 2 * n] == made[len(words) + 2 * n + 1]
                 for n, pair in enumerate(_EXAMPLES)}  # fmt: skip
        merged = [word for word, key in zip(words, made, strict=False) if groups[key] > 1]
        result["arms"][name] = {
            "words_that_share_a_key": len(merged), "of_them_katakana": sum("ァ" <= word[0] <= "ヺ" for word in merged),
            "examples_equal": equal,
        }  # fmt: skip
    return result


def measure(
    pool: planted.Pool, scratch: Path, *, megabytes: float, documents: int, turns: int, peers: str | None
) -> dict[str, Any]:
    """Everything, as one JSON object."""
    facts = report.environment()
    everyone = arms(peers)
    judged, large = scratch / "judged", scratch / "large"
    workers = len(os.sched_getaffinity(0))
    planted.plant(pool, judged, seed=1, num_documents=documents, workers=workers)
    planted.plant(pool, large, seed=2, num_bytes=int(megabytes * 1e6), workers=workers)
    print("planted", file=sys.stderr, flush=True)
    result = {
        "environment": facts,
        "quality": judge(everyone, judged, scratch),  # first: it also fills the caches of compiled code
        "signatures": signatures(everyone, judged),
        "race": race(everyone, large, scratch, turns),
        "keys": same_keys(everyone, judged, scratch),
    }
    facts["load_average_at_the_end"] = round(os.getloadavg()[0], 2)
    return result


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--shared", type=Path, help="the shared data; without it the text is invented")
    parser.add_argument("--peers", help="the python of an environment with datatrove and rensa")
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write results/dedup.{json,md}")
    asked = parser.parse_args(words)
    scratch = asked.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    if any(scratch.iterdir()):
        raise SystemExit(f"{scratch} is not empty; name another folder")
    pool = planted.shared_pool(asked.shared) if asked.shared else planted.invented_pool(1)
    result = measure(
        pool, scratch, megabytes=asked.megabytes, documents=asked.documents, turns=asked.turns, peers=asked.peers
    )
    page = dedup_page.page(result)
    if asked.record:
        report.write("dedup", result, page)
    else:
        text = json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / "dedup.json").write_text(text + "\n", encoding="utf-8", newline="\n")
        (scratch / "dedup.md").write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
