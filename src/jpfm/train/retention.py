"""Which checkpoints of a run stay, and why: a pure function of what there is."""

from collections.abc import Sequence

from jpfm.train.settings import Save


def retained(checkpoints: Sequence[tuple[int, int, float | None]], save: Save) -> dict[int, tuple[str, ...]]:
    """Which checkpoints stay, and why.

    >>> kept = retained([(10, 100, 2.0), (20, 200, 1.0), (30, 300, 1.5)], Save(keep_last=1, keep_best=1))
    >>> kept
    {20: ('best',), 30: ('last',)}

    Args:
        checkpoints: (step, tokens seen, bits per character on held-out text), ascending.
    """
    reasons: dict[int, list[str]] = {}
    for step, _, _ in checkpoints[-save.keep_last :]:
        reasons.setdefault(step, []).append("last")
    if save.keep_every_tokens is not None:
        passed = -1
        for step, tokens, _ in checkpoints:
            if (number := tokens // save.keep_every_tokens) > max(passed, 0):
                reasons.setdefault(step, []).append("every")
            passed = max(passed, number)
    scored = sorted((value, step) for step, _, value in checkpoints if value is not None)
    for _, step in scored[: save.keep_best]:
        reasons.setdefault(step, []).append("best")
    return {step: tuple(reasons[step]) for step in sorted(reasons)}
