"""The lint speaks where others have failed, is silent on published runs, and its mends mend."""

import functools
import json
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from jpfm.core import yaml12
from jpfm.model.estimate import Estimate, estimate
from jpfm.train.config import TrainConfig
from jpfm.train.lint import rules_data, rules_optimizer
from jpfm.train.lint.finding import Finding, Machine, Run, this_machine
from jpfm.train.lint.lint import RULES, lint

GPU = Machine(cuda=True, bf16_products=True)
SIZES = {"web": 20_000_000_000, "law": 100_000_000}
SOUND: dict[str, Any] = {
    "stage": "train",
    "model": {"size": "150M"},
    "seq_len": 2048,
    "batch_tokens": 524_288,
    "steps": 20_000,
    "learning_rate": 6e-4,
    "schedule": {"kind": "wsd", "warmup_steps": 500, "decay_steps": 4000},
    "parallel": {"shard": 1},
}


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return {key: value for key, value in out.items() if value is not None}


def _config(settings: dict[str, Any]) -> TrainConfig:
    return TrainConfig.model_validate_json(json.dumps(settings), strict=True)


@functools.cache
def _cost() -> Estimate:
    return estimate(LlamaConfig(**{"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 2048}), 2048)


def _findings(
    settings: dict[str, Any],
    *,
    sizes: dict[str, int] | None = SIZES,
    machine: Machine = GPU,
    vocab: int = 32_000,
    rows: int | None = None,
    **model: Any,
) -> list[Finding]:
    config = _config(settings)
    spec = config.model or _config(SOUND).model
    assert spec is not None
    own = spec.to_transformers(vocab, config.seq_len)
    for name, value in (({"vocab_size": rows} if rows else {}) | model).items():
        setattr(own, name, value)
    return lint(config, own, vocab_size=vocab, sources_tokens=sizes, machine=machine)


class Case(NamedTuple):
    rule: str
    field: str
    change: dict[str, Any]
    near: dict[str, Any]
    """A change nearby that must not lead to it."""
    more: dict[str, Any] = {}
    """Further arguments of `_findings`."""


MUON = {"kind": "muon"}
CONTINUED = {"model": None, "init_from": "base"}
CASES = [
    Case("epsilon", "optimizer.epsilon", {"optimizer": {"kind": "adamw", "epsilon": 1e-5}}, {}),
    Case("epsilon", "optimizer.adamw.epsilon", {"optimizer": MUON | {"adamw": {"epsilon": 1e-6}}}, {"optimizer": MUON}),
    Case(
        "second_moment",
        "optimizer.beta2",
        {"optimizer": {"kind": "adamw", "beta2": 0.999}, "schedule": {"warmup_steps": 2000}},
        {"optimizer": {"kind": "adamw", "beta2": 0.98}},
    ),
    Case(
        "weight_decay",
        "optimizer.weight_decay",
        {"optimizer": {"kind": "adamw", "weight_decay": 0.0}},
        {"optimizer": {"kind": "adamw", "weight_decay": 0.0}, "precision": "fp32"},
    ),
    Case("weight_decay", "optimizer.weight_decay", {"optimizer": MUON | {"weight_decay": 0.0}}, {"optimizer": MUON}),
    Case("clipping", "clip_norm", {"clip_norm": 10.0}, {"clip_norm": 0.3}),
    Case(
        "warmup_short", "schedule.warmup_steps", {"schedule": {"warmup_steps": 19}}, {"schedule": {"warmup_steps": 20}}
    ),
    Case(
        "warmup_short",
        "schedule.warmup_steps",
        {"schedule": {"warmup_steps": 100}, "optimizer": {"kind": "adamw", "beta2": 0.999}},
        {"schedule": {"warmup_steps": 1000}, "optimizer": {"kind": "adamw", "beta2": 0.999}},
    ),
    Case(
        "warmup_long",
        "schedule.warmup_steps",
        {"schedule": {"warmup_steps": 2001}},
        {"schedule": {"warmup_steps": 2000}},
    ),
    Case(
        "decay_share",
        "schedule.decay_steps",
        {"schedule": {"decay_steps": None}},
        {"schedule": {"kind": "cosine", "decay_steps": None}},
    ),
    Case(
        "decay_share", "schedule.decay_steps", {"schedule": {"decay_steps": 999}}, {"schedule": {"decay_steps": 1000}}
    ),
    Case("learning_rate", "learning_rate", {"learning_rate": 1e-2}, {"learning_rate": 3e-3}),
    Case("learning_rate", "learning_rate", {"learning_rate": 6e-5}, {"learning_rate": 2e-4}),
    Case(
        "learning_rate",
        "learning_rate",
        CONTINUED | {"learning_rate": 1.5e-3},
        CONTINUED | {"learning_rate": 2.5e-5},
    ),
    Case(
        "batch",
        "batch_tokens",
        {"batch_tokens": 2**23, "steps": 1000, "schedule": {"warmup_steps": 50, "decay_steps": 200}},
        {"batch_tokens": 2**21, "steps": 4000, "schedule": {"warmup_steps": 50, "decay_steps": 200}},
    ),
    Case("z_loss", "z_loss", {"z_loss": 1e-2}, {"z_loss": 1e-4}),
    Case(
        "newton_schulz",
        "optimizer.newton_schulz_steps",
        {"optimizer": MUON | {"newton_schulz_steps": 3}},
        {"optimizer": MUON},
    ),
    Case("initial_std", "model.init_std", {"model": {"init_std": 0.1}}, {"model": {"init_std": 0.02}}),
    Case("initial_std", "model.init_std", {"model": {"init_std": 0.005}}, {"model": {"init_std": 0.006}}),
    Case("vocabulary_ids", "tokenizer", {}, {}, {"rows": 31_936}),
    Case("vocabulary_rows", "model.vocab_multiple", {"model": {"vocab_multiple": 1}}, {}, {"vocab": 50_257}),
    Case("vocabulary_rows", "init_from", CONTINUED, {}, {"rows": 43_176}),
    Case("split_by_tensor", "parallel.tensor", {"parallel": {"tensor": 8}}, {"parallel": {"tensor": 4}}),
    Case(
        "head_size",
        "model.head_dim",
        {"model": {"num_heads": 64, "num_kv_heads": 64, "head_dim": 12}},
        {"model": {"num_heads": 32, "num_kv_heads": 32, "head_dim": 24}},
    ),
    Case("rotary_base", "model.rope_theta", {"seq_len": 8192}, {"seq_len": 8192, "model": {"rope_theta": 500000.0}}),
    Case("positions", "seq_len", {}, {}, {"max_position_embeddings": 1024}),
    Case(
        "bfloat16_processor",
        "precision",
        {"precision": "bf16"},
        {"precision": "fp32"},
        {"machine": Machine(cuda=False, bf16_products=False)},
    ),
    Case(
        "float8_recompute",
        "activation_checkpointing",
        {"precision": "fp8", "activation_checkpointing": "full"},
        {"precision": "fp8", "activation_checkpointing": "selective"},
    ),
    Case(
        "mixture_sums",
        "mixture.weights",
        {"mixture": {"weights": {"web": 0.7, "law": 0.2}}},
        {"mixture": {"weights": {"web": 0.99, "law": 0.01}}},
    ),
    Case(
        "mixture_sums",
        "mixture.weights",
        {"mixture": {"weights": {"web": 0.99, "laws": 0.01}}},
        {"mixture": {"weights": {"web": 0.99, "law": 0.01}}},
    ),
    Case(
        "mixture_sums",
        "mixture.stages.1.weights",
        {"mixture": {"stages": [{"tokens": 10**9}, {"weights": {"web": 0.5, "law": 0.6}}]}},
        {"mixture": {"stages": [{"tokens": 10**9}, {"weights": {"web": 1.0}}]}},
    ),
    Case(
        "repetition",
        "mixture",
        {"mixture": {"weights": {"web": 0.95, "law": 0.05}}},
        {"mixture": {"weights": {"web": 0.97, "law": 0.03}}},
    ),
    Case(
        "tokens_a_parameter",
        "steps",
        {"steps": 200, "schedule": {"warmup_steps": 20, "decay_steps": 40}},
        {"steps": 300, "schedule": {"warmup_steps": 20, "decay_steps": 40}},
    ),
    Case("cross_document_attention", "document_mask", {"document_mask": False}, {"reset_positions": False}),
    Case(
        "saved_on_the_way",
        "save.every_steps",
        {"save": {"every_steps": 20_000}},
        {"save": {"every_steps": None, "every_minutes": 30.0}},
    ),
]
"""One case a failure: what leads to the finding, and what is as near as one may go."""


def test_a_sound_run_has_no_findings() -> None:
    assert _findings(SOUND) == []
    assert _findings(SOUND, sizes=None) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.field}")
def test_a_rule_speaks_of_what_it_is_for_and_not_of_what_is_near(case: Case) -> None:
    (told,) = [f for f in _findings(_merged(SOUND, case.change), **case.more) if f.field == case.field]
    assert all(told), told
    near = _merged(SOUND, case.near)
    if case.near:
        assert case.field not in {finding.field for finding in _findings(near, **case.more)}
    else:
        assert case.field not in {finding.field for finding in _findings(SOUND)}


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.field}")
def test_a_finding_names_its_source_and_the_mend_mends(case: Case) -> None:
    settings = _merged(SOUND, case.change)
    (told,) = [f for f in _findings(settings, **case.more) if f.field == case.field]
    assert re.search(r"\d{4}\.\d{4,5}|llm-jp/scripts|issue \d|PyTorch|oneDNN|kellerjordan", told.source)
    assert told.sentence().count("\n") == 0
    snippet = re.match(r"(\w+): (\{[^}]*\}|[^\s,]+)", told.mend)
    if snippet is None or snippet[1] not in TrainConfig.model_fields or case.rule == "positions":
        assert told.mend  # words, for what no setting mends
        return
    mended = _merged(settings, yaml12.parse(snippet[0], "mend").plain())
    assert case.field not in {finding.field for finding in _findings(mended, **case.more)}, snippet[0]


PUBLISHED = [
    # name, parameters at work, tokens, peak rate, tokens a batch
    ("GPT-3 125M", 125e6, 300e9, 6.0e-4, 0.5e6),  # Brown et al. 2020, table 2.1
    ("GPT-3 1.3B", 1.3e9, 300e9, 2.0e-4, 1e6),
    ("GPT-3 6.7B", 6.7e9, 300e9, 1.2e-4, 2e6),
    ("GPT-3 13B", 13e9, 300e9, 1.0e-4, 2e6),
    ("GPT-3 175B", 175e9, 300e9, 0.6e-4, 3.2e6),
    ("Pythia 70M", 70e6, 300e9, 1e-3, 2e6),  # Biderman et al. 2023, table 6
    ("Pythia 12B", 12e9, 300e9, 1.2e-4, 2e6),
    ("BLOOM 176B", 176e9, 366e9, 6e-5, 4.2e6),  # Le Scao et al. 2022, table 3
    ("OPT 175B", 175e9, 180e9, 1.2e-4, 2e6),  # Zhang et al. 2022, table 1
    ("Llama 2 7B", 7e9, 2e12, 3e-4, 4e6),  # Touvron et al. 2023, table 1 and section 2.2
    ("Llama 2 70B", 70e9, 2e12, 1.5e-4, 4e6),
    ("Llama 3 8B", 8e9, 15e12, 3e-4, 4e6),  # Grattafiori et al. 2024, table 3
    ("Llama 3 405B", 405e9, 15.6e12, 8e-5, 16e6),
    ("TinyLlama 1.1B", 1.1e9, 3e12, 4e-4, 2e6),  # Zhang et al. 2024, arXiv:2401.02385
    ("DeepSeek 7B", 7e9, 2e12, 4.2e-4, 9.4e6),  # Bi et al. 2024, table 2
    ("DeepSeek 67B", 67e9, 2e12, 3.2e-4, 18.9e6),
    ("OLMo 2 7B", 7e9, 4e12, 3e-4, 4.2e6),  # OLMo Team 2024, arXiv:2501.00656
    ("OLMo 2 13B", 13e9, 5e12, 9e-4, 8.4e6),
    ("OLMoE 1B-7B", 1.3e9, 5.1e12, 4e-4, 4.2e6),  # Muennighoff et al. 2024, arXiv:2409.02060
    ("DeepSeek-V2-Lite", 2.4e9, 5.7e12, 4.2e-4, 18.9e6),  # DeepSeek-AI 2024, arXiv:2405.04434, appendix B
    ("LLM-jp-3 172B", 172e9, 2.07e12, 8e-5, 7.1e6),  # llm-jp/scripts, v3-172b-exp2-sakura/train.sh
    ("LLM-jp v4 8B", 8e9, 2.1e12, 3e-4, 2.1e6),  # llm-jp/scripts, v4-8b-phase1/decay1m/params.sh
    ("LLM-jp v4 32B", 32e9, 2.1e12, 2e-4, 2.1e6),  # llm-jp/scripts, v4-32b-phase1/decay1m/params.sh
]


@pytest.mark.parametrize(("name", "parameters", "tokens", "rate", "batch"), PUBLISHED, ids=lambda value: str(value))
def test_published_runs_pass_the_two_laws(
    name: str, parameters: float, tokens: float, rate: float, batch: float
) -> None:
    usual = rules_optimizer.usual_learning_rate(6 * parameters * tokens)
    assert usual / rules_optimizer.RATE_BELOW < rate < usual * rules_optimizer.RATE_ABOVE, rate / usual
    assert batch < rules_optimizer.BATCH_ABOVE * rules_optimizer.critical_batch_tokens(tokens)


def test_the_laws_give_the_values_of_their_papers() -> None:
    # DeepSeek LLM chose 4.2e-4 for 7B and 3.2e-4 for 67B on 2 T tokens by its own law
    assert rules_optimizer.usual_learning_rate(6 * 7e9 * 2e12) == pytest.approx(4.2e-4, rel=0.1)
    assert rules_optimizer.usual_learning_rate(6 * 67e9 * 2e12) == pytest.approx(3.2e-4, rel=0.1)
    # along Chinchilla's line the two fits of Zhang et al. meet: 93.20 N^0.47, N in millions of parameters
    for millions in (85, 302, 1200):
        by_size = 512 * 93.20 * millions**0.47
        assert rules_optimizer.critical_batch_tokens(20e6 * millions) == pytest.approx(by_size, rel=0.02)


@given(st.floats(1e10, 1e26), st.floats(1.01, 100))
def test_more_compute_asks_for_lower_rates_and_more_tokens_bear_larger_batches(flops: float, times: float) -> None:
    assert rules_optimizer.usual_learning_rate(flops * times) < rules_optimizer.usual_learning_rate(flops)
    assert rules_optimizer.critical_batch_tokens(flops * times) > rules_optimizer.critical_batch_tokens(flops)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=5), st.integers(1, 999_999), st.booleans())
def test_epochs_count_every_token_of_the_run(sizes: list[int], weight: int, staged: bool) -> None:
    names = {f"source{number}": size for number, size in enumerate(sizes)}
    mixture: dict[str, Any] = {}
    if staged and len(names) > 1:
        shares = {"source0": weight / 1e6, "source1": (1_000_000 - weight) / 1e6}
        mixture = {"stages": [{"tokens": 3 * 10**9}, {"weights": shares}]}
    config = _config(_merged(SOUND, {"mixture": mixture}))
    told = list(rules_data.repetition(Run(config, None, 32_000, names, GPU, _cost())))
    tokens = config.num_steps * config.batch_tokens
    if not mixture:  # by size: every source as often as all of them
        epochs = tokens / sum(sizes)
        assert bool(told) == (epochs > 4)
        assert not told or f"{epochs:.1f} times" in told[0].says
    elif tokens / sum(sizes) > 4 * len(names):  # in the mean more than four times: one at least is
        assert told


def test_a_cap_ends_repetition() -> None:
    often = {"mixture": {"weights": {"web": 0.9, "law": 0.1}}}
    assert any(f.field == "mixture" and "law 10.5 times" in f.says for f in _findings(_merged(SOUND, often)))
    capped = _merged(SOUND, {"mixture": often["mixture"] | {"max_epochs": {"law": 4.0}}})
    assert not any(f.field == "mixture" for f in _findings(capped))


def test_a_branch_needs_no_warmup_and_may_stay_on_the_plateau() -> None:
    branch = {"model": None, "branch_from": "run/steps/step-10000", "branch_at": 10_000}
    plateau = {"schedule": {"warmup_steps": 0, "decay_steps": None}}
    assert _findings(_merged(SOUND, branch | plateau)) == []
    assert {f.field for f in _findings(_merged(SOUND, plateau))} == {"schedule.warmup_steps", "schedule.decay_steps"}


def test_small_models_may_repeat_and_stop_early() -> None:
    tiny = {"model": {"size": "1M"}, "steps": 300, "batch_tokens": 2048, "seq_len": 256, "learning_rate": 4e-3}
    settings = _merged(SOUND, tiny | {"schedule": {"warmup_steps": 20, "decay_steps": 100}})
    assert _findings(settings, sizes={"web": 100_000}) == []


def test_a_mixture_of_experts_counts_what_works_on_a_token() -> None:
    experts = _merged(SOUND, {"model": {"size": "30B-A3B"}, "seq_len": 4096, "learning_rate": 4e-4, "steps": 8000})
    experts = _merged(experts, {"schedule": {"warmup_steps": 500, "decay_steps": 1000}})
    assert [f.field for f in _findings(experts)] == []  # 4.2 B tokens: 1.2 each of 3.4 B, 0.14 each of all 30.5 B


def test_the_machine_is_this_one_where_none_is_given() -> None:
    config = _config(SOUND)
    assert config.model is not None
    own = config.model.to_transformers(32_000, config.seq_len)
    found = lint(config, own, vocab_size=32_000, sources_tokens=None)
    here = this_machine()
    assert ([f.field for f in found] == ["precision"]) == (not here.cuda and not here.bf16_products)
