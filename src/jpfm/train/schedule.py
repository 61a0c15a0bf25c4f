"""The learning rate as a pure function of the step: nothing to save, nothing to step twice."""

import math

from jpfm.train.config import Schedule


def lr_at(step: int, peak: float, steps: int, schedule: Schedule) -> float:
    """Learning rate of a step (counted from 0).

    >>> s = Schedule(kind="wsd", warmup_steps=10, decay_steps=20, final_share=0.0)
    >>> [round(lr_at(n, 1.0, 100, s), 3) for n in (0, 9, 50, 79, 90, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.45, 0.0]
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    floor = peak * schedule.final_share
    if schedule.kind == "wsd":
        start, length = steps - schedule.decay_steps, schedule.decay_steps
        if step < start:
            return peak
        share = (step - start + 1) / length
        return peak + (floor - peak) * share
    share = (step - schedule.warmup_steps + 1) / max(1, steps - schedule.warmup_steps)
    if schedule.kind == "linear":
        return peak + (floor - peak) * share
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
