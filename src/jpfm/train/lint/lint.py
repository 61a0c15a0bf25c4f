"""Hyper-parameter lint: settings that are known to have spoilt runs, told before the run starts.

    for finding in lint(config, model_config, vocab_size=32_000, sources_tokens={"web": 2_000_000_000}):
        log.warning(finding.sentence())

LLM-jp trained 172 B parameters on 0.7 and again on 1.4 trillion tokens before the epsilon of AdamW was found to be the
reason for poor results; a rule of four lines would have said so at step 0. Rules lie by what they look at:
`rules_optimizer` (rates, moments, schedule, batch), `rules_model` (shapes, initialisation, positions, precision),
`rules_data` (mixture, repetition, documents, checkpoints). What a run cannot do at all is refused by the settings
themselves; this is for what it can do and should not. Refused: a rule for each best practice. The 23 published runs in
tests/train/test_lint.py pass the rules on rate and batch, so a finding is worth reading.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jpfm.model.estimate import estimate
from jpfm.train.config import TrainConfig
from jpfm.train.lint import rules_data, rules_model, rules_optimizer
from jpfm.train.lint.finding import Finding, Machine, Run, this_machine

Rule = Callable[[Run], Iterator[Finding]]
RULES: tuple[Rule, ...] = (*rules_optimizer.RULES, *rules_model.RULES, *rules_data.RULES)
"""All rules, in the order their findings come."""


def lint(
    config: TrainConfig,
    model_config: Any,
    *,
    vocab_size: int,
    sources_tokens: Mapping[str, int] | None,
    machine: Machine | None = None,
) -> list[Finding]:
    """What is doubtful about a run.

    Args:
        config: the run. `config.lint` is not looked at: what a finding leads to is the caller's.
        model_config: transformers config of the model that is trained.
        vocab_size: ids of the tokenizer, before rows were padded.
        sources_tokens: tokens of each source of the order; None where no tokens are named yet. Rules that need them
            are then left out.
        machine: None looks at this one.
    Returns:
        Findings in the order of the rules; none for a run with nothing to say about.
    """
    run = Run(
        config,
        model_config,
        vocab_size,
        sources_tokens,
        this_machine() if machine is None else machine,
        estimate(model_config, config.seq_len),
    )
    return [finding for rule in RULES for finding in rule(run)]
