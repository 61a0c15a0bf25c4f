"""The learning rate as a pure function of the step: nothing to save, nothing to step twice.

    rate = lr_at(step, config.learning_rate, config.num_steps, config.schedule, config.batch_tokens)

Step n is given the rate that the curve has at its end, n + 1: the first step is not lost to a rate of 0, and the last
one has the final rate exactly. Refused: torch's schedulers, whose state must be saved and which accelerate steps once
for each process (a schedule of 1,000 steps is over after 125 on 8 processes).
"""

import math

from jpfm.train.settings import Schedule


def lr_at(step: int, peak: float, steps: int, schedule: Schedule, batch_tokens: int) -> float:
    """Learning rate of one optimizer step.

    Args:
        step: counted from 0. From the last one on, the rate stays.
        peak: the highest rate, which no step exceeds.
        steps: of the whole run; where wsd's decay, the cosine and the line end.
        batch_tokens: tokens of a step, by which lengths that are given in tokens become steps, or fractions of one.

    >>> s = Schedule(kind="wsd", warmup_steps=10, decay_steps=20, final_share=0.0)
    >>> [round(lr_at(n, 1.0, 100, s, 4096), 3) for n in (0, 9, 50, 79, 80, 90, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.95, 0.45, 0.0]
    >>> s = Schedule(kind="wsd", warmup_tokens=6144, decay_tokens=10240, decay="minus_sqrt", final_share=0.1)
    >>> [round(lr_at(n, 1.0, 10, s, 4096), 3) for n in (0, 1, 6, 7, 8, 9)]  # 1.5 steps up, 2.5 down
    [0.667, 1.0, 1.0, 0.598, 0.303, 0.1]
    """
    done = min(step + 1, steps)
    warmup = schedule.warmup(batch_tokens)
    if done < warmup:
        return peak * (done / warmup)
    length = schedule.decay_length(batch_tokens) if schedule.kind == "wsd" else steps - warmup
    left = steps - done
    if schedule.kind == "constant" or left >= length:  # a decay of no length never begins
        return peak
    shape = schedule.decay if schedule.kind == "wsd" else schedule.kind
    return peak * (schedule.final_share + (1 - schedule.final_share) * _height(shape, left / length))


def _height(shape: str, left: float) -> float:
    """Height of a decay from 1 to 0 where the share `left` of its length is still to come."""
    if shape == "linear":
        return left
    if shape == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return 1 - math.sqrt(1 - left)  # minus_sqrt
