"""Training speed: jpfm beside Hugging Face's Trainer, a plain torch loop and torchtitan, each in a process of its own.

    python -m benchmarks.train.speed --data SCRATCH --raw ../shared/data/raw      # CPU, 8M
    python -m benchmarks.train.speed --data SCRATCH --loss                        # time to a held-out loss
    python -m benchmarks.train.speed --data SCRATCH --stall                       # what a checkpoint costs
    python -m benchmarks.train.speed --data SCRATCH --device cuda                 # one GPU
    python -m benchmarks.train.speed --data SCRATCH --device cuda --small         # the same, tiny, on a CPU

Arms run in random order, three repeats, and the median counts. All begin with the same weights and read the same rows.
`--record NAME` writes `benchmarks/results/NAME.{json,md}`.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.train import arm, loss, page, prepare, stall, sweep
from benchmarks.train.hugging_face import TRIED
from benchmarks.train.page import Goal
from benchmarks.train.runs import Machine, Measured, measure, peak, say
from benchmarks.train.setting import Setting

CPU_ARMS = ("jpfm", "jpfm_compiled", "jpfm_muon", "hf_trainer", "hf_trainer_best", "plain", "plain_blocks",
            "plain_compiled", "torchtitan")  # fmt: skip
_NOTE = (
    "Trainer and the plain loop let documents that share a row see each other; jpfm and torchtitan keep them apart. "
    "Hugging Face's Trainer with defaults computes in fp32 on a CPU; all others in bf16. `hf_trainer_best` is the "
    "fastest of: {tried}. First step after: from the start of the process to the end of its first step, compiler "
    "caches empty. MFU: 6 (N - embedding lookup) + 12 L d s FLOP a token over {peak:.4g} FLOP/s ({source}).\n"
)


def available(names: Sequence[str], device: str) -> tuple[list[str], list[str]]:
    """Arms that run here, and a line for each that does not."""
    reasons = {name: arm.missing(name, device) for name in names}
    return [name for name in names if reasons[name] is None], [
        f"{name}: {why}" for name, why in reasons.items() if why is not None
    ]


def best_of_trainer(setting: Setting, machine: Machine) -> str:
    """The fastest of Trainer's settings that were tried, by a short run of each."""
    found = measure(list(TRIED), setting.but(warm=3, timed=6), machine, 1)
    return min(found, key=lambda name: found[name].step_seconds)


def cpu(setting: Setting, names: Sequence[str], machine: Machine, repeats: int) -> tuple[dict[str, Any], str]:
    """The arms on a CPU, and what is asked of them."""
    facts = page.environment(machine.threads)
    own = list(names)
    if "hf_trainer_best" in own:
        own[own.index("hf_trainer_best")] = best_of_trainer(setting, machine)
    own, absent = available(list(dict.fromkeys(own)), "cpu")
    for line in absent:
        say(line)
    flops, source = peak(setting, machine)
    failed: dict[str, str] = {}
    measured = measure(own, setting, machine, repeats, failed)
    found = cpu_goals(measured)
    text = page.heading("Training, 8M Llama on a CPU", facts)
    text += f"{setting.step_tokens:,} tokens a step in rows of {setting.seq_len}, {setting.warm} warm and "
    text += f"{setting.timed} timed steps, {repeats} repeats in random order.\n\n"
    text += page.table(measured, flops) + page.failures(failed) + page.goals(found) + "\n"
    text += _NOTE.format(tried=", ".join(TRIED), peak=flops, source=source) + "".join(f"{line}.\n" for line in absent)
    result = {
        "environment": facts,
        "arms": page.plain(measured),
        "peak": {"flops": flops, "source": source},
        "absent": absent,
        "failed": failed,
        "goals": [goal._asdict() | {"reached": goal.reached} for goal in found],
    }
    return result, text


def cpu_goals(measured: Mapping[str, Measured]) -> list[Goal]:
    """Speed ratios; what was not measured is left out."""
    speed = {name: one.tokens_per_second for name, one in measured.items()}
    ours = max((speed[name] for name in ("jpfm", "jpfm_compiled") if name in speed), default=0.0)
    tried = [speed[name] for name in TRIED if name in speed]
    pairs: list[tuple[str, float | None, float | None, float]] = [
        ("jpfm by default over Trainer by default", speed.get("jpfm"), speed.get("hf_trainer"), 2.0),
        ("jpfm over Trainer at its best settings", ours, max(tried, default=None), 1.15),
        ("jpfm over the plain loop, both eager", speed.get("jpfm"), speed.get("plain"), 1.0),
        ("jpfm over the plain loop, both compiled", speed.get("jpfm_compiled"), speed.get("plain_compiled"), 1.0),
    ]
    found = [Goal(words, own / other, wanted) for words, own, other, wanted in pairs if own and other]
    if "jpfm" in measured:
        seconds = measured["jpfm"].median("start_seconds")
        found.append(Goal("seconds from start to first step", seconds, 20.0, at_least=False))
    return found


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that tokens are made in, once")
    parser.add_argument("--raw", type=Path, help="public files that data_recipes/japanese-open.yaml names")
    parser.add_argument("--tokens", type=Path, help="a tokens artifact instead; with --tokenizer")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--arms", nargs="+", choices=(*arm.ALL, "hf_trainer_best"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm", type=int)
    parser.add_argument("--timed", type=int)
    parser.add_argument("--small", action="store_true", help="tiny, on a CPU: to see that it works")
    parser.add_argument("--record", metavar="NAME")
    parser.add_argument("--loss", action="store_true")
    parser.add_argument("--loss-steps", type=int, default=600)
    parser.add_argument("--stall", action="store_true")
    parser.add_argument("--sizes", nargs="+", default=["1B", "8B-8L"], choices=list(sweep.SIZES))
    parser.add_argument("--seq-lens", nargs="+", type=int, default=[4096, 8192])
    parser.add_argument("--vocabularies", nargs="+", type=int, default=[128_256, 196_608])
    parser.add_argument("--texts", nargs="+", default=["random", "japanese"], choices=["random", "japanese"])
    parser.add_argument("--micro-batches", nargs="+", choices=["same", "best"], default=["same", "best"])
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for."""
    given = parsed()
    if given.tokens is not None:
        tokens, tokenizer = given.tokens, given.tokenizer or given.tokens.parent / "tokenizer"
    else:
        tokens, tokenizer = prepare.japanese(given.data, given.raw)
    machine = Machine(given.threads)
    base = Setting(tokens=str(tokens.absolute()), tokenizer=str(tokenizer.absolute()))
    if given.small:
        base = base.but(model={"size": "1M"}, seq_len=128, micro_batch_rows=4, rows_per_step=4)
    steps = {name: value for name, value in (("warm", given.warm), ("timed", given.timed)) if value is not None}
    if given.stall:
        result, text = stall.measure_stall(base, machine, small=given.small)
    elif given.loss:
        result, text = loss.measure_loss(base, machine, given.loss_steps)
    elif given.device == "cuda":
        result, text = sweep.cuda(base, given, machine, steps)
    else:
        result, text = cpu(base.but(**steps), given.arms or CPU_ARMS, machine, given.repeats)
    print(text)
    if given.record:
        page.write(given.record, result, text)


if __name__ == "__main__":
    main()
