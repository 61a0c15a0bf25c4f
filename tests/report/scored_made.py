"""Folders of scores as `jpfm eval --follow` leaves them, of the runs in run_made."""

from collections.abc import Sequence
from pathlib import Path

from tests.report.made import make_scores, task
from tests.report.run_made import BATCH_TOKENS

from jpfm.core.artifact import Artifact


def scores(out: Path, steps: Sequence[int], *, last: Artifact | None = None, shift: float = 0.0) -> Path:
    """Two tasks at each step; one has no interval at the first, the other no value at the second."""
    for number, step in enumerate(steps):
        ends = last is not None and step == steps[-1]
        value, bits = 0.2 + 0.4 * step / (step + 500) + shift, 2.4 + 3.0 / (1 + step / 90) - shift
        tasks = [
            task("jcommonsenseqa", value, value - 0.03, value + 0.031),
            task(
                "bits_per_character", bits, bits - 0.2 if number else None, bits + 0.2 if number else None,
                title={"ja": "文字あたりビット数", "en": "Bits per character"}, metric="bits_per_character",
                higher_is_better=False, interval="bootstrap over documents, 95 %",
            ),
        ]  # fmt: skip
        if number == 1:
            tasks[0] |= {"value": None, "low": None, "high": None}
        made = last.id if ends and last is not None else f"checkpoint-{step:012x}"
        facts = {"id": made, "name": f"step-{step:08d}", "step": step, "tokens_seen": step * BATCH_TOKENS}
        make_scores(out / f"step-{step:08d}", None, tasks, model=facts, items={"jcommonsenseqa": []})
    return out
