"""Packing loses no token, and the files are Megatron's."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.errors import ArtifactError
from jpfm.data.build import read_documents
from jpfm.tokens.shards import TokensConfig, TokenStore, pack, read_index, write_index
from jpfm.tokens.tokenizer import EOS, load, load_sentencepiece


@pytest.fixture(scope="module")
def store(tokens: Artifact) -> TokenStore:
    return TokenStore.open(tokens)


def test_the_tokens_decode_to_the_documents(store: TokenStore, corpus: Artifact, tokenizer: Artifact) -> None:
    pieces = load_sentencepiece(tokenizer)
    rows = [
        row for b in read_documents(corpus, ["id", "source", "licence", "text"], split="train") for row in b.to_pylist()
    ]
    parts = np.split(np.asarray(store.tokens), store.starts[1:])
    assert len(parts) == len(rows) == store.artifact.manifest.stats["documents"]
    for part, row in zip(parts, rows, strict=True):
        assert part[-1] == EOS
        assert EOS not in part[:-1]
        assert pieces.decode(part[:-1].tolist()) == row["text"]
    table = pq.read_table(store.artifact.path / "docs.parquet").to_pydict()
    assert table["id"] == [row["id"] for row in rows]
    assert table["licence"] == [row["licence"] for row in rows]
    assert table["ordinal"] == list(range(len(rows)))
    assert table["start"] == store.starts.tolist()
    assert table["length"] == [len(part) for part in parts]
    assert sum(store.artifact.manifest.stats["tokens_by_source"].values()) == len(store.tokens)


def test_packed_ids_are_those_of_transformers_on_the_whole_text(
    store: TokenStore, corpus: Artifact, tokenizer: Artifact
) -> None:
    fast = load(tokenizer.path)
    texts = [text for b in read_documents(corpus, ["text"], split="train") for text in b["text"].to_pylist()]
    for part, text in list(zip(np.split(np.asarray(store.tokens), store.starts[1:]), texts, strict=True))[::7]:
        assert fast(text, add_special_tokens=False)["input_ids"] == part[:-1].tolist()


def test_held_out_documents_are_not_packed(store: TokenStore, corpus: Artifact) -> None:
    held = {i for b in read_documents(corpus, ["id"], split="held_out") for i in b["id"].to_pylist()}
    packed = set(pq.read_table(store.artifact.path / "docs.parquet")["id"].to_pylist())
    assert held
    assert not held & packed


def test_packing_again_gives_the_same_artifact(
    tokens: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    config = TokensConfig(stage="tokens", corpus="elsewhere")
    assert pack(config, corpus, tokenizer, tmp_path / "tokens").id == tokens.id
    assert tokens.manifest.parents == (corpus.id, tokenizer.id)


@given(
    st.lists(st.integers(1, 2**31 - 1) | st.integers(1, 9), min_size=1, max_size=40),
    st.sampled_from([np.uint16, np.int32]),
)
def test_the_index_comes_back(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], kind: type) -> None:
    path = tmp_path_factory.mktemp("index") / "a.idx"
    write_index(path, np.array(lengths, dtype=np.int32), np.dtype(kind))
    found, dtype = read_index(path)
    assert found.tolist() == lengths
    assert dtype == np.dtype(kind)


def test_the_index_is_read_as_megatron_reads_it(store: TokenStore) -> None:
    """The reading order of megatron/core/datasets/indexed_dataset.py, `_IndexReader`."""
    with (store.artifact.path / "train.idx").open("rb") as file:
        assert file.read(9) == b"MMIDIDX\x00\x00"
        assert struct.unpack("<Q", file.read(8)) == (1,)
        assert struct.unpack("<B", file.read(1)) == (8,)  # DType.uint16
        (sequences,) = struct.unpack("<Q", file.read(8))
        (documents,) = struct.unpack("<Q", file.read(8))
        rest = file.read()
    lengths = np.frombuffer(rest, np.int32, sequences)
    pointers = np.frombuffer(rest, np.int64, sequences, lengths.nbytes)
    indices = np.frombuffer(rest, np.int64, documents, lengths.nbytes + pointers.nbytes)
    assert len(rest) == lengths.nbytes + pointers.nbytes + indices.nbytes
    assert indices.tolist() == list(range(sequences + 1))
    assert (pointers // 2).tolist() == store.starts.tolist()
    assert int(pointers[-1]) + 2 * int(lengths[-1]) == (store.artifact.path / "train.bin").stat().st_size


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("train.bin", lambda data: data[:-2], "its index says"),
        ("train.bin", lambda data: data + b"\0\0", "its index says"),
        ("train.idx", lambda data: data[:-8], "is cut off"),
        ("train.idx", lambda data: data[:20], "is no MMIDIDX index"),
        ("train.idx", lambda data: b"PK" + data[2:], "is no MMIDIDX index"),
        ("train.idx", lambda data: data[:9] + b"\x02" + data[10:], "expected version 1"),
        ("train.idx", lambda data: data[:17] + b"\x06" + data[18:], "expected version 1, dtype 4 or 8"),
        ("train.idx", lambda data: b"", "is no MMIDIDX index"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(
    tokens: Artifact, tmp_path: Path, name: str, change: object, what: str
) -> None:
    shutil.copytree(tokens.path, tmp_path / "t")
    path = tmp_path / "t" / name
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArtifactError) as caught:
        TokenStore.open(open_artifact(tmp_path / "t"))
    assert what in caught.value.message + caught.value.hint
