"""Bits per character of a run's model beside `xz -9e` and a character 5-gram model, on the same held-out documents.

    .venv/bin/python benchmarks/bits_per_character.py OUT NAME.json [--baselines-only]

OUT is a finished folder of `jpfm run`: corpus/, model/ and scores/. The table goes to stdout, the figures with machine,
commit, versions and artifact ids to benchmarks/results/NAME.json. With --baselines-only the corpus alone is enough.

What each column pays for. Model and 5-grams: every character of a document and its end, each document on its own,
nothing learned from held-out text. xz: UTF-8 with a NUL byte after each document, its container of about 70 bytes
included; alone, or as size(train + held-out) - size(train) with a dictionary that holds both. xz goes on learning as it
reads, so it gains from held-out documents alike; a source's figure is for that source's documents alone.

The 5-grams are interpolated modified Kneser-Ney (Chen & Goodman 1999, doi:10.1006/csla.1999.0128) over code points; the
last step back is uniform over all Unicode scalar values and the end of document. A key is (rank of the first n - 1
symbols) * symbols + (last symbol): it fits 64 bits at any n. Refused: KenLM (a compiler at install); a Python dict.
"""

import argparse
import multiprocessing
import resource
from collections.abc import Sequence
from lzma import FILTER_LZMA2, PRESET_EXTREME, LZMACompressor, compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from jpfm.core import log, run
from jpfm.core.artifact import Artifact, canonical_json, open_artifact, write_text
from jpfm.core.errors import ArtifactError, DataError, JpfmError
from jpfm.data.build import read_documents
from jpfm.eval.stats import bootstrap_ratio
from jpfm.eval.task import digest

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
BEGIN, UNKNOWN, END, FIRST_CHARACTER = range(4)  # symbols; BEGIN is 0, for it stands before the stream's start too
BEGIN_CODE, END_CODE = 0x110000, 0x110001  # past the last code point
NUM_OUTCOMES = 0x110000 - 0x800 + 1  # Unicode scalar values (surrogates are none) and the end of document


class Table(NamedTuple):
    """The n-grams of one length. Rank len(keys) stands for all that were never seen."""

    keys: Ints  # sorted. Shape (n-grams,)
    gain: Floats  # (adjusted count - discount) / count of the context; 0 for the unseen. Shape (n-grams + 1,)
    escape: Floats  # mass a context leaves to the next shorter one; 1 for the unseen. Shape (contexts + 1,)
    discounts: tuple[float, ...]  # D1, D2, D3+


class CharacterNgrams:
    """Interpolated modified Kneser-Ney, trained on texts; order - 1 BEGINs stand before each document."""

    def __init__(self, texts: Sequence[str], order: int = 5) -> None:
        self.order, codes = order, _codes(texts, order)
        seen = np.flatnonzero(np.bincount(codes, minlength=END_CODE + 1)[:BEGIN_CODE])
        self.num_symbols = FIRST_CHARACTER + len(seen)
        self.symbol_of = np.full(END_CODE + 1, UNKNOWN, np.int64)
        self.symbol_of[seen] = np.arange(FIRST_CHARACTER, self.num_symbols)
        self.symbol_of[[BEGIN_CODE, END_CODE]] = BEGIN, END
        rank = np.zeros(len(codes), np.int64)  # of the n-gram that ends here; at first the empty one
        grams: list[tuple[Ints, Ints]] = []
        for _ in range(order):
            key = np.concatenate([[0], rank[:-1]]) * self.num_symbols + self.symbol_of[codes]
            keys, first, longer, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
            if grams:  # a shorter n-gram counts the different symbols seen before it, not its occurrences
                grams[-1] = (grams[-1][0], np.bincount(rank[first], minlength=len(grams[-1][0])))
            grams.append((keys, counts))
            rank = longer
        sizes = [1, *(len(keys) for keys, _ in grams)]
        self.tables = [_table(*gram, size, self.num_symbols) for gram, size in zip(grams, sizes, strict=False)]

    def windows(self, texts: Sequence[str]) -> Ints:
        """A row for each character and each end: the order - 1 symbols before it, and it. Shape (n, order)."""
        symbols = self.symbol_of[_codes(texts, self.order)]
        return np.asarray(symbols[np.flatnonzero(symbols != BEGIN)[:, None] + np.arange(1 - self.order, 1)])

    def probability(self, windows: Ints) -> Floats:
        """p(last symbol | those before it); UNKNOWN is any one of the characters never seen. Shape (n,)."""
        p = np.full(len(windows), 1 / NUM_OUTCOMES)
        for length, table in enumerate(self.tables, start=1):
            context = np.zeros(len(windows), np.int64)
            for shorter, column in enumerate(range(self.order - length, self.order - 1)):
                context = self._rank(shorter, context, windows[:, column])
            p = table.gain[self._rank(length - 1, context, windows[:, -1])] + table.escape[context] * p
        return p

    def bits(self, texts: Sequence[str]) -> Floats:
        """-log2 p(document and its end) of each text. Shape (texts,)."""
        starts = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])])
        return np.asarray(np.add.reduceat(-np.log2(self.probability(self.windows(texts))), starts), np.float64)

    def largest_error(self, contexts: Ints) -> float:
        """Largest |1 - sum of p over all outcomes| of the contexts. Shape (n, order - 1)."""
        outcomes = np.arange(UNKNOWN, self.num_symbols)
        weights = np.where(outcomes == UNKNOWN, NUM_OUTCOMES - len(outcomes) + 1, 1)
        rows = (np.column_stack([np.tile(context, (len(outcomes), 1)), outcomes]) for context in contexts)
        return max(abs(1 - float(self.probability(row) @ weights)) for row in rows)

    def _rank(self, place: int, context: Ints, symbols: Ints) -> Ints:
        keys = self.tables[place].keys
        wanted = context * self.num_symbols + symbols
        at = np.searchsorted(keys, wanted)
        return np.where(keys[np.minimum(at, len(keys) - 1)] == wanted, at, len(keys))


def _codes(texts: Sequence[str], order: int) -> Ints:
    pad, end = np.full(order - 1, BEGIN_CODE, np.uint32), np.array([END_CODE], np.uint32)
    parts = [part for text in texts for part in (pad, np.frombuffer(text.encode("utf-32-le"), np.uint32), end)]
    return np.concatenate(parts).astype(np.int64)


def _table(keys: Ints, counts: Ints, num_contexts: int, base: int) -> Table:
    adjusted = np.where(keys % base == BEGIN, 0, counts)  # a BEGIN is context, never an outcome
    n = np.bincount(np.minimum(adjusted, 5), minlength=6)
    y = n[1] / max(n[1] + 2 * n[2], 1)
    discounts = tuple(float(i - (i + 1) * y * n[i + 1] / max(n[i], 1)) for i in (1, 2, 3))
    if not n[1:5].all() or min(discounts) <= 0:
        discounts = (0.5, 1.0, 1.5)  # KenLM's --discount_fallback
        log.log.warning("too little text to estimate the discounts of %d n-grams: taking %s", len(keys), discounts)
    discount = np.array([0.0, *discounts])[np.minimum(adjusted, 3)]
    context = keys // base
    total, left = (np.bincount(context, weights=w, minlength=num_contexts + 1) for w in (adjusted, discount))
    escape = np.divide(left, total, out=np.ones(num_contexts + 1), where=total > 0)
    return Table(keys, np.append((adjusted - discount) / np.maximum(total[context], 1), 0.0), escape, discounts)


def xz_given(train: bytes, parts: Sequence[bytes]) -> list[int]:
    """Bytes each part adds to `xz -9e` of the training text. That is compressed once; each part goes on in a fork."""
    size = max(2**26, len(train) + max(map(len, parts)))
    compressor = LZMACompressor(filters=[{"id": FILTER_LZMA2, "preset": 9 | PRESET_EXTREME, "dict_size": size}])
    for start in range(0, len(train), 2**15):  # in pieces: of a long one all but the first is left to flush()
        compressor.compress(train[start : start + 2**15])
    fork = multiprocessing.get_context("fork")
    sizes = fork.SimpleQueue()

    def finish(part: bytes) -> None:
        sizes.put(len(compressor.compress(part)) + len(compressor.flush()))

    for part in (b"", *parts):
        child = fork.Process(target=finish, args=(part,))
        child.start()
        child.join()
        assert child.exitcode == 0, f"xz ended with {child.exitcode}"
    train_only = sizes.get()
    return [sizes.get() - train_only for _ in parts]


def model_bits(out: Path, corpus: Artifact, held_out: list[dict[str, str]]) -> tuple[list[Artifact], dict[str, float]]:
    """Scores and checkpoint, and bits by document id; some documents are missing where the task set max_chars."""
    file = out / "scores" / "items" / "bits_per_character.parquet"
    if not file.exists():
        raise ArtifactError(f"model is not scored: {file} is missing", hint="finish `jpfm run`, or --baselines-only")
    scores, model = open_artifact(out / "scores", "scores"), open_artifact(out / "model", "checkpoint")
    rows, texts = pq.read_table(file).to_pylist(), {row["id"]: digest(row["text"]) for row in held_out}
    same = all(texts.get(row["item_id"]) == row["item_sha256"] for row in rows)
    if not same or not {corpus.id, model.id} <= set(scores.manifest.parents):
        raise ArtifactError(f"{out}: scores/ is not of this corpus/ and model/", hint="name the folder of one run")
    bits = {row["item_id"]: row["value"] * row.get("weight", 1.0) for row in rows}  # no weights: value is all bits
    rate = sum(bits.values()) / sum(len(row["text"]) for row in held_out if row["id"] in bits)
    assert np.isclose(rate, scores.manifest.stats["bits_per_character"]), f"{rate}: the rows do not add up to the score"
    return [scores, model], bits


def compare(out: Path, *, baselines_only: bool) -> dict[str, Any]:
    """All figures of one run, by source and in all. The 5-grams are refused where their sums are not 1."""
    started, used = run.start(inputs={}), [open_artifact(out / "corpus", "corpus")]
    held_out, train = (
        [row for batch in read_documents(used[0], ["id", "source", "text"], split=split) for row in batch.to_pylist()]
        for split in ("held_out", "train")
    )
    if not held_out or not train:
        raise DataError(f"{out}: no held-out or no training documents", hint="change the recipe's held_out_share")
    bits: dict[str, Floats] = {}
    if not baselines_only:
        used[1:], values = model_bits(out, used[0], held_out)
        held_out = [row for row in held_out if row["id"] in values]
        bits["model"] = np.array([values[row["id"]] for row in held_out])
    texts = [row["text"] for row in held_out]
    characters = np.array([float(len(text)) for text in texts])
    ngrams = CharacterNgrams([row["text"] for row in train])
    bits["character_5gram"] = ngrams.bits(texts)
    windows, draw = ngrams.windows(texts), np.random.Generator(np.random.Philox(0))
    random = draw.integers(0, ngrams.num_symbols, (50, ngrams.order - 1))
    error = ngrams.largest_error(np.concatenate([draw.permutation(windows)[:50, :-1], random]))
    assert error < 1e-9, f"the probabilities of a context sum to 1 +- {error}"
    log.log.info("5-grams are done; next is xz, a minute or two for 30 MB of text")
    sources = np.array([row["source"] for row in held_out])
    groups = {name: sources == name for name in np.unique(sources).tolist()} | {"all": sources != ""}
    parts = ["".join(f"{text}\0" for text in np.array(texts, object)[group]).encode() for group in groups.values()]
    given = xz_given("".join(f"{row['text']}\0" for row in train).encode(), parts)
    rows = []
    for (name, group), part, added in zip(groups.items(), parts, given, strict=True):
        total = int(characters[group].sum())
        xz = {"xz_given_train": added, "xz_alone": len(compress(part, preset=9 | PRESET_EXTREME))}
        figures = {k: float(v[group].sum()) / total for k, v in bits.items()} | {
            k: v * 8 / total for k, v in xz.items()
        }
        rows.append({"source": name, "documents": int(group.sum()), "characters": total, "bits_per_character": figures})
    if not baselines_only:
        bits["model - character_5gram"] = bits["model"] - bits["character_5gram"]
    return {
        "benchmark": "bits_per_character", "rows": rows, "artifacts": {a.manifest.kind: a.id for a in used},
        "intervals": {key: bootstrap_ratio(value, characters)._asdict() for key, value in bits.items()},
        "model": None if baselines_only else used[-1].manifest.stats,
        "train": {"documents": len(train), "characters": sum(len(row["text"]) for row in train)},
        "ngram": {
            "num_ngrams": [len(t.keys) for t in ngrams.tables], "discounts": [t.discounts for t in ngrams.tables],
            "largest_error_of_sum": error, "unseen_characters": int((windows[:, -1] == UNKNOWN).sum()),
        },
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "run": run.finish(started).model_dump(mode="json"),
    }  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    """The table for people, its intervals and the conditions."""
    head = f"| source | documents | characters | {' | '.join(result['rows'][0]['bits_per_character'])} |"
    lines = [head.replace("_", " "), "|---" + "|---:" * (head.count("|") - 2) + "|"]
    for row in result["rows"]:
        figures = " | ".join(f"{value:.3f}" for value in row["bits_per_character"].values())
        lines.append(f"| {row['source']} | {row['documents']:,} | {row['characters']:,} | {figures} |")
    spans = [f"{key} {v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for key, v in result["intervals"].items()]
    lines += ["", f"Bits per character, lower is better. 95 % by bootstrap over documents: {'; '.join(spans)}."]
    lines.append("5-grams and xz: {characters:,} characters of training text, all of it.".format(**result["train"]))
    if result["model"]:
        lines.append("Model: " + ", ".join(f"{key} {value}" for key, value in result["model"].items()) + ".")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of a finished `jpfm run`")
    parser.add_argument("results", help="name of the JSON file in benchmarks/results/")
    parser.add_argument("--baselines-only", action="store_true", help="leave the model out: OUT/corpus is enough")
    arguments = parser.parse_args()
    log.setup()
    try:
        result = compare(arguments.out, baselines_only=arguments.baselines_only)
    except JpfmError as error:
        parser.exit(error.exit_code, f"error: {error.message}\n  hint: {error.hint}\n")
    write_text(Path(__file__).parent / "results" / arguments.results, canonical_json(result, indent=1) + "\n")
    print(markdown(result))


if __name__ == "__main__":
    main()
