"""The checkpoint as a scorer, against a plain forward pass of transformers."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.eval.backend import CheckpointModel

PAIRS = [
    ("質問：空の色は。\n答え：", "青"),
    ("質問：空の色は。\n答え：", "白い雲の色"),
    ("", "吾輩は株式会社みなと精機である。"),
    ("長い文脈。" * 20, "です"),
]


@pytest.fixture(scope="module")
def model(checkpoint: Artifact) -> CheckpointModel:
    return CheckpointModel.open(checkpoint.path, batch_tokens=512)


def _plain(folder: Path, model: CheckpointModel, before: list[int], after: list[int]) -> float:
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([[*before, *after]])
    with torch.no_grad():
        scores = torch.log_softmax(reference(ids, use_cache=False).logits.double(), dim=-1)[0]
    return float(sum(scores[len(before) - 1 + n, token] for n, token in enumerate(after)))


def test_equals_a_plain_forward_pass(checkpoint: Artifact, model: CheckpointModel) -> None:
    found = model.loglikelihood(PAIRS)
    for (context, continuation), value in zip(PAIRS, found, strict=True):
        after = model.encode(continuation)
        before = [model.start, *model.encode(context)][-(model.max_length + 1 - len(after)) :]
        assert value.total == pytest.approx(_plain(checkpoint.path, model, before, after), abs=1e-3)
        assert value.num_tokens == len(after)


def test_batch_size_does_not_matter(checkpoint: Artifact, model: CheckpointModel) -> None:
    alone = CheckpointModel.open(checkpoint.path, batch_tokens=1)
    for one, many in zip(alone.loglikelihood(PAIRS), model.loglikelihood(PAIRS), strict=True):
        assert one.total == pytest.approx(many.total, abs=1e-4)
    prompts = [context for context, _ in PAIRS]
    assert alone.generate(prompts, max_new_tokens=8) == model.generate(prompts, max_new_tokens=8)


def test_long_documents_count_every_token_once(model: CheckpointModel) -> None:
    text = "会議の議事録を共有します。\n" * 60
    [found] = model.document_loglikelihood([text])
    assert found.num_tokens == len(model.encode(text)) + 1  # and the end of the document
    assert found.total < 0
    short = "短い文書です。"
    [whole] = model.document_loglikelihood([short])
    [pair] = model.loglikelihood([("", short)])
    assert whole.total < pair.total  # the end costs something too


def test_generation_stops_at_the_line_end(model: CheckpointModel) -> None:
    assert all("\n" not in answer for answer in model.generate(["お知らせ\n", "議題："], max_new_tokens=16))


def test_an_empty_choice_is_refused(model: CheckpointModel) -> None:
    with pytest.raises(DataError, match="empty continuation"):
        model.loglikelihood([("問い", "")])


def test_a_changed_weight_file_is_noticed(checkpoint: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint.path, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ArtifactError, match="damaged"):
        CheckpointModel.open(copy, batch_tokens=512)
