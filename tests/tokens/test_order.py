"""Which tokens step n sees: a bijection an epoch, the same global batch on any number of processes, weights kept."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.tokens.index import write_index
from jpfm.tokens.mixture import Mixture, Stage
from jpfm.tokens.order import Packing, TokenOrder, order_of, positions
from jpfm.tokens.store import TokenStore

EOS = 2


def made(folder: Path, sources: Mapping[str, Sequence[Sequence[int]]], **stats: Any) -> Artifact:
    """A tokens artifact: document lengths (EOS counted) by source and file. Ids are unique over the artifact."""

    def work(draft: Draft) -> Finished:
        files, following, documents = [], 10, 0
        for source, parts in sources.items():
            for number, lengths in enumerate(parts):
                name = f"{source}-{number:05d}"
                rows = []
                with (draft.path / f"{name}.bin").open("wb") as binary:
                    for ordinal, length in enumerate(lengths):
                        ids = np.append(np.arange(following, following + length - 1), EOS)
                        following += length - 1
                        binary.write(ids.astype(np.int32).tobytes())
                        rows.append({"ordinal": ordinal, "id": f"{source}/{number}/{ordinal}", "source": source,
                                     "licence": "CC0-1.0" if ordinal % 2 else "CC-BY-4.0",
                                     "start": sum(lengths[:ordinal]), "length": length})  # fmt: skip
                write_index(draft.path / f"{name}.idx", np.array(lengths, dtype=np.int32), np.dtype(np.int32))
                pl.DataFrame(rows).write_parquet(draft.path / f"{name}.docs.parquet")
                files.append({"name": name, "source": source, "documents": len(lengths), "tokens": sum(lengths)})
                documents += len(lengths)
        tokens = {source: sum(map(sum, parts)) for source, parts in sources.items()}
        return Finished(
            {"documents": documents, "tokens": sum(tokens.values()), "vocab_size": following, "eos": EOS,
             "dtype": "int32", "tokenizer": "tokenizer-x", "tokens_by_source": tokens, "files": files} | stats
        )  # fmt: skip

    return artifacts.produce(
        folder, kind="tokens", version=2, config=json.loads(json.dumps(stats)), parents=[], work=work
    )


BLEND = {
    "novels": [[30, 5, 200, 17], [3, 90, 41], [260]],
    "laws": [[12, 12, 12, 40, 7, 55]],
    "notes": [[2, 2, 9, 300, 31], [64, 64]],
}


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return TokenStore.open(made(tmp_path_factory.mktemp("blend") / "tokens", BLEND))


@pytest.fixture(scope="module")
def store(tokens: Artifact) -> TokenStore:
    return TokenStore.open(tokens)


MIXTURES = {
    "by size": Mixture(),
    "weights": Mixture(weights={"novels": 0.5, "laws": 0.125, "notes": 0.375}),
    "one source": Mixture(weights={"laws": 1.0}),
    "stages": Mixture(
        stages=(
            Stage(tokens=700, weights={"novels": 0.9, "notes": 0.1}),
            Stage(tokens=900),
            Stage(weights={"laws": 0.333333, "notes": 0.666667}),
        )
    ),
}
SHAPES = [(8, "concat"), (31, "concat"), (50, "best_fit"), (7, "best_fit")]


def whole_stream(store: TokenStore) -> npt.NDArray[np.uint32]:
    return store.read(0, store.num_tokens)


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
@pytest.mark.parametrize(("seq_len", "packing"), SHAPES)
@given(st.integers(0, 60), st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 3))
@settings(max_examples=15)
def test_any_number_of_processes_gives_the_same_global_batch(
    blend: TokenStore, mixture: Mixture, seq_len: int, packing: Packing, step: int, world: int, seed: int
) -> None:
    order = TokenOrder(blend, seq_len, 12, seed, mixture, packing)
    whole = order.batch(step)
    assert whole.shape == (12, seq_len + 1)
    assert whole.dtype == np.uint32
    parts = [order.batch(step, rank, world) for rank in range(world)]
    assert np.array_equal(np.stack(parts, axis=1).reshape(12, seq_len + 1), whole)
    targets = [order.targets(step, rank, world) for rank in range(world)]
    assert np.array_equal(np.stack(targets, axis=1).reshape(12), order.targets(step))
    assert np.array_equal(TokenOrder(blend, seq_len, 4, seed, mixture, packing).batch(3 * step), whole[:4])


@pytest.mark.parametrize(("seq_len", "packing"), SHAPES)
@given(st.integers(0, 2**40))
@settings(max_examples=10)
def test_an_epoch_of_a_source_shows_each_of_its_tokens_once(
    blend: TokenStore, seq_len: int, packing: Packing, seed: int
) -> None:
    """Tokens are unique, EOS aside: what an epoch's targets show is what the source holds, no more and no less."""
    for source, span in blend.spans.items():
        order = TokenOrder(blend, seq_len, 1, seed, Mixture(weights={source: 1.0}), packing)
        layout = order.layouts[order.sources.index(source)]
        own = blend.read(span.first, span.last)
        for epoch in range(2):
            shown: list[int] = []
            for step in range(epoch * layout.num_rows, (epoch + 1) * layout.num_rows):
                real = int(order.targets(step)[0])
                shown += order.batch(step)[0, 1 : real + 1].tolist()
            if packing == "concat":  # the stream's first token is an input only; its tail is shorter than a row
                expected = own[1 : 1 + layout.num_rows * seq_len]
                assert layout.tokens_left_out == len(own) - 1 - len(expected) < seq_len
            else:
                expected = own
            assert Counter(shown) == Counter(expected.tolist())
            assert layout.num_rows * seq_len == len(shown) + layout.padding


def test_the_next_epoch_and_another_seed_have_another_order(store: TokenStore) -> None:
    order = TokenOrder(store, seq_len=64, rows_per_step=8, mixture=Mixture(weights={"office": 1.0}))
    count = order.layouts[order.sources.index("office")].num_rows
    first, second = order.rows_at(np.arange(count)).row, order.rows_at(np.arange(count, 2 * count)).row
    assert np.array_equal(np.sort(first), np.arange(count))
    assert np.array_equal(np.sort(second), np.arange(count))
    assert not np.array_equal(first, second)
    assert not np.array_equal(TokenOrder(store, 64, 8, seed=1).rows_at(np.arange(count)).row, first)


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_rows_are_the_stream(blend: TokenStore, packing: Packing) -> None:
    order = TokenOrder(blend, 25, 4, packing=packing)
    stream = whole_stream(blend)
    for step in range(12):
        rows = order.rows(step)
        for slot, (source, row) in enumerate(zip(rows.source.tolist(), rows.row.tolist(), strict=True)):
            pieces = order.layouts[source].pieces(np.array([row]))
            parts = [stream[a:b] for a, b in zip(pieces.first, pieces.last, strict=True)]
            found = order.batch(step)[slot]
            if packing == "concat":
                assert np.array_equal(found, parts[0])
                continue
            begin = int(pieces.first[0])
            lead = EOS if begin == blend.spans[order.sources[source]].first else stream[begin - 1]
            text = np.concatenate([[lead], *parts])
            assert np.array_equal(found, np.append(text, np.full(26 - len(text), EOS)))


def test_best_fit_cuts_no_document_that_fits_and_pads_less_than_first_come(blend: TokenStore) -> None:
    order = TokenOrder(blend, 100, 1, packing="best_fit")
    for source, layout in zip(order.sources, order.layouts, strict=True):
        lengths = [length for part in BLEND[source] for length in part]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) + blend.spans[source].first
        pieces = layout.pieces(np.arange(layout.num_rows))
        sizes = dict(zip(pieces.first.tolist(), (pieces.last - pieces.first).tolist(), strict=True))
        for start, length in zip(starts.tolist(), lengths, strict=True):
            if length <= 100:
                assert sizes[start] == length
        rows, room = 1, 100
        for length in (part for whole in lengths for part in [100] * (whole // 100) + [whole % 100] if part):
            rows, room = (rows, room - length) if length <= room else (rows + 1, 100 - length)
        assert layout.num_rows <= rows


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
@pytest.mark.parametrize(("seq_len", "packing"), SHAPES)
@pytest.mark.parametrize("step", [0, 3, 29])
def test_documents_of_a_step_are_those_whose_tokens_it_saw(
    blend: TokenStore, mixture: Mixture, seq_len: int, packing: Packing, step: int
) -> None:
    order = TokenOrder(blend, seq_len, 4, 0, mixture, packing)
    batch, real = order.batch(step), order.targets(step)
    held = {token: row for number in range(len(blend.files)) for row in blend.table(number).iter_rows(named=True)
            for token in blend.read(row["first"], row["last"]).tolist() if token != EOS}  # fmt: skip
    table = order.documents(step).to_pylist()
    for slot in range(4):
        lead = 0 if packing == "concat" else 1
        shown = [token for token in batch[slot, lead : 1 + real[slot]].tolist() if token != EOS]
        mine = [row for row in table if row["slot"] == slot]
        listed = [t for row in mine for t in blend.read(row["first"], row["last"]).tolist() if t != EOS]
        assert Counter(shown) == Counter(listed)
        assert {held[token]["id"] for token in shown} <= {row["id"] for row in mine}
        for row in mine:
            assert row["source"] == row["id"].split("/")[0]
            assert row["licence"] == ("CC0-1.0" if int(row["id"].split("/")[2]) % 2 else "CC-BY-4.0")
    both = [row for rank in range(2) for row in order.documents(step, rank, 2).to_pylist()]
    assert sorted(both, key=lambda row: (row["slot"], row["first"])) == table


@given(
    st.sampled_from(sorted(MIXTURES)), st.sampled_from(SHAPES), st.integers(1, 9), st.integers(0, 3),
    st.integers(0, 60), st.data(),
)  # fmt: skip
@settings(max_examples=60)
def test_sightings_are_the_documents_of_all_steps_read_backwards(
    blend: TokenStore, mixture: str, shape: tuple[int, Packing], rows: int, seed: int, steps: int, data: st.DataObject
) -> None:
    seq_len, packing = shape
    order = TokenOrder(blend, seq_len, rows, seed, MIXTURES[mixture], packing)
    tables = [blend.table(number) for number in range(len(blend.files))]
    documents = pl.concat(tables).sort("first")
    chosen = sorted(data.draw(st.sets(st.integers(0, documents.height - 1), min_size=1, max_size=4)))
    wanted = documents[chosen]
    found = order.sightings(wanted["first"].to_numpy(), wanted["last"].to_numpy(), steps).to_pylist()
    expected = []
    for step in range(steps):
        for row in order.documents(step).to_pylist():
            if row["id"] in wanted["id"].to_list():
                expected.append({"step": step, "slot": row["slot"], "range": wanted["id"].to_list().index(row["id"]),
                                 "first": row["first"], "last": row["last"]})  # fmt: skip
    key = lambda row: (row["step"], row["slot"], row["first"])  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)


def test_no_range_and_no_step_give_no_sighting(blend: TokenStore) -> None:
    order = TokenOrder(blend, 8, 4)
    none = np.array([], dtype=np.int64)
    assert order.sightings(none, none, 100).num_rows == 0
    assert order.sightings(np.array([0]), np.array([50]), 0).num_rows == 0
    assert order.sightings(np.array([5]), np.array([5]), 100).num_rows == 0


def test_stages_begin_where_their_tokens_end(blend: TokenStore) -> None:
    order = TokenOrder(blend, 8, 4, mixture=MIXTURES["stages"])
    assert [part.first for part in order.parts] == [0, 700 // 8, 700 // 8 + 900 // 8]
    sources = order.rows_at(np.arange(400)).source
    assert 1 not in sources[:87]  # laws have no weight in the first stage
    assert 0 not in sources[199:]
    assert np.array_equal(np.bincount(sources[:200], minlength=3), order.counts(50))


def test_an_added_source_reorders_no_other(tmp_path: Path, blend: TokenStore) -> None:
    more = TokenStore.open(made(tmp_path / "more", {"first": [[50, 60]], **BLEND}))
    alone = TokenOrder(blend, 8, 4, mixture=MIXTURES["weights"])
    beside = TokenOrder(more, 8, 4, mixture=MIXTURES["weights"])
    assert np.array_equal(alone.rows_at(np.arange(300)).row, beside.rows_at(np.arange(300)).row)


def test_two_artifacts_are_one_store(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", {"a": [[40, 30]]}), made(tmp_path / "two", {"b": [[9, 80]]}, note="other")
    two.manifest.stats["vocab_size"] = one.manifest.stats["vocab_size"]
    both = TokenStore.open(one, two)
    assert list(both.spans) == ["a", "b"]
    assert np.array_equal(
        both.read(0, 159), np.concatenate([TokenStore.open(x).read(0, n) for x, n in ((one, 70), (two, 89))])
    )
    order = TokenOrder(both, 10, 4, mixture=Mixture(weights={"a": 0.5, "b": 0.5}))
    assert {row["source"] for row in order.documents(0).to_pylist()} == {"a", "b"}


def test_start_up_needs_no_token(tmp_path: Path) -> None:
    """10^10 rows: nothing of that size may be made."""
    from jpfm.tokens.store import Span

    spans = {f"s{n}": Span(n * 10**13, (n + 1) * 10**13) for n in range(4)}
    store = TokenStore((), (), np.array([0, 4 * 10**13]), spans, (np.dtype(np.int32),))
    order = TokenOrder(store, 4096, 512, mixture=Mixture(weights={"s0": 0.1, "s1": 0.2, "s2": 0.3, "s3": 0.4}))
    assert order.num_rows > 9 * 10**9
    rows = order.rows(10**7)
    assert np.bincount(rows.source).tolist() == pytest.approx([51.2, 102.4, 153.6, 204.8], abs=2)
    for source in range(4):
        assert 0 <= rows.row[rows.source == source].min() <= rows.row.max() < 10**13 // 4096


@pytest.mark.parametrize(
    ("mixture", "what", "mend"),
    [
        (Mixture(weights={"novels": 0.5, "letters": 0.5}), "weights names 'letters'", "novels, laws, notes"),
        (Mixture(max_epochs={"letters": 2}), "max_epochs names 'letters'", "novels, laws, notes"),
        (Mixture(weights={"novels": 0.5, "laws": 0.4}), "sum to 0.9", "set novels to 0.6"),
        (Mixture(weights={"novels": 0.8, "laws": 0.4}), "sum to 1.2", "set novels to 0.6"),
        (Mixture(weights={"novels": 0.33333333, "laws": 0.66666667}), "more than six decimals", "0.333333"),
        (Mixture(stages=(Stage(tokens=9, weights={"x": 1}), Stage())), "stage 1: weights names 'x'", "novels"),
    ],
)
def test_weights_that_cannot_be_are_said_so(blend: TokenStore, mixture: Mixture, what: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        TokenOrder(blend, 8, 4, mixture=mixture)
    assert what in caught.value.message
    assert mend in caught.value.hint


def test_a_source_below_a_row_and_a_cap_are_said_so(blend: TokenStore) -> None:
    with pytest.raises(DataError, match=r"source 'laws' has 138 tokens: no row of 200"):
        TokenOrder(blend, 200, 4, mixture=Mixture(weights={"novels": 0.5, "laws": 0.5}))
    assert TokenOrder(blend, 200, 4).epochs(100)["laws"] == 0  # by size it has no row and no weight
    order = TokenOrder(blend, 8, 4, mixture=Mixture(weights={"novels": 0.5, "laws": 0.5}, max_epochs={"laws": 4}))
    rows = order.layouts[1].num_rows
    order.check(4 * rows // 2)
    with pytest.raises(UsageError, match=r"source 'laws' would be seen .* its cap is 4") as caught:
        order.check(4 * rows // 2 + 2)
    allowed = float(caught.value.hint.split("give it ")[1].split(" ")[0])
    assert 0.45 < allowed < 0.5


def test_what_cannot_be_split_or_filled_is_said_so(store: TokenStore) -> None:
    with pytest.raises(UsageError, match="12 rows a step cannot be split over 5 processes"):
        TokenOrder(store, seq_len=8, rows_per_step=12).batch(0, 0, 5)
    with pytest.raises(DataError, match="do not fill one row"):
        TokenOrder(store, seq_len=10**7, rows_per_step=1)


def test_stages_and_weights_together_are_refused() -> None:
    with pytest.raises(ValueError, match="weights or stages, not both"):
        Mixture(weights={"a": 1}, stages=(Stage(),))
    with pytest.raises(ValueError, match="stage 1: every stage but the last needs tokens"):
        Mixture(stages=(Stage(), Stage()))
    with pytest.raises(ValueError, match="stage 2: every stage but the last"):
        Mixture(stages=(Stage(tokens=5), Stage(tokens=5)))


def test_the_order_of_a_run_is_read_from_its_settings(blend: TokenStore) -> None:
    config = {"seq_len": 8, "batch_tokens": 32, "seed": 3, "packing": "best_fit",
              "mixture": {"weights": {"laws": 1.0}, "stages": [], "max_epochs": None}}  # fmt: skip
    order = order_of(config, blend)
    assert np.array_equal(order.batch(5), TokenOrder(blend, 8, 4, 3, Mixture(weights={"laws": 1}), "best_fit").batch(5))
    with pytest.raises(UsageError, match="no seq_len, seed"):
        order_of({"batch_tokens": 32}, blend)


@pytest.mark.parametrize(
    ("file", "change", "what"),
    [
        ("laws-00000.bin", lambda data: data[:-4], "548 bytes, the manifest says 552"),
        ("laws-00000.bin", lambda data: data + b"\0\0\0\0", "556 bytes"),
        ("laws-00000.bin", None, "is missing"),
        ("novels-00001.docs.parquet", None, "is missing"),
    ],
)
def test_damaged_files_are_said_so_at_the_start(tmp_path: Path, file: str, change: Any, what: str) -> None:
    artifact = made(tmp_path / "t", BLEND)
    path = artifact.path / file
    data = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(change(data))
    with pytest.raises(ArtifactError, match=what):
        TokenStore.open(artifact)


def test_an_index_of_another_file_is_said_so_when_it_is_read(tmp_path: Path) -> None:
    artifact = made(tmp_path / "t", BLEND)
    whole = (artifact.path / "notes-00000.idx").read_bytes()
    (artifact.path / "notes-00000.idx").write_bytes((artifact.path / "notes-00001.idx").read_bytes())
    with pytest.raises(ArtifactError, match="2 documents of int32; expected 5"):
        TokenStore.open(artifact)
    write_index(artifact.path / "notes-00000.idx", np.array([2, 2, 9, 300, 30], dtype=np.int32), np.dtype(np.int32))
    with pytest.raises(ArtifactError, match=r"5 documents, 343 tokens \(int32\); expected 5, 344"):
        TokenOrder(TokenStore.open(artifact), 8, 4, packing="best_fit")
    (artifact.path / "notes-00000.idx").write_bytes(whole)
    (artifact.path / "notes-00000.docs.parquet").write_bytes((artifact.path / "laws-00000.docs.parquet").read_bytes())
    with pytest.raises(ArtifactError, match="6 documents of laws, 138 tokens; expected 5 of notes, 344"):
        TokenOrder(TokenStore.open(artifact), 8, 12).documents(0)


def test_an_id_beyond_the_vocabulary_is_named_before_a_model_sees_it(tmp_path: Path) -> None:
    artifact = made(tmp_path / "t", BLEND)
    ids = np.fromfile(artifact.path / "novels-00001.bin", dtype=np.int32)
    ids[40] = 60_000
    ids.tofile(artifact.path / "novels-00001.bin")
    for packing in ("concat", "best_fit"):
        order = TokenOrder(TokenStore.open(artifact), 16, 100, packing=packing)
        with pytest.raises(ArtifactError, match=r"novels-00001\.bin: token id 60,000 at 40 in a vocabulary of"):
            order.batch(0)


def test_stores_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    one = made(tmp_path / "one", {"a": [[40, 30]]})
    with pytest.raises(UsageError, match="both hold a source 'a'"):
        TokenStore.open(one, made(tmp_path / "two", {"a": [[40, 30]]}, note="x"))
    with pytest.raises(UsageError, match="tokenizer tokenizer-x and tokenizer-y"):
        TokenStore.open(one, made(tmp_path / "three", {"b": [[40, 30]]}, tokenizer="tokenizer-y"))


def test_the_packed_sample_is_read_as_it_was_packed(store: TokenStore, tokens: Artifact) -> None:
    names = [file["name"] for file in tokens.manifest.stats["files"]]
    raw = np.concatenate([np.fromfile(tokens.path / f"{name}.bin", dtype=np.uint16) for name in names])
    assert np.array_equal(store.read(0, store.num_tokens), raw)
    listed = [id_ for name in names for id_ in pq.read_table(tokens.path / f"{name}.docs.parquet")["id"].to_pylist()]
    assert [id_ for n in range(len(store.files)) for id_ in store.table(n)["id"]] == listed
    for source in store.spans:
        starts = store.starts(source)
        assert np.all(store.read(0, store.num_tokens)[starts[1:] - 1] == store.eos)


def test_positions_restart_at_eos_and_at_the_row_start() -> None:
    rows = np.array([[5, 6, EOS, 7, EOS, EOS, 8], [EOS, 5, 6, 7, 8, 9, 9]], dtype=np.uint32)
    assert positions(rows, EOS).tolist() == [[0, 1, 0, 1, 0, 0, 1], [0, 1, 2, 3, 4, 5, 6]]
