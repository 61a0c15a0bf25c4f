"""Bits per character in the loop is the number that evaluation gives; rows hold every token of every document once."""

import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.data.build import read_documents
from jpfm.eval.backend import CheckpointModel
from jpfm.eval.task import Context
from jpfm.eval.tasks.modelling import BitsPerCharacter
from jpfm.tokens import tokenizer as tokenizers
from jpfm.tokens.encoder import Encoder
from jpfm.tokens.order import positions
from jpfm.train import held_out
from jpfm.train.held_out import Domain
from jpfm.train.settings import HeldOut

EOS = 2


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    seq_len=st.integers(2, 17),
    last_is_cut=st.booleans(),
    packed=st.booleans(),
)
def test_every_token_and_every_end_is_a_target_once(
    lengths: list[int], seq_len: int, last_is_cut: bool, packed: bool
) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(
        10, 10 + offsets[-1], dtype=np.uint32
    )  # each id is its own place: a target tells what stands before
    rows, targets = held_out._rows(ids, offsets, EOS, seq_len, last_is_cut=last_is_cut, packed=packed)
    assert rows.shape == (len(targets), seq_len + 1)
    begins = set((offsets[:-1] + 10).tolist())
    ends = dict(zip((offsets[1:] + 9).tolist(), range(len(lengths)), strict=True))
    seen: list[int] = []
    ended: list[int] = []
    for row, count in zip(rows.tolist(), targets.tolist(), strict=True):
        assert 1 <= count <= seq_len
        assert set(row[count + 1 :]) <= {EOS}
        if not packed:
            assert EOS not in row[1:count]
        for before, target in itertools.pairwise(row[: count + 1]):
            if target == EOS:
                ended.append(ends[before])  # an end stands behind the last token of a document, nowhere else
            else:
                seen.append(target)
                assert before == (EOS if target in begins else target - 1)
    assert sorted(seen) == ids.tolist()
    assert sorted(ended) == list(range(len(lengths) - last_is_cut))
    if packed and not last_is_cut and max(lengths) < seq_len and len(targets) > 1:
        assert sum(sorted(targets.tolist())[:2]) > seq_len  # no two rows would go into one


@pytest.fixture(scope="module")
def model(tokenizer: Artifact) -> CheckpointModel:
    """A random model whose guesses are far from uniform, with more positions than any held-out document has tokens."""
    loaded = tokenizers.load(tokenizer.path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(loaded), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, max_position_embeddings=2048, initializer_range=0.2, use_cache=False,
    )  # fmt: skip
    return CheckpointModel(tokenizer, LlamaForCausalLM(config).eval(), loaded, batch_tokens=8192)


def _score(model: CheckpointModel) -> held_out.Score:
    """What the loop does with a domain, with a plain transformers model: documents apart by their positions."""

    def score(rows: Any, targets: Any) -> float:
        nats = 0.0
        for start in range(0, len(rows), 4):
            part = rows[start : start + 4]
            inputs, goals = part[:, :-1], part[:, 1:].astype(np.int64)
            goals[np.arange(goals.shape[1]) >= targets[start : start + 4, None]] = -100
            with torch.inference_mode():
                logits = model.model(
                    torch.from_numpy(inputs.astype(np.int64)),
                    position_ids=torch.from_numpy(positions(inputs, model.start)),
                    use_cache=False,
                ).logits
            loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(goals).flatten(), reduction="sum")
            nats += float(loss.double())
        return nats

    return score


def _evaluated(model: CheckpointModel, corpus: Artifact) -> tuple[float, dict[str, float]]:
    """Evaluation's number: of all held-out documents, and by source."""
    scored = BitsPerCharacter(task="bits_per_character").run(model, Context(corpus.path))
    assert scored.interval is not None
    by_source: dict[str, list[tuple[float, float]]] = {}
    for row in scored.rows:
        assert row.value is not None
        assert row.weight is not None
        by_source.setdefault(str(row.level), []).append((row.value * row.weight, row.weight))
    return scored.interval.value, {
        name: sum(bits for bits, _ in pairs) / sum(chars for _, chars in pairs) for name, pairs in by_source.items()
    }


@pytest.mark.parametrize("packed", [True, False])
def test_equals_the_number_of_evaluation(
    model: CheckpointModel, corpus: Artifact, tokenizer: Artifact, packed: bool
) -> None:
    domains = held_out.domains(corpus, tokenizer.path, 2048, 10**9, packed=packed)
    found = held_out.evaluate(domains, _score(model))
    overall, by_source = _evaluated(model, corpus)
    assert len(found.bits_per_character) > 1
    assert found.bits_per_character == pytest.approx(by_source, abs=1e-4)
    assert found.overall == pytest.approx(overall, abs=1e-4)
    documents = sum(batch.num_rows for batch in read_documents(corpus, ["id"], split="held_out"))
    assert sum(one.documents for one in domains) == documents
    assert found.row(7, 700)["bits_per_character"] == found.bits_per_character


def test_short_rows_cost_context_not_targets(model: CheckpointModel, corpus: Artifact, tokenizer: Artifact) -> None:
    whole = held_out.domains(corpus, tokenizer.path, 2048, 10**9)
    short = held_out.domains(corpus, tokenizer.path, 32, 10**9)
    assert [(one.source, one.chars, int(one.targets.sum())) for one in whole] == [
        (one.source, one.chars, int(one.targets.sum())) for one in short
    ]
    assert held_out.evaluate(short, _score(model)).overall != held_out.evaluate(whole, _score(model)).overall


def _texts(corpus: Artifact) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for batch in read_documents(corpus, ["source", "text"], split="held_out"):
        for source, text in zip(batch["source"].to_pylist(), batch["text"].to_pylist(), strict=True):
            texts.setdefault(source, []).append(text)
    return texts


@pytest.mark.parametrize("max_chars", [1, 7, 500])
def test_the_document_that_passes_the_limit_is_cut_there(corpus: Artifact, tokenizer: Artifact, max_chars: int) -> None:
    domains = {one.source: one for one in held_out.domains(corpus, tokenizer.path, 4096, max_chars)}
    encoder = Encoder.open(tokenizer.path)
    assert encoder.eos is not None
    for source, texts in _texts(corpus).items():
        expected: list[str] = []
        left = max_chars
        ends = 0
        for text in texts:
            if left:
                expected.append(text[:left])
                ends += len(text) <= left
                left -= len(expected[-1])
        assert domains[source].chars == sum(map(len, expected)) <= max_chars
        assert domains[source].documents == len(expected)
        ids = encoder.encode(pa.array(expected)).ids
        assert int(domains[source].targets.sum()) == len(ids) + ends  # the end of a cut document is not scored


def test_shared_rows_are_full() -> None:
    lengths = np.random.default_rng(0).integers(50, 600, 400)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.full(offsets[-1], 7, dtype=np.uint32)
    rows, targets = held_out._rows(ids, offsets, EOS, 2048, last_is_cut=False, packed=True)
    alone, _ = held_out._rows(ids, offsets, EOS, 2048, last_is_cut=False, packed=False)
    assert int(targets.sum()) == offsets[-1] + 400
    assert len(rows) == -(-int(targets.sum()) // 2048)  # not one more than there must be
    assert len(alone) == 400


def test_the_corpus_is_found_by_lineage(tokens: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    assert [one.id for one in held_out.find(HeldOut(), [tokens, tokens])] == [corpus.id]
    moved = tmp_path / "elsewhere"
    shutil.copytree(corpus.path, moved)
    assert [one.path for one in held_out.find(HeldOut(corpus=str(moved)), [tokens])] == [moved]


def test_a_corpus_that_is_gone_is_named(tokens: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    shutil.copytree(tokens.path, tmp_path / "tokens")
    alone = Artifact(tmp_path / "tokens", tokens.manifest)
    with pytest.raises(ArtifactError, match=rf"{corpus.id}, which .* is neither beside it nor where it was") as caught:
        held_out.find(HeldOut(), [alone])
    assert "held_out.corpus=FOLDER" in caught.value.hint


def test_a_corpus_without_a_split_is_refused(
    tokens: Artifact, tokenizer: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(corpus.path, folder)
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    whole = corpus.manifest.model_copy(update={"stats": {"total": {"kept": 10}, "sources": {}}})
    (folder / "manifest.json").write_text(whole.model_dump_json(), encoding="utf-8")
    with pytest.raises(ArtifactError, match="keeps no documents apart"):
        held_out.find(HeldOut(corpus=str(folder)), [tokens])
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    for file in (folder / "documents").glob("*.held_out.parquet"):
        file.unlink()
    with pytest.raises(ArtifactError, match=r"no \*\.held_out\.parquet"):
        held_out.domains(Artifact(folder, corpus.manifest), tokenizer.path, 128, 1000)


def test_row_groups_of_full_sources_are_left_out(corpus: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    with pq.ParquetWriter(
        folder / "a.held_out.parquet", pa.schema([("source", pa.string()), ("text", pa.string())])
    ) as to:
        for source in ("law", "law", "office", "law"):
            to.write_table(pa.table({"source": [source] * 3, "text": ["第一条　この規則は、"] * 3}))
    here = Artifact(tmp_path, corpus.manifest)
    read = [batch.num_rows for batch in held_out._held_out(here, {"law": 0})]
    assert read == [3]
    taken = held_out._texts([here], 25)
    assert {source: (texts.to_pylist(), cut) for source, (texts, cut) in taken.items()} == {
        source: (["第一条　この規則は、", "第一条　この規則は、", "第一条　こ"], True) for source in ("law", "office")
    }


def test_bits_are_nats_over_the_logarithm_of_two() -> None:
    domain = Domain("会議録", np.zeros((1, 3), dtype=np.uint32), np.array([2]), 5, 1)
    found = held_out.evaluate([domain], lambda rows, targets: 10 * math.log(2))
    assert found.bits_per_character == {"会議録": pytest.approx(2.0)}
