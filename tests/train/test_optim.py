"""Groups, AdamW and Muon against torch's own, singular values, and how large updates are."""

import copy
import doctest
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from jpfm.core.errors import UsageError
from jpfm.train.optim import newton_schulz, optim
from jpfm.train.optim.newton_schulz import COEFFICIENTS, orthogonalise
from jpfm.train.settings import AdamW, Muon

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "attention_bias": True,
}  # fmt: skip


def llama(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**(SMALL | {"tie_word_embeddings": False} | changes)))


def muon(**changes: object) -> Muon:
    return Muon.model_validate({"kind": "muon"} | changes)


def draw_gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 0.1


def groups_by_name(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {names[parameter]: group for group in optimizer.param_groups for parameter in group["params"]}
    assert set(found) == set(names.values())
    return found


class TestGroups:
    @pytest.mark.parametrize("settings", [AdamW(weight_decay=0.3), muon(weight_decay=0.3, adamw={"weight_decay": 0.3})])
    def test_matrices_decay_and_vectors_do_not(self, settings: AdamW | Muon) -> None:
        model = llama()
        groups = groups_by_name(optim.build(settings, model.named_parameters(), 0.1), model)
        for name, parameter in model.named_parameters():
            assert groups[name]["weight_decay"] == (0.3 if parameter.ndim == 2 else 0.0), name

    @pytest.mark.parametrize("tied", [False, True])
    def test_the_input_embedding_decays_unless_asked_not_to(self, tied: bool) -> None:
        model = llama(tie_word_embeddings=tied)
        settings = AdamW(decay_embeddings=False)
        groups = groups_by_name(optim.build(settings, model.named_parameters(), 0.1), model)
        assert groups["model.embed_tokens.weight"]["weight_decay"] == 0.0
        assert tied or groups["lm_head.weight"]["weight_decay"] == settings.weight_decay

    def test_muon_takes_the_matrices_of_blocks_and_nothing_else(self) -> None:
        model = llama()
        groups = groups_by_name(optim.build(muon(), model.named_parameters(), 0.1), model)
        taken = {name for name, group in groups.items() if group["algorithm"] == "muon"}
        assert taken == {name for name, parameter in model.named_parameters() if "proj.weight" in name}
        assert len(taken) == 14

    def test_muon_takes_experts(self) -> None:
        sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "head_dim": 8}
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**(SMALL | sizes)))
        groups = groups_by_name(optim.build(muon(), model.named_parameters(), 0.1), model)
        experts = [name for name, parameter in model.named_parameters() if parameter.ndim == 3]
        assert len(experts) == 4
        assert all(groups[name]["algorithm"] == "muon" for name in experts)
        assert groups["model.layers.0.mlp.gate.weight"]["algorithm"] == "muon"
        assert groups["model.layers.0.self_attn.q_norm.weight"]["kind"] == "vectors"

    def test_biases_of_experts_are_vectors(self) -> None:
        bias = nn.Parameter(torch.ones(4, 8))
        assert optim.kind_of("model.layers.0.mlp.experts.down_proj_bias", bias) == "vectors"
        assert not optim.of_a_block("model.layers.0.mlp.experts.down_proj_bias", bias)

    def test_frozen_parameters_are_left_out(self) -> None:
        model = llama()
        model.get_submodule("model.embed_tokens").requires_grad_(False)
        optimizer = optim.build(AdamW(), model.named_parameters(), 0.1)
        held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        assert held == set(model.parameters()) - {model.get_parameter("model.embed_tokens.weight")}

    def test_muon_is_refused_where_no_block_is_known(self) -> None:
        with pytest.raises(UsageError, match="no matrix") as error:
            optim.build(muon(), nn.Linear(4, 4).named_parameters(), 0.1)
        assert "optimizer.kind=adamw" in error.value.hint


class TestAgainstTorch:
    @pytest.mark.parametrize("settings", [AdamW(epsilon=1e-6, beta2=0.9), muon(adamw={"epsilon": 1e-6, "beta2": 0.9})])
    def test_adamw(self, settings: AdamW | Muon) -> None:
        """What AdamW does, it does as torch's plain loop over parameters, also as a part of Muon."""
        ours, theirs = llama(), llama()
        optimizer = optim.build(settings, ours.named_parameters(), 0.01)
        done = [name for name, group in groups_by_name(optimizer, ours).items() if group["algorithm"] == "adamw"]
        parameters = [theirs.get_parameter(name) for name in done]
        decayed = [parameter for parameter in parameters if parameter.ndim == 2]
        others = [parameter for parameter in parameters if parameter.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        oracle = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.9), eps=1e-6, foreach=False)
        for step in range(5):
            draw_gradients(ours, step)
            draw_gradients(theirs, step)
            for group in optimizer.param_groups + oracle.param_groups:
                group["lr"] = 0.01 / (step + 1)
            optimizer.step()
            oracle.step()
        assert len(done) >= 13
        for name in done:
            torch.testing.assert_close(ours.get_parameter(name), theirs.get_parameter(name), rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("nesterov", [True, False])
    def test_muon(self, nesterov: bool) -> None:
        """Torch's Muon multiplies in bfloat16 always; in it, five steps agree to a few of its roundings."""
        ours, theirs = llama(hidden_size=32, intermediate_size=96), llama(hidden_size=32, intermediate_size=96)
        settings = muon(nesterov=nesterov, weight_decay=0.2)
        optimizer = optim.build(settings, ours.named_parameters(), 0.01, products=torch.bfloat16)
        names = [name for name, parameter in ours.named_parameters() if "proj.weight" in name]
        oracle = torch.optim.Muon(
            [theirs.get_parameter(name) for name in names], lr=0.01, weight_decay=0.2, momentum=0.95,
            nesterov=nesterov, adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        before = copy.deepcopy(ours)
        for step in range(5):
            draw_gradients(ours, step)
            draw_gradients(theirs, step)
            optimizer.step()
            oracle.step()
        for name in names:
            moved = theirs.get_parameter(name) - before.get_parameter(name)
            difference = ours.get_parameter(name) - theirs.get_parameter(name)
            assert difference.norm() < 0.01 * moved.norm(), name


def exact(matrix: Tensor, steps: int) -> Tensor:
    """The iteration by its effect on singular values, in fp64."""
    a, b, c = COEFFICIENTS
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


class TestNewtonSchulz:
    @given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 9))
    def test_is_the_polynomial_of_the_singular_values(self, rows: int, columns: int, steps: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        (found,), square_sum = orthogonalise([matrix], steps, torch.float64, CPU)
        torch.testing.assert_close(found, exact(matrix, steps))
        scaled = found * newton_schulz.update_scale(rows, columns)
        torch.testing.assert_close(square_sum, scaled.square().sum().float())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_singular_values_are_near_one(self, dtype: torch.dtype) -> None:
        torch.manual_seed(1)
        (found,), _ = orthogonalise([torch.randn(96, 200) * 1e-4], 5, dtype, CPU)
        values = torch.linalg.svdvals(found.float())
        assert values.min() > 0.65
        assert values.max() < 1.25

    def test_a_batch_is_its_matrices(self) -> None:
        """Order, orientation and stacks of experts; no matrix changes another."""
        torch.manual_seed(2)
        shapes = [(8, 5), (5, 8), (3, 8, 5), (4, 4), (2, 5, 8), (8, 5), (0, 8, 5)]
        updates = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
        found, _ = orthogonalise(updates, 5, torch.float64, CPU)
        for update, result in zip(updates, found, strict=True):
            assert result.shape == update.shape
            pairs = [(update, result)] if update.ndim == 2 else zip(update, result, strict=True)
            for matrix, orthogonal in pairs:
                torch.testing.assert_close(orthogonal, exact(matrix, 5))

    def test_batches_are_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(3)
        updates = [torch.randn(6, 4) for _ in range(7)]
        whole, square_sum = orthogonalise(updates, 5, torch.float32, CPU)
        monkeypatch.setattr(newton_schulz, "BATCH_ELEMENTS", 50)
        cut, square_sum_cut = orthogonalise(updates, 5, torch.float32, CPU)
        torch.testing.assert_close(cut, whole)
        torch.testing.assert_close(square_sum_cut, square_sum)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_zeros_stay_zeros(self, dtype: torch.dtype) -> None:
        """An expert that saw no token does not move."""
        (found,), _ = orthogonalise([torch.zeros(2, 4, 6)], 5, dtype, CPU)
        assert found.count_nonzero() == 0

    def test_examples_are_true(self) -> None:
        assert doctest.testmod(newton_schulz).failed == 0


@pytest.mark.parametrize("settings", [AdamW(weight_decay=0), muon(weight_decay=0, adamw={"weight_decay": 0})])
def test_update_rms_is_how_far_weights_move(settings: AdamW | Muon) -> None:
    model = llama()
    optimizer = optim.build(settings, model.named_parameters(), 0.01, products=torch.float32)
    assert set(optim.update_rms(optimizer).values()) == {0.0}
    optim.initialise(optimizer)
    assert set(optim.update_rms(optimizer).values()) == {0.0}
    for step in range(4):
        draw_gradients(model, step)
        before = copy.deepcopy(model)
        optimizer.step()
        moved: dict[str, list[Tensor]] = {}
        for name, parameter in model.named_parameters():
            change = (parameter - before.get_parameter(name)) / 0.01
            moved.setdefault(optim.kind_of(name, parameter), []).append(change.detach().flatten())
        expected = {kind: torch.cat(changes).square().mean().sqrt().item() for kind, changes in moved.items()}
        assert optim.update_rms(optimizer) == pytest.approx(expected, rel=1e-3)


def test_update_rms_shows_an_epsilon_that_is_too_large() -> None:
    model = llama()
    optimizer = optim.build(AdamW(epsilon=1e-2), model.named_parameters(), 0.01)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-4)
    optimizer.step()
    assert optim.update_rms(optimizer) == pytest.approx(
        dict.fromkeys(["embeddings", "matrices", "vectors"], 0.0099), rel=0.01
    )


@pytest.mark.parametrize("settings", [AdamW(), muon()])
class TestState:
    def test_is_what_a_first_step_would_make(self, settings: AdamW | Muon) -> None:
        model = llama()
        early, late = (optim.build(settings, model.named_parameters(), 0.0) for _ in range(2))
        optim.initialise(early)
        draw_gradients(model, 0)
        late.step()
        for parameter in model.parameters():
            made, lazy = early.state[parameter], late.state[parameter]
            assert {k: (v.shape, v.dtype) for k, v in made.items()} == {k: (v.shape, v.dtype) for k, v in lazy.items()}
            assert all(value.count_nonzero() == 0 for value in made.values())
        optim.initialise(late)  # what is there stays
        assert all(late.state[parameter].get("step", torch.ones(())) == 1 for parameter in model.parameters())

    @pytest.mark.parametrize("in_place", [True, False])
    def test_survives_saving_and_loading(self, settings: AdamW | Muon, in_place: bool) -> None:
        """Loaded by state_dict, or copied into the tensors that `initialise` made: the next steps are the same bits."""
        model = llama()
        optimizer = optim.build(settings, model.named_parameters(), 0.01)
        for step in range(2):
            draw_gradients(model, step)
            optimizer.step()
        other = copy.deepcopy(model)
        loaded = optim.build(settings, other.named_parameters(), 0.01)
        optim.initialise(loaded)
        if in_place:
            for parameter, twin in zip(model.parameters(), other.parameters(), strict=True):
                for name, value in loaded.state[twin].items():
                    value.copy_(optimizer.state[parameter][name])
        else:
            loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for step in range(2, 4):
            draw_gradients(model, step)
            draw_gradients(other, step)
            optimizer.step()
            loaded.step()
        for parameter, twin in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, twin)

    def test_parameters_without_a_gradient_stay(self, settings: AdamW | Muon) -> None:
        model = llama()
        optimizer = optim.build(settings, model.named_parameters(), 0.01)
        draw_gradients(model, 0)
        still = model.get_parameter("model.layers.1.mlp.up_proj.weight")
        still.grad = None
        before = copy.deepcopy(model)
        optimizer.step()
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, before.get_parameter(name)) == (parameter is still), name


def test_muon_fits_a_badly_conditioned_regression_better_than_adamw() -> None:
    """100 steps of a small network, inputs 30 times larger in some directions than in others; each at its best rate."""

    def loss_after(settings: AdamW | Muon, rate: float) -> float:
        torch.manual_seed(0)
        first, second = nn.Linear(32, 64, bias=False), nn.Linear(64, 32, bias=False)
        model = nn.ModuleDict({"layers": nn.ModuleList([first, second])})
        inputs = torch.randn(256, 32) @ (torch.linalg.qr(torch.randn(32, 32))[0] * torch.logspace(0, -1.5, 32)).T
        inputs /= inputs.std()
        targets = torch.tanh(inputs @ torch.randn(32, 32) / 32**0.5)
        optimizer = optim.build(settings, model.named_parameters(), rate)
        loss = torch.zeros(())
        for step in range(100):
            loss = (second(torch.tanh(first(inputs))) - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - step / 100)
            optimizer.step()
        return loss.item()

    rates = (0.02, 0.04, 0.08)
    best = [
        min(loss_after(settings, rate) for rate in rates) for settings in (muon(weight_decay=0), AdamW(weight_decay=0))
    ]
    assert best[0] < 0.8 * best[1]
