"""How fast tokenizers encode in one thread on this machine: a figure with a clock in it, kept out of an audit's result.

    speeds = measure_speed(tokenizers, texts)

The same audit on another machine has the same id; so its figures of speed lie in `logs/`, which the id does not cover.
"""

import os
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from jpfm.tokens.audit.tokenizer import AuditedTokenizer

_SWITCH = "TOKENIZERS_PARALLELISM"
REPEATS = 3


class Speed(NamedTuple):
    """Encoding in one thread: the median of three runs and the runs, MB (10^6 bytes of UTF-8) a second."""

    tokenizer: str
    megabytes_per_second: float
    runs: tuple[float, ...]
    megabytes: float


def measure_speed(tokenizers: Sequence[AuditedTokenizer], texts: Sequence[str], max_bytes: int) -> list[Speed]:
    """Encode some text with each in turn, three times round, so that a busy moment does not hit one of them alone."""
    taken: list[str] = []
    size = 0
    for text in texts:
        if size >= max_bytes:
            break
        taken.append(text)
        size += len(text.encode())
    runs: list[list[float]] = [[] for _ in tokenizers]
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "false"  # the library asks at every call
    try:
        for tokenizer in tokenizers:
            tokenizer.backend.encode_only(taken[:1])
        for _ in range(REPEATS):
            for place, tokenizer in enumerate(tokenizers):
                start = time.perf_counter()
                tokenizer.backend.encode_only(taken)
                runs[place].append(size / 1e6 / (time.perf_counter() - start))
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
    return [
        Speed(tokenizer.name, round(statistics.median(rates), 3), tuple(round(rate, 3) for rate in rates), size / 1e6)
        for tokenizer, rates in zip(tokenizers, runs, strict=True)
    ]
