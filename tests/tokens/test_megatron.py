"""Token files of other programs: read as they are, every id looked at; and datatrove and Megatron read ours."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import ArtifactError, JpfmError
from jpfm.core.lineage import ancestors
from jpfm.data.build import read_documents
from jpfm.tokens import megatron
from jpfm.tokens.index import open_pair, write_index
from jpfm.tokens.pack import TokensConfig, pack
from jpfm.tokens.tokenizer import EOS

RIGHTS = {"licence": "CC-BY-SA-4.0", "attribution": "someone"}


def write_pair(prefix: Path, documents: list[list[int]], dtype: type = np.uint16) -> Path:
    np.array([token for ids in documents for token in ids], dtype=dtype).tofile(prefix.with_suffix(".bin"))
    lengths = np.array([len(ids) for ids in documents], np.int32)
    written = np.dtype(dtype) if dtype in (np.uint16, np.int32) else np.dtype(np.uint16)
    write_index(prefix.with_suffix(".idx"), lengths, written)
    if written != np.dtype(dtype):
        code = {np.dtype(np.int16): 3, np.dtype(np.float32): 7, np.dtype(np.uint8): 1}[np.dtype(dtype)]
        data = bytearray(prefix.with_suffix(".idx").read_bytes())
        data[17] = code
        place, size = 34 + 4 * len(documents), np.dtype(dtype).itemsize
        pointers = (np.cumsum(lengths) - lengths).astype("<i8") * size
        data[place : place + 8 * len(documents)] = pointers.tobytes()
        prefix.with_suffix(".idx").write_bytes(data)
    return prefix


def config(prefix: Path, **changes: Any) -> TokensConfig:
    source = {"name": "others", "prefix": str(prefix), "rights": RIGHTS, "eos": 2, "vocab_size": 100} | changes
    return TokensConfig.model_validate({"stage": "tokens", "megatron": [source]})


def made(
    wanted: TokensConfig, out: Path, corpus: Artifact | None = None, tokenizer: Artifact | None = None
) -> Artifact:
    artifact = pack(wanted, corpus, tokenizer, out)
    assert artifact is not None
    return artifact


def documents_of(artifact: Artifact, name: str = "others-00000") -> list[list[int]]:
    pair = open_pair(artifact.path / name)
    return [ids.tolist() for ids in np.split(np.asarray(pair.tokens), np.cumsum(pair.lengths)[:-1])]


def test_files_with_eos_are_taken_as_they_are_without_a_copy(tmp_path: Path) -> None:
    documents = [[5, 6, 2], [2], [7, 99, 2]]
    prefix = write_pair(tmp_path / "wiki", documents)
    artifact = made(config(prefix), tmp_path / "out" / "tokens")
    assert documents_of(artifact) == documents
    assert os.path.samefile(prefix.with_suffix(".bin"), artifact.path / "others-00000.bin")
    assert (artifact.path / "others-00000.idx").read_bytes() == prefix.with_suffix(".idx").read_bytes()
    assert artifact.manifest.stats | {"files": None} == {
        "documents": 3, "tokens": 7, "vocab_size": 100, "eos": 2, "append_eos": True, "eos_added": {},
        "dtype": "uint16", "tokenizer": None, "tokens_by_source": {"others": 7},
        "tokens_by_licence": {"CC-BY-SA-4.0": 7}, "files": None,
    }  # fmt: skip
    table = pq.read_table(artifact.path / "others-00000.docs.parquet").to_pydict()
    assert table["id"] == ["others:0", "others:1", "others:2"]
    assert table["licence"] == ["CC-BY-SA-4.0"] * 3
    assert table["start"] == [0, 3, 4]
    assert verify(artifact.path) == []
    (source,) = [found for found in ancestors(artifact) if found.manifest.kind == "source"]
    assert source.manifest.rights is not None
    assert source.manifest.rights.attribution == "someone"
    assert {entry.path for entry in source.manifest.files} == {"others.bin", "others.idx"}


def test_files_without_eos_get_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prefix = write_pair(tmp_path / "wiki", [[5, 6], [7, 2, 9], []])
    artifact = made(config(prefix), tmp_path / "tokens")
    assert documents_of(artifact) == [[5, 6, 2], [7, 2, 9, 2], [2]]
    assert artifact.manifest.stats["eos_added"] == {"others": 3}
    assert "others: no document ended with EOS 2; it was put after each of 3" in caplog.text


def test_a_width_that_differs_from_the_vocabulary_s_is_changed(tmp_path: Path) -> None:
    prefix = write_pair(tmp_path / "wide", [[5, 2], [6, 2]], np.int32)
    artifact = made(config(prefix), tmp_path / "tokens")
    assert documents_of(artifact) == [[5, 2], [6, 2]]
    assert open_pair(artifact.path / "others-00000").tokens.dtype == np.uint16
    wide = made(
        config(write_pair(tmp_path / "w", [[70_000, 2]], np.int32), vocab_size=98_452), tmp_path / "wide-tokens"
    )
    assert open_pair(wide.path / "others-00000").tokens.dtype == np.int32


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(3, 99), max_size=9), min_size=1, max_size=30), st.booleans(),
    st.integers(1, 20), st.integers(1, 30),
)  # fmt: skip
def test_no_token_is_lost_or_doubled_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], ended: bool, by_documents: int, by_tokens: int
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    prefix = write_pair(folder / "a", [[*ids, 2] for ids in documents] if ended else documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(megatron, "_BLOCK_DOCUMENTS", by_documents)
        patch.setattr(megatron, "_BLOCK_TOKENS", by_tokens)
        artifact = made(config(prefix), folder / "tokens")
    assert documents_of(artifact) == [[*ids, 2] for ids in documents]
    assert pq.read_table(artifact.path / "others-00000.docs.parquet")["id"].to_pylist() == [
        f"others:{number}" for number in range(len(documents))
    ]


@pytest.mark.parametrize(
    ("prepare", "changes", "what"),
    [
        (lambda p: write_pair(p, [[5, 2], [6], []]), {}, "1 of 3 documents end with EOS (id 2), the others do not, 1"),
        (lambda p: write_pair(p, [[5, 100, 2]]), {}, "token id 100 in a vocabulary of 100"),
        (lambda p: write_pair(p, [[5, -7, 2]], np.int32), {}, "token id -7 in a vocabulary of 100"),
        (lambda p: write_pair(p, [[5, 2]]), {"vocab_size": 98_452}, "ids of uint16 end at 65,535, the vocabulary"),
        (lambda p: write_pair(p, [[5, 2]], np.uint8), {"vocab_size": 1000}, "ids of uint8 end at 255"),
        (lambda p: write_pair(p, [[5, 2]], np.float32), {}, "float32, not token ids"),
        (lambda p: write_pair(p, []), {}, "no document in it"),
    ],
)  # fmt: skip
def test_ids_that_cannot_be_right_are_refused(
    tmp_path: Path, prepare: Callable[[Path], Path], changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(JpfmError) as caught:
        pack(config(prepare(tmp_path / "wiki"), **changes), None, None, tmp_path / "tokens")
    assert what in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p: p.with_suffix(".bin").write_bytes(b"\0\0"), "is cut off, or another file's"),
        (lambda p: write_pair(p.with_name("b"), [[1, 2]]).with_suffix(".idx").rename(p.with_suffix(".idx")),
         "is another file's"),
        (lambda p: p.with_suffix(".idx").unlink(), "wiki.idx is missing"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, change: Callable[[Path], Any], what: str
) -> None:
    prefix = write_pair(tmp_path / "wiki", [[5, 6, 2]])
    change(prefix)
    with pytest.raises(ArtifactError) as caught:
        pack(config(prefix), None, None, tmp_path / "tokens")
    assert what in caught.value.message


def test_text_and_token_files_become_one_artifact(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    prefix = write_pair(tmp_path / "a", [[5, EOS], [1499, EOS]])
    wanted = config(prefix, eos=None, vocab_size=None)
    artifact = made(wanted, tmp_path / "tokens", corpus, tokenizer)
    assert artifact.manifest.parents[:2] == (corpus.id, tokenizer.id)
    assert len(artifact.manifest.parents) == 3
    assert list(artifact.manifest.stats["tokens_by_source"])[-1] == "others"
    assert documents_of(artifact) == [[5, EOS], [1499, EOS]]
    texts = sum(batch.num_rows for batch in read_documents(corpus, ["id"], split="train"))
    assert artifact.manifest.stats["documents"] == texts + 2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"vocab_size": 99_574}, "vocab_size of the tokenizer is 1,500, of megatron source 'others' 99,574"),
        ({"eos": 7}, "eos of the tokenizer is 2, of megatron source 'others' 7"),
        ({"name": "law"}, "the corpus has a source of that name"),
    ],
)
def test_two_vocabularies_cannot_be_mixed(
    corpus: Artifact, tokenizer: Artifact, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    wanted = config(write_pair(tmp_path / "a", [[5, 2]]), **({"eos": None, "vocab_size": None} | changes))
    with pytest.raises(JpfmError) as caught:
        pack(wanted, corpus, tokenizer, tmp_path / "tokens")
    assert what in caught.value.message


def test_a_source_without_vocabulary_or_rights_is_refused(tmp_path: Path) -> None:
    prefix = write_pair(tmp_path / "a", [[5, 2]])
    with pytest.raises(JpfmError, match="neither a source nor a tokenizer tells vocab_size"):
        pack(config(prefix, vocab_size=None), None, None, tmp_path / "tokens")
    with pytest.raises(ValueError, match="rights"):
        TokensConfig.model_validate({"stage": "tokens", "megatron": [{"name": "a", "prefix": str(prefix)}]})
    twice = [{"name": "a", "prefix": str(prefix), "rights": RIGHTS}] * 2
    with pytest.raises(ValueError, match="two sources are called 'a'"):
        TokensConfig.model_validate({"stage": "tokens", "megatron": twice})


@pytest.mark.parametrize("token_size", [2, 4])
def test_what_datatrove_writes_is_read_and_comes_back_the_same(tmp_path: Path, token_size: int) -> None:
    tokenized = pytest.importorskip("datatrove.pipeline.tokens.megatron_tokenizer")
    documents = [[5, 6, 2], [7, 2], [8, 9, 10, 2]]
    file = tokenized.MegatronTokenizedFile(str(tmp_path / "dt"), "wiki", token_size=token_size)
    for ids in documents:
        file.write(ids)
    file.close()
    size = 100 if token_size == 2 else 98_452
    artifact = made(config(tmp_path / "dt" / "wiki", vocab_size=size), tmp_path / "tokens")
    assert documents_of(artifact) == documents
    for ending in (".bin", ".idx"):  # byte for byte
        assert (artifact.path / f"others-00000{ending}").read_bytes() == (
            tmp_path / "dt" / f"wiki{ending}"
        ).read_bytes()


def test_datatrove_packs_a_corpus_to_the_same_bytes(tokens: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    """Its whole pipeline over the same documents in the same order, with our exported tokenizer."""
    tokenized = pytest.importorskip("datatrove.pipeline.tokens.megatron_tokenizer")
    from datatrove.data import Document

    name = tokens.manifest.stats["files"][0]["name"]
    table = pq.read_table(tokens.path / f"{name}.docs.parquet")
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast.from_pretrained(tokenizer.path)
    texts = [fast.decode(ids[:-1]) for ids in documents_of(tokens, name)]
    step = tokenized.MegatronDocumentTokenizer(
        str(tmp_path), save_filename="dt", tokenizer_name_or_path=str(tokenizer.path / "tokenizer.json"),
        eos_token="<|eos|>",
    )  # fmt: skip
    step.run((Document(text, str(number)) for number, text in enumerate(texts)), rank=0, world_size=1)
    assert (tmp_path / "dt_00000_tokens.bin").read_bytes() == (tokens.path / f"{name}.bin").read_bytes()
    assert (tmp_path / "dt_00000_tokens.idx").read_bytes() == (tokens.path / f"{name}.idx").read_bytes()
    assert table.num_rows == len(texts)
