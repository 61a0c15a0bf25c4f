"""Packing loses no token, whatever the settings, the number of workers, or where it was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import ArtifactError, DataError, JpfmError, UsageError
from jpfm.core.lineage import ancestors
from jpfm.core.shards import Engine, Slice
from jpfm.data.build import read_documents
from jpfm.tokens import text_file
from jpfm.tokens.encoder import CONTINUES, ENDS_LINE, ENDS_SENTENCE, OTHER
from jpfm.tokens.index import open_pair
from jpfm.tokens.pack import TokensConfig, open_inputs, pack
from jpfm.tokens.tokenizer import EOS, load, load_sentencepiece

SMALL = {"stage": "tokens", "file_bytes": 30_000}


def made(config: dict[str, Any], corpus: Artifact, tokenizer: Artifact, out: Path, **more: Any) -> Artifact:
    artifact = pack(TokensConfig.model_validate(config), corpus, tokenizer, out, **more)
    assert artifact is not None
    return artifact


def sequences(artifact: Artifact) -> list[tuple[dict[str, Any], list[int]]]:
    """Rows of docs.parquet with their ids, file by file."""
    found = []
    for file in artifact.manifest.stats["files"]:
        pair = open_pair(artifact.path / file["name"])
        table = pq.read_table(artifact.path / f"{file['name']}.docs.parquet").to_pylist()
        assert [row["length"] for row in table] == pair.lengths.tolist()
        assert [row["ordinal"] for row in table] == list(range(len(table)))
        assert len(table) == file["documents"]
        assert len(pair.tokens) == file["tokens"]
        for row in table:
            assert row["source"] == file["source"]
            found.append((row, pair.tokens[row["start"] : row["start"] + row["length"]].tolist()))
    return found


@pytest.fixture(scope="module")
def rows(corpus: Artifact) -> list[dict[str, Any]]:
    columns = ["id", "source", "licence", "text"]
    return [row for batch in read_documents(corpus, columns, split="train") for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def packed(corpus: Artifact, tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return made(SMALL, corpus, tokenizer, tmp_path_factory.mktemp("pack") / "tokens")


def test_the_tokens_decode_to_the_documents_in_corpus_order(
    packed: Artifact, rows: list[dict[str, Any]], tokenizer: Artifact
) -> None:
    pieces = load_sentencepiece(tokenizer)
    found = sequences(packed)
    by_source = sorted(rows, key=lambda row: [row["source"] for row in rows].index(row["source"]))
    assert [row["id"] for row, _ in found] == [row["id"] for row in by_source]
    for (row, ids), text in zip(found, by_source, strict=True):
        assert ids[-1] == EOS
        assert EOS not in ids[:-1]
        assert pieces.decode(ids[:-1]) == text["text"]
        assert (row["source"], row["licence"]) == (text["source"], text["licence"])
    stats = packed.manifest.stats
    assert stats["documents"] == len(rows)
    assert stats["tokens"] == sum(len(ids) for _, ids in found)
    assert sum(stats["tokens_by_source"].values()) == sum(stats["tokens_by_licence"].values()) == stats["tokens"]
    assert list(stats["tokens_by_source"]) == list(dict.fromkeys(row["source"] for row in by_source))
    assert len(stats["files"]) > len(stats["tokens_by_source"])
    assert (stats["vocab_size"], stats["eos"], stats["dtype"]) == (1500, EOS, "uint16")
    assert verify(packed.path) == []


def test_packed_ids_are_those_of_transformers_on_the_whole_text(
    packed: Artifact, rows: list[dict[str, Any]], tokenizer: Artifact
) -> None:
    fast = load(tokenizer.path)
    texts = {row["id"]: row["text"] for row in rows}
    for row, ids in sequences(packed)[::7]:
        assert fast(texts[row["id"]], add_special_tokens=False)["input_ids"] == ids[:-1]


def test_documents_held_out_are_not_packed(packed: Artifact, corpus: Artifact) -> None:
    held = {i for batch in read_documents(corpus, ["id"], split="held_out") for i in batch["id"].to_pylist()}
    assert held
    assert not held & {row["id"] for row, _ in sequences(packed)}


def test_workers_slices_and_order_of_work_give_the_same_artifact(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jpfm.tokens.pack._WORTH_A_PROCESS", 0)
    config = TokensConfig.model_validate(SMALL)
    assert made(SMALL, corpus, tokenizer, tmp_path / "two", engine=Engine(workers=2)).id == packed.id
    out = tmp_path / "slices"
    with pytest.raises(ArtifactError, match="files are not packed yet"):
        pack(config, corpus, tokenizer, out, finish=True)
    for index in (2, 0):
        assert pack(config, corpus, tokenizer, out, part=Slice(index, 3)) is None
    with pytest.raises(ArtifactError, match="files are not packed yet"):
        pack(config, corpus, tokenizer, out, finish=True)
    assert pack(config, corpus, tokenizer, out, part=Slice(1, 3)) is None
    assert made(SMALL, corpus, tokenizer, out, finish=True).id == packed.id
    assert made(SMALL, corpus, tokenizer, out).id == packed.id  # nothing to do


def test_a_damaged_file_of_a_stopped_run_is_packed_again(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    config = TokensConfig.model_validate(SMALL)
    for index in (0, 1):
        pack(config, corpus, tokenizer, tmp_path / "t", part=Slice(index, 2))
    first, second, third = (packed.manifest.stats["files"][number]["name"] for number in range(3))
    partial = tmp_path / "t.partial"
    (partial / f"{first}.bin").write_bytes(b"\0\0")
    (partial / f"{second}.docs.parquet").unlink()
    (partial / "state" / "files" / f"{third}.json").write_text("{", encoding="utf-8")
    (partial / f"{third}.bin.host.17.tmp").write_bytes(b"left by a killed worker")
    assert made(SMALL, corpus, tokenizer, tmp_path / "t").id == packed.id


def test_a_killed_run_goes_on(packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from jpfm.core.artifact import open_artifact\n"
        "from jpfm.tokens.pack import TokensConfig, pack\n"
        "c, t, out = (Path(word) for word in sys.argv[1:])\n"
        f"pack(TokensConfig.model_validate({SMALL!r}), open_artifact(c), open_artifact(t), out)\n"
    )
    out = tmp_path / "tokens"
    process = subprocess.Popen([sys.executable, "-c", script, str(corpus.path), str(tokenizer.path), str(out)])
    records = tmp_path / "tokens.partial" / "state" / "files"
    while process.poll() is None and not (records.exists() and any(records.iterdir())):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert made(SMALL, corpus, tokenizer, out).id == packed.id
    assert not list(out.rglob("*.tmp"))


def test_shuffling_changes_the_order_within_a_file_and_nothing_else(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SMALL | {"document_order": "shuffled", "seed": 3}
    shuffled = made(config, corpus, tokenizer, tmp_path / "a")
    plain, mixed = ({row["id"]: ids for row, ids in sequences(artifact)} for artifact in (packed, shuffled))
    assert plain == mixed
    assert list(plain) != list(mixed)
    assert [file | {"tokens": 0} for file in packed.manifest.stats["files"]] == [
        file | {"tokens": 0} for file in shuffled.manifest.stats["files"]
    ]
    monkeypatch.setattr(text_file, "_BLOCK_TOKENS", 500)
    assert made(config, corpus, tokenizer, tmp_path / "b").manifest.files[0] == shuffled.manifest.files[0]
    other = made(config | {"seed": 4}, corpus, tokenizer, tmp_path / "c")
    assert [row["id"] for row, _ in sequences(other)] != list(mixed)


def test_long_documents_are_cut_at_line_and_sentence_ends(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    cut = made(SMALL | {"max_document_tokens": 64}, corpus, tokenizer, tmp_path / "t")
    whole = {row["id"]: ids for row, ids in sequences(packed)}
    parts: dict[str, list[int]] = {}
    ends = []
    pieces = load_sentencepiece(tokenizer)
    for row, ids in sequences(cut):
        assert len(ids) <= 64
        assert ids[-1] == EOS
        so_far = parts.setdefault(row["id"], [])
        assert row["part"] == 0 if not so_far else row["part"] > 0
        so_far += ids[:-1]
        if len(so_far) < len(whole[row["id"]]) - 1:
            ends.append(pieces.id_to_piece(ids[-2])[-1])
    assert {identity: [*ids, EOS] for identity, ids in parts.items()} == whole
    assert sum(end in "\n。！？」』!?．" for end in ends) > 0.8 * len(ends) > 10


@given(st.lists(st.lists(st.integers(0, 3), max_size=60), max_size=6), st.integers(1, 20))
def test_cutting_loses_nothing(documents: list[list[int]], room: int) -> None:
    """Ids 0 ... 3 are of the kinds CONTINUES, OTHER, ENDS_SENTENCE and ENDS_LINE."""
    ids = np.array([token for document in documents for token in document], dtype=np.uint32)
    offsets = np.cumsum([0, *(len(document) for document in documents)]).astype(np.int64)
    kinds = np.array([CONTINUES, OTHER, ENDS_SENTENCE, ENDS_LINE], dtype=np.uint8)
    whose, bounds = text_file._cut(ids, offsets, room, kinds)
    assert whose.tolist() == sorted(whose.tolist())
    assert set(whose.tolist()) == set(range(len(documents)))
    assert np.diff(bounds).max(initial=0) <= room
    assert set(offsets.tolist()) <= set(bounds.tolist())
    assert bounds[0] == 0
    assert bounds[-1] == len(ids)
    for number in range(len(whose) - 1):
        if whose[number] == whose[number + 1]:
            taken = ids[bounds[number] : bounds[number + 1]]
            half = ids[bounds[number] :][(room + 1) // 2 - 1 : room]
            if 3 in half:
                assert taken[-1] == 3
            elif 2 in half:
                assert taken[-1] == 2
            elif (ids[bounds[number] :][(room + 1) // 2 : room + 1] != 0).any():
                assert ids[bounds[number + 1]] != 0


def test_without_eos_the_manifest_says_so(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    bare = made(SMALL | {"append_eos": False}, corpus, tokenizer, tmp_path / "t")
    assert bare.manifest.stats["append_eos"] is False
    assert [ids for _, ids in sequences(bare)] == [ids[:-1] for _, ids in sequences(packed)]


def test_a_folder_of_another_program_packs_and_stays_in_the_lineage(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer.path / name, folder)
    config = SMALL | {"corpus": str(corpus.path), "tokenizer": str(folder)}
    given_corpus, given_tokenizer = open_inputs(TokensConfig.model_validate(config))
    assert given_corpus is not None
    assert given_tokenizer is not None
    artifact = made(config, given_corpus, given_tokenizer, tmp_path / "tokens")
    assert [ids for _, ids in sequences(artifact)] == [ids for _, ids in sequences(packed)]
    assert artifact.manifest.stats["tokenizer"] == given_tokenizer.id
    shutil.copytree(corpus.path, tmp_path / "corpus")
    assert given_tokenizer.id in {found.id for found in ancestors(artifact)}


def _corpus_like(corpus: Artifact, folder: Path, change: Any) -> Artifact:
    (folder / "documents").mkdir(parents=True)
    for path in sorted((corpus.path / "documents").glob("*.parquet")):
        pq.write_table(change(pq.read_table(path)), folder / "documents" / path.name)
    return Artifact(folder, corpus.manifest)


def test_row_groups_that_mix_sources_and_splits_are_taken_apart(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    """As a corpus of corpora may have them, and files without statistics."""
    folder = tmp_path / "documents"
    folder.mkdir()
    files = sorted((corpus.path / "documents").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in files])
    pq.write_table(table, folder / "all-00000.parquet", write_statistics=False, row_group_size=17)
    artifact = made(SMALL, Artifact(tmp_path, corpus.manifest), tokenizer, tmp_path / "tokens")
    expected = sorted((row["id"], ids) for row, ids in sequences(packed))
    assert sorted((row["id"], ids) for row, ids in sequences(artifact)) == expected
    assert artifact.manifest.stats["tokens_by_source"] == packed.manifest.stats["tokens_by_source"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda table: table.set_column(
            table.schema.get_field_index("split"), "split", pa.array(["held_out"] * len(table))),
         "no document in its train split"),
        (lambda table: table.drop_columns(["text"]), "column 'text' is missing; columns found: id, source"),
    ],
)  # fmt: skip
def test_a_corpus_that_cannot_be_packed_is_refused(
    corpus: Artifact, tokenizer: Artifact, tmp_path: Path, change: Any, what: str
) -> None:
    with pytest.raises(DataError) as caught:
        pack(TokensConfig(stage="tokens"), _corpus_like(corpus, tmp_path / "c", change), tokenizer, tmp_path / "t")
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ({"corpus": None}, UsageError, "corpus: this field is required"),
        ({"tokenizer": None}, UsageError, "tokenizer: this field is required"),
        ({"tokenizer": "EMPTY"}, ArtifactError, "holds no tokenizer"),
        ({"corpus": "EMPTY"}, ArtifactError, "has no manifest.json"),
    ],
)
def test_inputs_that_are_not_there_are_named(
    corpus: Artifact, tokenizer: Artifact, tmp_path: Path, changes: dict[str, Any], kind: type[JpfmError], what: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    settings = {"stage": "tokens", "corpus": str(corpus.path), "tokenizer": str(tokenizer.path)} | changes
    settings = {key: str(tmp_path / "EMPTY") if value == "EMPTY" else value for key, value in settings.items()}
    with pytest.raises(kind) as caught:
        open_inputs(TokensConfig.model_validate(settings))
    assert what in caught.value.message


def test_the_records_name_no_place(packed: Artifact) -> None:
    for path in (packed.path / "state" / "files").iterdir():
        assert str(packed.path.parent) not in path.read_text(encoding="utf-8")
        assert os.sep not in "".join(json.loads(path.read_text(encoding="utf-8"))["files"])
