"""One GPU: sizes x row lengths x vocabularies x texts, every arm with the same and with its best micro-batch.

One GPU hides communication. Where a run does not fit, the arm says so and stays out of that case. `--small` runs the
same code with tiny models on a CPU.
"""

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.train import arm, page, prepare
from benchmarks.train.page import Goal
from benchmarks.train.runs import ArmFailed, Machine, Measured, measure, peak, say, start
from benchmarks.train.setting import Setting

SIZES: dict[str, dict[str, Any]] = {"1B": {"size": "1B"}, "8B-8L": {"size": "8B", "num_layers": 8}}
_ARMS = ("jpfm", "plain", "plain_blocks", "hf_trainer", "hf_trainer_bf16_compile", "hf_trainer_liger", "torchtitan")
_WARM, _TIMED = 30, 50
_STEP_TOKENS = 16_384
"""Of the same micro-batch: 4 rows of 4,096."""
_RANDOM_TOKENS = 30_000_000
_MOST_ROWS = 32


def cuda(base: Setting, given: argparse.Namespace, machine: Machine, steps: Mapping[str, int]) -> tuple[Any, str]:
    """Every case, a table each."""
    small = given.small
    device: Any = "cpu" if small else "cuda"
    facts = page.environment(machine.threads)
    reasons = {name: arm.missing(name, device) for name in given.arms or _ARMS}
    absent = [f"{name}: {why}" for name, why in reasons.items() if why is not None]
    names = [name for name, why in reasons.items() if why is None]
    for line in absent:
        say(line)
    own_steps = {"warm": 2, "timed": 3} if small else {"warm": _WARM, "timed": _TIMED}
    base = base.but(device=device, **own_steps | dict(steps))
    sizes = {"1M": {"size": "1M"}} if small else {name: SIZES[name] for name in given.sizes}
    lengths = [128] if small else given.seq_lens
    vocabularies = [5_120] if small else given.vocabularies
    flops, source = peak(base, machine)
    text = page.heading("Training on one GPU" + (" (in small, on a CPU)" if small else ""), facts)
    text += f"{base.warm} warm and {base.timed} timed steps, {given.repeats} repeats in random order; MFU over "
    text += f"{flops:.4g} FLOP/s ({source}).\n"
    result: dict[str, Any] = {"environment": facts, "absent": absent, "peak": flops, "cases": {}}
    for size, seq_len, vocabulary, words in itertools.product(sizes, lengths, vocabularies, given.texts):
        tokens = base.tokens
        if words == "random":
            count = 500_000 if small else _RANDOM_TOKENS
            tokens = str(prepare.synthetic(Path(given.data).absolute(), vocab_size=vocabulary, tokens=count))
        rows = max(1, (512 if small else _STEP_TOKENS) // seq_len)
        setting = base.but(
            tokens=tokens, model={**sizes[size], "vocab_multiple": vocabulary}, seq_len=seq_len,
            micro_batch_rows=rows, rows_per_step=rows,
        )  # fmt: skip
        for kind in given.micro_batches:
            title = f"{size}, rows of {seq_len:,}, {vocabulary:,} pieces, {words} text, {kind} micro-batch"
            say(title)
            failed: dict[str, str] = {}
            most = 2 if small else _MOST_ROWS
            measured = case(names, setting, machine, given.repeats, failed, most=most, kind=kind)
            if not measured:
                text += f"\n## {title}\n\nNo arm fits.\n" + page.failures(failed)
                continue
            text += f"\n## {title}\n\n" + page.table(measured, flops) + page.goals(goals(measured, flops))
            text += _rows_of(measured) + page.failures(failed)
            result["cases"][title] = page.plain(measured)
        audited = audit(setting, machine)
        result["cases"][f"{size} {seq_len} {vocabulary} {words} audit"] = audited
        if audited:
            waits = audited["waits_a_step"]
            text += f"\njpfm: {audited['graphs']} graphs, {audited['graph_breaks']} breaks; waits for the device a "
            text += f"step: {'not counted on a CPU' if waits is None else format(waits, '.2f')}.\n"
    return result, text + "".join(f"\n{line}." for line in absent) + "\n"


def case(
    names: list[str], setting: Setting, machine: Machine, repeats: int, failed: dict[str, str], *, most: int, kind: str
) -> dict[str, Measured]:
    """The arms with one micro-batch, or each with the one that it is fastest with."""
    if kind == "same":
        return measure(names, setting, machine, repeats, failed)
    found: dict[str, Measured] = {}
    for name in names:
        rows = best_rows(name, setting, machine, failed, most)
        if rows is not None:
            own = setting.but(micro_batch_rows=rows, rows_per_step=rows)
            found |= measure([name], own, machine, repeats, failed)
    return found


def best_rows(name: str, setting: Setting, machine: Machine, failed: dict[str, str], most: int) -> int | None:
    """Rows of a micro-batch with the most tokens a second, by short runs; None where not even one row fits."""
    best: tuple[float, int] | None = None
    rows = 1
    while rows <= most:
        try:
            line = start(name, setting.but(micro_batch_rows=rows, rows_per_step=rows, warm=3, timed=4), machine)
        except ArmFailed as error:
            say(f"{rows} rows: {error}")
            if best is None:
                failed[name] = str(error)
            break
        speed = rows * setting.seq_len / line["step_seconds"]
        if best is None or speed > best[0]:
            best = speed, rows
        rows *= 2
    return None if best is None else best[1]


def audit(setting: Setting, machine: Machine) -> dict[str, Any]:
    """Graph breaks and waits of jpfm, in a run that is not timed."""
    try:
        return start("jpfm", setting.but(audit=True, warm=4, timed=10), machine)
    except ArmFailed as error:
        say(str(error))
        return {}


def goals(measured: Mapping[str, Measured], flops: float) -> list[Goal]:
    """What is asked of one GPU."""
    if "jpfm" not in measured:
        return []
    ours = measured["jpfm"]
    found = [Goal("MFU of jpfm", ours.tokens_per_second * ours.setting.flops_per_token() / flops, 0.55)]
    trainer = [one.tokens_per_second for name, one in measured.items() if name.startswith("hf_trainer")]
    if trainer:
        found.append(Goal("jpfm over Trainer at its best", ours.tokens_per_second / max(trainer), 1.2))
    if "torchtitan" in measured:
        other = measured["torchtitan"].tokens_per_second
        found.append(Goal("jpfm over torchtitan", ours.tokens_per_second / other, 1.0))
    return found


def _rows_of(measured: Mapping[str, Measured]) -> str:
    parts = []
    for name, one in measured.items():
        line = one.lines[-1]
        clocks = f", {line['sm_mhz']:.0f} MHz, {line['watts']:.0f} W" if "sm_mhz" in line else ""
        parts.append(f"{name} {one.setting.micro_batch_rows} rows{clocks}")
    return "\n" + "; ".join(parts) + ".\n"
