"""Documents in a packed row do not see each other: forward, gradient, every kernel, compiled or not."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.utils import counters
from transformers import (
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3NextConfig,
)

from jpfm.core.errors import UsageError
from jpfm.train.attention import attention
from jpfm.train.attention.attention import Attention, adapted, cumulative_lengths, make
from jpfm.train.attention.document_attention import document_attention

EOS, SEQ_LEN = 2, 24
Rows = npt.NDArray[np.uint32]


def _model(family: str = "llama", kv_heads: int = 2, **others: Any) -> Any:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": kv_heads, "intermediate_size": 48, "head_dim": 8, "max_position_embeddings": 64,
        "use_cache": False, **others,
    }  # fmt: skip
    model: Any
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape))
    elif family == "mistral":
        model = MistralForCausalLM(MistralConfig(**shape))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**shape))
    for parameter in model.parameters():  # large enough that a leak would show
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def _made(kind: str, model: Any, *, mask: bool = True, reset: bool = True, seq_len: int = SEQ_LEN) -> Attention:
    if kind == "flex":  # its forward pass runs on a CPU, its backward does not: `make` refuses it there
        made = make("flex", model.config, device_type="cuda", document_mask=mask, reset_positions=reset,
                    seq_len=seq_len, eos=EOS)  # fmt: skip
    else:
        made = make(kind, model.config, device_type="cpu", document_mask=mask, reset_positions=reset,  # type: ignore[arg-type]
                    seq_len=seq_len, eos=EOS)  # fmt: skip
    model.config._attn_implementation = made.implementation
    return made


def _states(model: Any, made: Attention, rows: Rows) -> torch.Tensor:
    ids = torch.from_numpy(rows.astype(np.int64))
    return model.model(input_ids=ids, use_cache=False, **made.arguments(rows)).last_hidden_state


@pytest.fixture
def eager_flex() -> Iterator[None]:
    """flex_attention as plain torch operations: its C++ takes ten seconds to compile and knows no windows."""
    with torch.compiler.set_stance("force_eager"):
        yield


def _rows(seed: int = 0, ends: tuple[tuple[int, ...], ...] = ((9, 15), (4,), ())) -> Rows:
    rows = np.random.default_rng(seed).integers(3, 64, (len(ends), SEQ_LEN)).astype(np.uint32)
    for row, places in zip(rows, ends, strict=True):
        row[list(places)] = EOS
    return rows


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.parametrize("kind", ["varlen", "sdpa", "flex"])
def test_a_change_in_one_document_moves_no_state_of_another(kind: str) -> None:
    model = _model()
    made = _made(kind, model)
    rows = _rows()
    changed = rows.copy()
    changed[0, 3] = 63 if rows[0, 3] != 63 else 62
    with torch.no_grad():
        moved = (_states(model, made, rows) - _states(model, made, changed)).abs().amax(2)
    assert float(moved[0, 3:9].min()) > 1e-3
    assert float(moved[0, 9:].max()) == 0.0
    assert float(moved[0, :3].max()) == 0.0
    assert float(moved[1:].max()) == 0.0


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.parametrize("kind", ["varlen", "sdpa"])  # flex has no backward pass on a CPU
def test_no_gradient_flows_from_one_document_into_another(kind: str) -> None:
    model = _model()
    made = _made(kind, model)
    rows = _rows()
    embedded = model.model.embed_tokens(torch.from_numpy(rows.astype(np.int64))).detach().requires_grad_()
    states = model.model(inputs_embeds=embedded, use_cache=False, **made.arguments(rows)).last_hidden_state
    states[0, 9:15].square().sum().backward()  # the second document alone
    reached = embedded.grad.abs().amax(2)
    assert float(reached[0, 9:15].min()) > 0.0
    assert float(reached[0, :9].max()) == float(reached[0, 15:].max()) == float(reached[1:].max()) == 0.0


@pytest.mark.usefixtures("eager_flex")
def test_without_the_mask_documents_do_see_each_other() -> None:
    """The probe above can fail."""
    for kind in ("varlen", "sdpa", "flex"):
        model = _model()
        made = _made(kind, model, mask=False)
        rows = _rows()
        changed = rows.copy()
        changed[0, 3] = 63 if rows[0, 3] != 63 else 62
        with torch.no_grad():
            moved = (_states(model, made, rows) - _states(model, made, changed)).abs().amax(2)
        assert float(moved[0, 9:].min()) > 1e-4, kind


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.parametrize("kind", ["varlen", "sdpa", "flex"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_each_document_is_computed_as_if_it_were_alone(kind: str, kv_heads: int) -> None:
    model = _model(kv_heads=kv_heads)
    rows = _rows()
    with torch.no_grad():
        states = _states(model, _made(kind, model), rows)
        model.config._attn_implementation = "eager"
        for row, start, end in [(0, 0, 9), (0, 9, 15), (0, 15, 24), (1, 0, 4), (1, 4, 24), (2, 0, 24)]:
            alone = torch.from_numpy(rows[row : row + 1, start:end].astype(np.int64))
            expected = model.model(input_ids=alone, use_cache=False).last_hidden_state[0]
            torch.testing.assert_close(states[row, start:end], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.parametrize("kind", ["varlen", "sdpa", "flex"])
def test_positions_restart_only_when_asked(kind: str) -> None:
    model = _model()
    rows = _rows(ends=((9,),))
    with torch.no_grad():
        running = _states(model, _made(kind, model, reset=False), rows)
        restarting = _states(model, _made(kind, model, reset=True), rows)
    assert _made(kind, model, reset=False).arguments(rows)["position_ids"].tolist() == [list(range(SEQ_LEN))]
    assert _made(kind, model, reset=True).arguments(rows)["position_ids"][0, 8:12].tolist() == [8, 0, 1, 2]
    # rotary positions are relative: a document that is masked off does not feel where it stands
    torch.testing.assert_close(running, restarting, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        seen = [_states(model, _made(kind, model, mask=False, reset=reset), rows)[0, 9:] for reset in (True, False)]
    assert float((seen[0] - seen[1]).abs().max()) > 1e-3


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.parametrize("family", ["mistral", "qwen3"])
@pytest.mark.parametrize("kind", ["varlen", "sdpa", "flex"])
def test_sliding_windows_are_those_of_transformers(family: str, kind: str) -> None:
    others: dict[str, Any] = {"sliding_window": 5}
    if family == "qwen3":
        others |= {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]}
    model = _model(family, **others)
    rows = _rows(ends=((), ()))
    with torch.no_grad():
        model.config._attn_implementation = "eager"
        ids = torch.from_numpy(rows.astype(np.int64))
        expected = model.model(input_ids=ids, use_cache=False).last_hidden_state
        states = _states(model, _made(kind, model), rows)
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("autocast", [False, True])
def test_compiled_layers_break_no_graph_and_meet_any_number_of_documents(family: str, autocast: bool) -> None:
    model = _model(family)
    made = _made("varlen", model)
    batches = [_rows(seed, ends) for seed, ends in enumerate(
        [((), (), ()), ((3,), (), ()), ((1, 2, 3), (8, 9), (20,)), ((5, 7, 9, 11, 13, 15, 17), (2,), (9,))] * 2
    )]  # fmt: skip
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected = [_states(model, made, rows).detach() for rows in batches]
        for layer in model.model.layers:
            layer.forward = torch.compile(layer.forward, fullgraph=True, backend="aot_eager")
        for rows, states in zip(batches, expected, strict=True):
            compiled = _states(model, made, rows)
            compiled.sum().backward()
            tolerance = 0.1 if autocast else 1e-5
            torch.testing.assert_close(compiled, states, rtol=tolerance, atol=tolerance)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.usefixtures("fresh_compiler")
def test_flex_masks_of_other_documents_do_not_compile_again() -> None:
    model = _model()
    made = _made("flex", model)
    for layer in model.model.layers:
        layer.forward = torch.compile(layer.forward, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for seed in range(5):
            _states(model, made, _rows(seed, ((3 + seed, 15), (seed + 1,), ())))
    assert counters["stats"]["unique_graphs"] <= 2
    assert not counters["graph_break"]


@given(
    seed=st.integers(0, 99), rows=st.integers(1, 4), seq_len=st.integers(1, 60), share=st.floats(0, 0.5),
)  # fmt: skip
def test_cumulative_lengths_begin_at_each_row_and_each_eos(seed: int, rows: int, seq_len: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    inputs = np.where(draw.random((rows, seq_len)) < share, EOS, 7).astype(np.uint32)
    lengths, longest = cumulative_lengths(inputs, EOS)
    begins = sorted({*range(0, rows * seq_len, seq_len), *np.flatnonzero(inputs.reshape(-1) == EOS).tolist()})
    assert lengths.tolist() == [*begins, rows * seq_len]
    assert int(np.diff(lengths).max()) <= longest <= seq_len
    assert lengths.dtype == np.int32
    assert cumulative_lengths(inputs, None)[0].tolist() == list(range(0, rows * seq_len + 1, seq_len))


def _varlen_2_13(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor,
    max_q: int, max_k: int, *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """torch 2.13's signature and checks, on a CPU."""
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise ValueError("Expect query and key/value to have the same number of heads")
    assert window_size[1] == 0
    window = None if window_size[0] < 0 else window_size[0] + 1
    assert scale is not None
    batch = [part.transpose(0, 1).unsqueeze(0) for part in (query, key, value)]
    return document_attention(*batch, cu_seq_q, scale, window)[0][0]


def _varlen_2_10(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor,
    max_q: int, max_k: int, is_causal: bool = False,
) -> torch.Tensor:  # fmt: skip
    """The oldest: no scale, no window, no grouped heads."""
    assert is_causal
    assert query.shape[1] == key.shape[1]
    batch = [part.transpose(0, 1).unsqueeze(0) for part in (query, key, value)]
    return document_attention(*batch, cu_seq_q, query.shape[2] ** -0.5, None)[0][0]


@pytest.mark.parametrize("varlen_attn", [_varlen_2_13, _varlen_2_10])
def test_each_signature_of_varlen_attention_gives_the_same(varlen_attn: Any) -> None:
    query, key, value = torch.randn(12, 4, 8), torch.randn(12, 2, 8), torch.randn(12, 2, 8)
    cumulative = torch.tensor([0, 5, 12], dtype=torch.int32)
    batch = [part.transpose(0, 1).unsqueeze(0) for part in (query, key, value)]
    expected = document_attention(*batch, cumulative, 0.3, None)[0][0]
    made = adapted(varlen_attn)(query, key, value, cumulative, 8, 0.3, None)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)


def test_a_torch_without_windows_refuses_them() -> None:
    flat = [torch.randn(12, 2, 8) for _ in range(3)]
    with pytest.raises(UsageError, match="sliding windows"):
        adapted(_varlen_2_10)(*flat, torch.tensor([0, 12], dtype=torch.int32), 8, 0.3, 4)


def test_the_cuda_path_flattens_rows_and_gives_them_back() -> None:
    """The path of a GPU with torch's signature, the kernel itself replaced by the operator of the CPU."""
    model = _model()
    rows = _rows()
    made = _made("varlen", model)
    with torch.no_grad():
        expected = _states(model, made, rows)
        from transformers import AttentionInterface

        AttentionInterface.register("flat_varlen", functools.partial(attention._varlen, flash=adapted(_flat_kernel)))
        model.config._attn_implementation = "flat_varlen"
        torch.testing.assert_close(_states(model, made, rows), expected, rtol=1e-5, atol=1e-5)


def _flat_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor,
    max_q: int, max_k: int, *, scale: float, window_size: tuple[int, int], enable_gqa: bool,
) -> torch.Tensor:  # fmt: skip
    return _varlen_2_13(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size,
                        enable_gqa=enable_gqa)  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "config", "message"),
    [
        ("varlen", Qwen3NextConfig(), "linear_attention"),
        ("sdpa", Qwen3NextConfig(), "would see each other"),
        ("varlen", GptOssConfig(), "sinks"),
        ("sdpa", Gemma2Config(), "capped scores"),
        ("flex", LlamaConfig(), "no backward pass on a CPU"),
        ("varlen", LlamaConfig(attention_dropout=0.1), "dropout"),
    ],
)
def test_what_a_kernel_cannot_do_is_refused_with_the_mend(setting: Any, config: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make(setting, config, device_type="cpu", document_mask=True, reset_positions=True, seq_len=8, eos=EOS)
    assert caught.value.hint


def test_fp32_on_a_gpu_takes_a_mask_by_itself_and_refuses_varlen() -> None:
    given: dict[str, Any] = {
        "device_type": "cuda",
        "document_mask": True,
        "reset_positions": True,
        "seq_len": 8,
        "eos": EOS,
        "dtype": torch.float32,
    }
    assert make("auto", LlamaConfig(), **given).kind == "sdpa"
    with pytest.raises(UsageError, match="float32"):
        make("varlen", LlamaConfig(), **given)


def test_a_recurrent_family_trains_with_its_own_masks_when_documents_may_see_each_other() -> None:
    given: dict[str, Any] = {"device_type": "cpu", "document_mask": False, "seq_len": 8, "eos": EOS}
    made = make("sdpa", Qwen3NextConfig(), reset_positions=False, **given)
    assert (made.kind, made.implementation) == ("native", "sdpa")
    assert set(made.arguments(np.full((1, 8), 7, dtype=np.uint32))) == {"position_ids"}
    with pytest.raises(UsageError, match="reset_positions"):
        make("sdpa", Qwen3NextConfig(), reset_positions=True, **given)


def test_a_layer_that_asks_for_sinks_is_refused_when_it_does() -> None:
    model = _model()
    made = _made("varlen", model)
    rows = _rows()
    with pytest.raises(UsageError, match="attention sinks"):
        model.model(
            input_ids=torch.from_numpy(rows.astype(np.int64)), use_cache=False, s_aux=torch.zeros(4),
            **made.arguments(rows),
        )  # fmt: skip


def test_the_implementation_is_not_written_into_the_checkpoint() -> None:
    model = _model()
    _made("varlen", model)
    assert "jpfm" not in model.config.to_json_string()
