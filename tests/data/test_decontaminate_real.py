"""Decontamination on public benchmarks and public text: what must be found is, and nothing else."""

import gzip
import itertools
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from tests.data.disguises import DISGUISES

from jpfm.core.config import read_file, validate
from jpfm.data.benchmarks import Benchmark
from jpfm.data.document import Document, to_batch
from jpfm.data.item_index import RULES
from jpfm.data.recipe import Recipe
from jpfm.data.steps.base import Changed
from jpfm.data.steps.decontaminate import Decontaminate
from jpfm.text.dedup_key import keys

ROOT = Path(__file__).parents[2]


def _recipe_step(shared_data: Path, **settings: Any) -> Decontaminate:
    """The step of data_recipes/decontaminate.yaml over the shared files."""
    plain = read_file(ROOT / "data_recipes" / "decontaminate.yaml").plain()
    (step,) = (step for step in plain["steps"] if step["step"] == "decontaminate")
    for benchmark in step["benchmarks"]:
        benchmark["path"] = benchmark["path"].replace("../shared/data", str(shared_data))
    return Decontaminate.model_validate(step | settings)


def _run(step: Decontaminate, texts: list[str]) -> Changed:
    return step.run(to_batch([Document(f"s/{n}", text) for n, text in enumerate(texts)], "s", "CC0-1.0"))


def _pairs(path: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.decode().splitlines()]


def test_jnli_and_jsts_share_captions(shared_data: Path) -> None:
    """JNLI's validation text as a corpus, JSTS as a benchmark: every find against sets of strings."""
    folder = shared_data / "bench" / "jglue"
    corpus = [f"{row['sentence1']}\n{row['sentence2']}" for row in _pairs(folder / "jnli-v1.3" / "valid-v1.3.json.gz")]
    items: dict[str, set[str]] = defaultdict(set)
    for name in ("test-v1.3.json", "valid-v1.3.json"):
        for row in _pairs(folder / "jsts-v1.3" / name):
            for field in ("sentence1", "sentence2"):
                items[row[field]].add(f"{name.partition('.')[0]}#{row['sentence_pair_id']}")
    step = Decontaminate(
        step="decontaminate", action="mark", minimum_share=1.0, shortest=None, common_share=1.0,
        benchmarks=(Benchmark(name="jsts", path=str(folder / "jsts-v1.3" / "*-v1.3.json"),
                              fields=("sentence1", "sentence2"), id_field="sentence_pair_id"),),
    )  # fmt: skip
    rows = _run(step, corpus).contamination
    found = set(zip(rows.column("id").to_pylist(), rows.column("item").to_pylist(), strict=True))
    assert found == _shared_items(corpus, items)
    identical = {text for row in corpus for text in row.split("\n")} & items.keys()
    assert len(identical) > 500  # captions that stand in both, letter by letter
    assert len({item for _, item in found}) > 300  # a pair of JSTS is often a pair of JNLI


def _shared_items(corpus: list[str], items: dict[str, set[str]]) -> set[tuple[str, str]]:
    """(document, item) where each 13-gram of a caption stands in a document, without a gap."""
    expected = set()
    captions = {text: _key(text) for text in items}
    grams = {
        text: {key[at : at + 13] for at in range(len(key) - 12) if len(set(key[at : at + 13])) >= 6}
        for text, key in captions.items()
    }
    holders: dict[str, set[str]] = defaultdict(set)
    for text, own in grams.items():
        for gram in own:
            holders[gram].add(text)
    for number, document in enumerate(corpus):
        key = _key(document)
        there = [key[at : at + 13] for at in range(len(key) - 12)]
        for text in {text for gram in there for text in holders.get(gram, ())}:
            places = [at for at, gram in enumerate(there) if gram in grams[text]]
            gap = 13 + len(grams[text]) // 2
            cuts = [n for n, (one, other) in enumerate(itertools.pairwise(places), start=1) if other - one > gap]
            runs = [places[start:end] for start, end in itertools.pairwise([0, *cuts, len(places)])]
            if any({there[at] for at in run} == grams[text] for run in runs):
                expected |= {(f"s/{number}", item) for item in items[text]}
    return expected


def _key(text: str) -> str:
    return "".join(map(chr, keys(pa.array([text]), RULES).points))


@pytest.mark.parametrize("disguise", DISGUISES)
def test_real_questions_are_found_in_every_disguise(disguise: str, shared_data: Path) -> None:
    """240 questions of six benchmarks, each in the middle of a page of its own."""
    step = _recipe_step(shared_data, action="mark", common_share=1.0)
    index = step.index()
    draw = random.Random(disguise)
    planted: list[tuple[str, str, str]] = []
    for benchmark in step.benchmarks:
        if benchmark.name in ("jcommonsenseqa", "jsquad", "jmmlu", "jemhopqa", "niilc", "mgsm"):
            known = [one for one in benchmark.texts() if len(_key(one.text)) >= 11 and one.text.isprintable()]
            planted += [(one.benchmark, one.item, one.text) for one in draw.sample(known, 40)]
    assert len(planted) == 240
    before, after = ("春の山では雪がとけて、川の水がふえはじめる。" * 5, "そのころ村ではたねをまく。" * 5)
    pages = [before + DISGUISES[disguise](text) + after for _, _, text in planted]
    changed = _run(step, pages)
    places = {
        (row["id"], row["benchmark"], row["item"]): (row["start"], row["start"] + row["length"], row["share"])
        for row in changed.contamination.to_pylist()
    }
    assert index.facts.num_rows == len(step.benchmarks)
    missing = [text for n, (name, item, text) in enumerate(planted) if (f"s/{n}", name, item) not in places]
    assert not missing
    for number, (name, item, _) in enumerate(planted):
        start, end, share = places[f"s/{number}", name, item]
        outside = len(pages[number]) - len(after)
        assert share >= 0.9, pages[number]
        assert start - len(before) <= 20
        assert start >= len(before)
        assert end <= outside
        assert outside - end <= 30, pages[number]


def test_ten_thousand_unrelated_documents_hold_no_item(shared_data: Path) -> None:
    """What the sources of the recipe hold was read by eye: one document, a passage that JSQuAD asks about."""
    recipe = validate(read_file(ROOT / "data_recipes" / "japanese-open.yaml"), Recipe).config
    step = _recipe_step(shared_data)
    documents, found = 0, []
    for source in recipe.sources:
        bad: list[Any] = []
        pieces = list(source.pieces(shared_data / "raw", recipe.slice_bytes))
        for batch in source.batches(pieces, (), bad):
            changed = step.run(batch)
            documents += batch.num_rows
            found += changed.contamination.to_pylist()
            assert changed.dropped.num_rows == 0
    assert documents >= 10_000
    assert [(row["benchmark"], row["item"], row["id"]) for row in found] == [
        ("jsquad-passages", "935", "wikipedia-ner/wikipedia-ner/ner.json#423")
    ]


def test_benchmarks_say_how_many_items_can_be_found(shared_data: Path) -> None:
    facts = {row["benchmark"]: row for row in _recipe_step(shared_data).index().facts.to_pylist()}
    items = {name: row["items"] for name, row in facts.items()}
    assert items | {"jmmlu": 0, "jsts": 0} == {
        "jcommonsenseqa": 1119, "jnli": 4942, "jsquad": 4442, "jsquad-passages": 1145, "jemhopqa": 1059, "niilc": 800,
        "janli": 14400, "lawqa_jp": 140, "lawqa_jp-statutes": 140, "mgsm": 250, "jhumaneval": 164, "mt-bench-ja": 80,
        "rakuda": 40, "jmmlu": 0, "jsts": 0,
    }  # fmt: skip
    shares = np.array([row["searchable_items"] / row["items"] for row in facts.values()])
    assert shares.min() > 0.67  # jcommonsenseqa: many questions are of a few words
    assert (shares > 0.99).sum() >= 11


def test_the_recipe_loads_with_its_overrides(shared_data: Path) -> None:
    step = _recipe_step(shared_data)
    actions = {benchmark.name: benchmark.action for benchmark in step.benchmarks if benchmark.action}
    assert actions == {"jsquad-passages": "mark", "lawqa_jp-statutes": "mark"}
    with pytest.raises(pydantic.ValidationError):
        _recipe_step(shared_data, action="burn")
