"""One trajectory: micro-batches, processes and interruptions do not change what is learned."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.conftest import tiny_training

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, ModelError, UsageError
from jpfm.train.loop import train


def losses(folder: Path) -> list[float]:
    lines = (folder / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("micro", [1, 2, 8])
def test_micro_batches_give_the_same_losses(tokens: Artifact, checkpoint: Artifact, micro: int, tmp_path: Path) -> None:
    other = train(tiny_training(tokens, micro_batch_rows=micro), tmp_path / "model")
    assert losses(other.path) == pytest.approx(losses(checkpoint.path), rel=1e-5)


MIXED = {
    "packing": "best_fit", "steps": 6, "schedule": {"warmup_steps": 1}, "seq_len": 333, "batch_tokens": 8 * 333,
    "mixture": {"stages": [{"tokens": 9000, "weights": {"office": 0.75, "law": 0.25}}, {}]},
}  # fmt: skip


def test_padding_of_best_fit_is_no_target(tokens: Artifact, tmp_path: Path) -> None:
    """The first loss is that of plain transformers over the real targets, and micro-batches do not change it."""
    import torch
    from torch.nn.functional import cross_entropy

    from jpfm.model.spec import build
    from jpfm.tokens.order import TokenOrder, positions
    from jpfm.tokens.store import TokenStore

    config = tiny_training(tokens, **MIXED)
    first, second = (
        losses(train(tiny_training(tokens, micro_batch_rows=micro, **MIXED), tmp_path / str(micro)).path)
        for micro in (8, 1)
    )
    assert second == pytest.approx(first, rel=1e-5)
    store = TokenStore.open(tokens)
    order = TokenOrder(store, config.seq_len, config.rows_per_step, 0, config.mixture, "best_fit")
    rows, real = order.batch(0), order.targets(0)
    assert 0 < real.min() < config.seq_len  # some row is padded
    assert config.model is not None
    model = build(config.model, store.vocab_size, config.seq_len, seed=0).eval()
    inputs, targets = (torch.from_numpy(part.astype("int64")) for part in (rows[:, :-1], rows[:, 1:]))
    place = torch.from_numpy(positions(rows[:, :-1], store.eos))
    with torch.no_grad():
        logits = model(inputs, position_ids=place, use_cache=False).logits
    each = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    counted = torch.arange(config.seq_len) < torch.from_numpy(real)[:, None]
    assert first[0] == pytest.approx(float(each[counted].mean()), rel=1e-5)


def test_training_goes_on_from_a_checkpoint(tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    """The first loss is that of the checkpoint's weights on that batch; the base is a parent."""
    import torch
    from transformers import AutoModelForCausalLM

    from jpfm.tokens.order import TokenOrder, positions
    from jpfm.tokens.store import TokenStore

    config = tiny_training(
        tokens, model=None, init_from=str(checkpoint.path), steps=3, seed=5, schedule={"warmup_steps": 1}
    )
    made = train(config, tmp_path / "model")
    assert made.manifest.parents[-1] == checkpoint.id
    rows = TokenOrder(TokenStore.open(tokens), config.seq_len, config.rows_per_step, 5).batch(0)
    inputs, targets = (torch.from_numpy(part.astype("int64")) for part in (rows[:, :-1], rows[:, 1:]))
    model = AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32).eval()
    with torch.no_grad():
        place = torch.from_numpy(positions(rows[:, :-1], eos=2))
        logits = model(inputs, position_ids=place, use_cache=False).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert losses(made.path)[0] == pytest.approx(float(expected), rel=1e-5)
    before = load_file(checkpoint.path / "model.safetensors")
    after = load_file(made.path / "model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_base_that_does_not_fit_is_refused(tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has 128 positions, seq_len is 256"):
        train(tiny_training(tokens, model=None, init_from=str(checkpoint.path), seq_len=256), tmp_path / "a")
    with pytest.raises(ValueError, match="give one of the three"):
        tiny_training(tokens, init_from=str(checkpoint.path))
    with pytest.raises(ValueError, match="give one of the three"):
        tiny_training(tokens, model=None)


def test_a_cap_is_kept_before_the_first_step(tokens: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"source 'law' would be seen .* its cap is 1"):
        train(tiny_training(tokens, mixture={"weights": {"law": 1.0}, "max_epochs": 1}, steps=2000), tmp_path / "m")


def test_saving_in_between_changes_nothing(tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    whole = train(tiny_training(tokens, save={"every_steps": 100}), tmp_path / "model")
    for name, value in load_file(whole.path / "model.safetensors").items():
        assert value.equal(load_file(checkpoint.path / "model.safetensors")[name]), name


def test_documents_in_a_row_do_not_see_each_other(checkpoint: Artifact) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from jpfm.tokens.order import positions

    model = AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32).eval()
    rows = torch.randint(300, 1000, (1, 40), generator=torch.Generator().manual_seed(0))
    rows[0, 17] = 2
    changed = rows.clone()
    changed[0, :17] = torch.randint(300, 1000, (17,), generator=torch.Generator().manual_seed(1))
    place = torch.from_numpy(positions(rows.numpy().astype("uint32"), eos=2))
    with torch.no_grad():
        first, second = (model(ids, position_ids=place, use_cache=False).logits for ids in (rows, changed))
    assert float((first[0, 17:] - second[0, 17:]).abs().max()) < 1e-5
    assert float((first[0, :17] - second[0, :17]).abs().max()) > 1e-3


def test_a_damaged_checkpoint_is_named(tokens: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "model"
    seen: list[str] = []

    def stop_after_the_first(made: Artifact) -> None:
        seen.append(made.id)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_training(tokens), out, on_checkpoint=stop_after_the_first)
    assert len(seen) == 1
    saved = (
        tmp_path
        / "model.partial"
        / "steps"
        / "step-00000004"
        / "optimizer"
        / "shard-00001-model-00001-of-00001.safetensors"
    )
    data = bytearray(saved.read_bytes())
    data[-3] ^= 255
    saved.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"optimizer/shard.*: content changed"):
        train(tiny_training(tokens), out)


def test_a_loss_that_explodes_stops_with_its_step(tokens: Artifact, tmp_path: Path) -> None:
    config = tiny_training(tokens, learning_rate=1e30, schedule={"warmup_steps": 0}, faults={"action": "stop"})
    with pytest.raises(ModelError, match=r"step \d+: (loss|gradient norm)"):
        train(config, tmp_path / "model")


def test_a_last_smaller_micro_batch_changes_nothing(tokens: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    other = train(tiny_training(tokens, micro_batch_rows=3), tmp_path / "model")
    assert losses(other.path) == pytest.approx(losses(checkpoint.path), rel=1e-5)


def test_tokens_of_another_tokenizer_are_refused(tokens: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    from jpfm.tokens import tokenizer

    other = tokenizer.train(
        tokenizer.TokenizerConfig(
            stage="tokenizer", vocab_size=1450, character_coverage=0.98, required_characters="none"
        ),
        corpus,
        tmp_path / "other",
    )
    with pytest.raises(ArtifactError, match="was packed with"):
        train(tiny_training(tokens, tokenizer=str(other.path)), tmp_path / "model")


def test_a_half_removed_checkpoint_does_not_change_the_result(
    tokens: Artifact, checkpoint: Artifact, tmp_path: Path
) -> None:
    def stop(made: Artifact) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_training(tokens), tmp_path / "model", on_checkpoint=stop)
    steps = tmp_path / "model.partial" / "steps"
    for name in ("step-00000002", "step-00000003.partial"):  # as kills leave them: no manifest
        (steps / name).mkdir()
        (steps / name / "config.json").write_text("{}", encoding="utf-8")
    assert train(tiny_training(tokens), tmp_path / "model").id == checkpoint.id
