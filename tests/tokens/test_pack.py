"""Packing loses no token, and the files are Megatron's."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jpfm.core.artifact import Artifact
from jpfm.data.build import read_documents
from jpfm.tokens.index import open_pair
from jpfm.tokens.pack import TokensConfig, pack
from jpfm.tokens.tokenizer import EOS, load_sentencepiece


@pytest.fixture(scope="module")
def packed(corpus: Artifact, tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    made = pack(TokensConfig(stage="tokens"), corpus, tokenizer, tmp_path_factory.mktemp("pack") / "tokens")
    assert made is not None
    return made


def test_the_tokens_decode_to_the_documents(packed: Artifact, corpus: Artifact, tokenizer: Artifact) -> None:
    pieces = load_sentencepiece(tokenizer)
    rows = {
        row["id"]: row
        for b in read_documents(corpus, ["id", "source", "licence", "text"], split="train")
        for row in b.to_pylist()
    }
    seen = []
    for file in packed.manifest.stats["files"]:
        pair = open_pair(packed.path / file["name"])
        table = pq.read_table(packed.path / f"{file['name']}.docs.parquet").to_pylist()
        assert len(table) == len(pair.lengths) == file["documents"]
        assert len(pair.tokens) == file["tokens"]
        for number, row in enumerate(table):
            part = np.asarray(pair.tokens[row["start"] : row["start"] + row["length"]]).tolist()
            assert row["ordinal"] == number
            assert part[-1] == EOS
            assert EOS not in part[:-1]
            text = rows[row["id"]]
            assert pieces.decode(part[:-1]) == text["text"]
            assert (row["source"], row["licence"]) == (text["source"], text["licence"])
            assert row["source"] == file["source"]
            seen.append(row["id"])
    assert sorted(seen) == sorted(rows)
    assert packed.manifest.stats["documents"] == len(rows)
    assert sum(packed.manifest.stats["tokens_by_source"].values()) == packed.manifest.stats["tokens"]
    assert sum(packed.manifest.stats["tokens_by_licence"].values()) == packed.manifest.stats["tokens"]
