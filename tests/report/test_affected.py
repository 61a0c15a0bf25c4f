"""What documents have reached: the steps are those of brute force, and every artifact is judged by what it holds."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from tests.conftest import tiny_training

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished, Kind
from jpfm.core.errors import ArtifactError
from jpfm.data.build import build
from jpfm.data.forget import Forget
from jpfm.data.recipe import Recipe
from jpfm.data.signatures import like, make_signatures
from jpfm.report.affected import Reach, reached
from jpfm.report.forgotten_page import spans, steps_of
from jpfm.report.provenance import provenance
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.store import TokenStore


class House:
    """A folder with a corpus and what was made of it."""

    def __init__(self, folder: Path, *given: Artifact) -> None:
        self.folder = folder
        for one in given:
            shutil.copytree(one.path, folder / one.path.name)
        self.corpus, self.tokenizer, self.tokens = (artifacts.open_artifact(folder / one.path.name) for one in given)

    def put(
        self, name: str, kind: Kind, parents: Sequence[Artifact], config: Mapping[str, Any] | None = None,
        tables: Mapping[str, pl.DataFrame] | None = None,
    ) -> Artifact:  # fmt: skip
        """An artifact with its manifest, as a stage leaves it, and no more in it than is read here."""

        def work(draft: Draft) -> Finished:
            artifacts.write_text(draft.path / "about", name)
            for path, table in (tables or {}).items():
                (draft.path / path).parent.mkdir(exist_ok=True)
                table.write_parquet(draft.path / path)
            return Finished({})

        return artifacts.produce(
            self.folder / name, kind=kind, version=1, config=config or {}, parents=parents, work=work
        )

    def train(self, name: str, saved: Sequence[int], **changes: Any) -> list[Artifact]:
        """The checkpoints of a run, the last of them the run's own artifact."""
        schedule = {"warmup_steps": 1, "decay_steps": 1}
        config = tiny_training(self.tokens, **({"steps": saved[-1], "schedule": schedule} | changes)).identity()
        parents = [self.tokens, self.tokenizer]
        made = self.put(name, "checkpoint", parents, config)
        early = [
            self.put(f"{name}/steps/step-{step:08d}", "checkpoint", parents, config | {"step": step})
            for step in saved[:-1]
        ]
        return [*early, made]

    def ids(self, split: str = "train") -> list[str]:
        """The kept documents of a split, in corpus order."""
        files = sorted((self.corpus.path / "documents").glob("*.parquet"))
        rows = pl.concat([pl.read_parquet(file, columns=["id", "split"]) for file in files])
        return rows.filter(pl.col("split") == split)["id"].to_list()


@pytest.fixture
def house(corpus: Artifact, tokenizer: Artifact, tokens: Artifact, tmp_path: Path) -> House:
    return House(tmp_path, corpus, tokenizer, tokens)


def _what(reach: Reach) -> dict[str, str]:
    return {place: one.what for one in reach.touched for place in one.places}


def _brute(house: House, ids: set[str], *, seq_len: int, rows: int, seed: int, steps: int) -> set[tuple[Any, ...]]:
    order = TokenOrder(TokenStore.open(house.tokens), seq_len, rows, seed)
    return {
        (step + 1, row["slot"], row["id"], row["first"], row["last"])
        for step in range(steps)
        for row in order.documents(step).to_pylist()
        if row["id"] in ids
    }


@pytest.mark.parametrize(
    ("seq_len", "rows", "seed", "steps"), [(128, 8, 0, 12), (64, 3, 7, 200), (512, 16, 3, 40), (1000, 1, 1, 40)]
)
def test_the_steps_are_those_of_the_documents_of_every_step(
    house: House, seq_len: int, rows: int, seed: int, steps: int
) -> None:
    house.train("model", [steps], seq_len=seq_len, batch_tokens=seq_len * rows, seed=seed, micro_batch_rows=1)
    ids = house.ids()[3::17]
    reach = reached(house.corpus, ids, house.folder)
    expected = _brute(house, set(ids), seq_len=seq_len, rows=rows, seed=seed, steps=steps)
    found = reach.exposure.steps
    assert set(found.drop("run").iter_rows()) == expected
    assert len(found) == len(expected)
    (run,) = reach.exposure.runs
    assert run.num_steps == len({step for step, *_ in expected})
    assert run.num_tokens == sum(last - first for *_, first, last in expected)
    assert run.first_step == min(step for step, *_ in expected)
    assert steps_of(reach, 1) == list(spans(sorted({step for step, *_ in expected})))


def test_token_ranges_are_the_tokens_of_the_documents(house: House) -> None:
    ids = house.ids()[5:8]
    ranges = reached(house.corpus, ids, house.folder).exposure.ranges
    first, docs = 0, {}
    for file in house.tokens.manifest.stats["files"]:
        for row in pq.read_table(house.tokens.path / f"{file['name']}.docs.parquet").to_pylist():
            docs[row["id"]] = (first + row["start"], row["length"])
        first += file["tokens"]
    assert ranges["document"].to_list() == ids
    for row in ranges.iter_rows(named=True):
        assert (row["first"], row["last"] - row["first"]) == docs[row["document"]]
        assert row["tokens"] == house.tokens.id


def test_checkpoints_before_the_first_such_step_are_clean(house: House) -> None:
    """With real steps: a document that is first seen between two checkpoints."""
    order = TokenOrder(TokenStore.open(house.tokens), 128, 8, 0)
    seen: dict[str, int] = {}
    for step in range(12):
        for identity in order.documents(step).column("id").to_pylist():
            seen.setdefault(identity, step + 1)
    late = next(identity for identity, step in seen.items() if step == 6)
    saved = house.train("model", [4, 5, 6, 12])
    (run,) = reached(house.corpus, [late], house.folder).exposure.runs
    assert run.first_step == 6
    assert [one.step for one in run.affected] == [6, 12]
    assert run.last_clean is not None
    assert run.last_clean.id == saved[1].id
    what = _what(reached(house.corpus, [late], house.folder))
    assert [what[f"model/steps/step-{step:08d}"] for step in (4, 5, 6)] == ["vocabulary", "vocabulary", "trained"]
    assert what["model"] == "trained"


def test_a_trained_run_is_read_as_it_was_left(checkpoint: Artifact, corpus: Artifact) -> None:
    """Manifests of real training, not of these tests."""
    folder = checkpoint.path.parent
    files = sorted((folder / "tokens").glob("*.docs.parquet"))
    ids = [identity for file in files for identity in pq.read_table(file).column("id").to_pylist()]
    reach = reached(corpus, ids, folder)
    (run,) = [run for run in reach.exposure.runs if checkpoint.id in {saved.id for saved in run.saved}]
    assert [saved.step for saved in run.saved] == [4, 8, 12]
    assert (run.first_step, run.num_steps) == (1, 12)
    assert run.num_tokens >= 12 * 1024


def test_runs_are_told_apart_by_what_decides_their_steps(house: House) -> None:
    ids = house.ids()[:9]
    house.train("one", [4, 8])
    house.train("two", [8], seed=1)
    house.train("three", [8], learning_rate=1e-4)
    runs = reached(house.corpus, ids, house.folder).exposure.runs
    assert sorted((run.seed, [saved.step for saved in run.saved]) for run in runs) == [(0, [4, 8]), (0, [8]), (1, [8])]
    same = [run for run in runs if run.seed == 0]
    assert same[0].num_tokens == same[1].num_tokens


def test_each_kind_is_judged_by_what_it_holds(house: House) -> None:
    (trained,) = house.train("model", [200])
    held_out, kept = house.ids("held_out")[0], house.ids()[0]
    items = {"items/bits.parquet": pl.DataFrame({"item_id": [held_out], "value": [1.0]})}
    house.put("scores", "scores", [trained, house.corpus], tables=items)
    house.put("board", "report", [artifacts.open_artifact(house.folder / "scores")])
    make_signatures(house.corpus, house.folder / "signatures", like(house.corpus, []))
    provenance([house.corpus], house.folder / "ledger")
    assert _what(reached(house.corpus, [kept], house.folder)) == {
        "corpus": "documents", "signatures": "hashes", "tokenizer": "statistics", "tokens": "tokens",
        "model": "trained", "scores": "derived", "board": "derived", "ledger": "derived",
    }  # fmt: skip
    assert _what(reached(house.corpus, [held_out], house.folder)) == {
        "corpus": "documents", "signatures": "hashes", "tokenizer": "clean", "tokens": "clean",
        "scores": "scored", "board": "derived", "ledger": "derived",
    }  # fmt: skip
    dropped = pl.read_parquet(sorted((house.corpus.path / "dropped").glob("*.parquet")))["id"][0]
    assert _what(reached(house.corpus, [dropped], house.folder))["corpus"] == "dropped"
    assert _what(reached(house.corpus, ["nobody/knows.txt"], house.folder)) == {}


def test_a_model_goes_on_from_another(house: House) -> None:
    (first,) = house.train("model", [200])
    house.put("tuned", "checkpoint", [first, house.tokenizer])
    house.put("scores", "scores", [artifacts.open_artifact(house.folder / "tuned")])
    what = _what(reached(house.corpus, house.ids()[:1], house.folder))
    assert (what["tuned"], what["scores"]) == ("trained", "derived")


def test_corpora_of_the_same_raw_files_and_of_the_corpus_count(house: House, recipe: Recipe) -> None:
    kept = house.ids()[0]
    source = {"format": "corpus", "name": "again", "path": "corpus"}
    settings = {"stage": "data", "name": "derived", "root": str(house.folder), "sources": [source], "steps": []}
    build(recipe.model_copy(update={"steps": recipe.steps[:1]}), house.folder / "other")
    build(recipe.model_copy(update={"forget": Forget(ids=(kept,))}), house.folder / "without")
    derived = build(Recipe.model_validate(settings), house.folder / "derived")
    assert derived is not None
    reach = reached(house.corpus, [kept], house.folder)
    what = _what(reach)
    assert reach.touched[0].id == house.corpus.id
    assert (what["other"], what["derived"]) == ("documents", "documents")
    assert "without" not in what
    assert _what(reached(derived, [kept], house.folder))["corpus"] == "documents"


def test_copies_unfinished_work_and_lost_parents_are_told(house: House) -> None:
    kept = house.ids()[0]
    shutil.copytree(house.tokens.path, house.folder / "backup" / "tokens-copy")
    plan = artifacts.plan_of("checkpoint", 1, {"steps": 9}, [house.tokens, house.tokenizer])
    artifacts.open_draft(house.folder / "running", plan)
    lost = house.put("lost", "tokenizer", [])
    orphan = house.put("orphan", "tokens", [lost])
    shutil.rmtree(lost.path)
    reach = reached(house.corpus, [kept], house.folder)
    (tokens,) = [one for one in reach.touched if one.kind == "tokens"]
    assert tokens.places == ("backup/tokens-copy", "tokens")
    assert reach.unfinished == (("running.partial", "checkpoint"),)
    assert reach.unknown == (("orphan", lost.id),)
    assert orphan.id not in {one.id for one in reach.touched}


def test_a_corpus_outside_the_folder_and_a_damaged_store(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = house.ids()[0]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.move(house.tokens.path, elsewhere / "tokens")
    reach = reached(house.corpus, [kept], elsewhere)
    assert {one.kind for one in reach.touched} == {"corpus", "tokens"}
    shutil.move(elsewhere / "tokens", house.tokens.path)
    house.train("model", [3])
    binary = house.tokens.path / f"{house.tokens.manifest.stats['files'][0]['name']}.bin"
    binary.write_bytes(binary.read_bytes()[:-2])
    with pytest.raises(ArtifactError, match=r"00000\.bin"):
        reached(house.corpus, [kept], house.folder)


def test_spans_join_neighbours() -> None:
    numbers = np.flatnonzero(np.random.default_rng(0).integers(0, 2, 500)).tolist()
    again: list[int] = []
    for span in spans(numbers):
        first, _, last = span.partition("-")
        again += range(int(first), int(last or first) + 1)
    assert again == numbers
