"""Which data each optimizer step reads, where that is not simply its own: after a rewind, or on a branch.

    windows = Windows(((0, 0), (90, 11)))            # from step 90 on, step n reads the data of step n + 11
    windows.data_step(95)                            # 106
    Read.of(manifest.config, manifest.stats).spans() # which steps of a checkpoint read which data

Steps count from 0. The table stands in each checkpoint, so what a step saw stays a pure function of what is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Shifts in order of their first step."""

    pairs: Pairs = ((0, 0),)

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> "Windows":
        """From the figures of a checkpoint's manifest, which name them only where there is something to say."""
        return cls(tuple((int(first), int(shift)) for first, shift in stats.get("windows", ((0, 0),))))

    def data_step(self, step: int) -> int:
        """The data step that an optimizer step reads.

        >>> [Windows(((0, 0), (90, 11))).data_step(n) for n in (89, 90)]
        [89, 101]
        """
        return step + next(shift for first, shift in reversed(self.pairs) if step >= first)

    def shift(self, step: int) -> int:
        """data_step(step) - step."""
        return self.data_step(step) - step

    def after_rewind(self, to_step: int, at_step: int) -> "Windows":
        """The windows of a run that goes back to `to_step` and on with the data after that of `at_step`."""
        return self.then(to_step, self.data_step(at_step) + 1 - to_step)

    def then(self, first: int, shift: int) -> "Windows":
        """The same up to step `first`, with this shift from there on."""
        kept = Windows(tuple(pair for pair in self.pairs if pair[0] < first))
        if kept.pairs and kept.shift(first) == shift:
            return kept
        return Windows((*kept.pairs, (first, shift)))

    def spans(self, steps: int, begin: int = 0) -> Iterator[tuple[int, int, int]]:
        """(first step, last step exclusive, shift) of the steps from `begin` to `steps`."""
        ends = [*(first for first, _ in self.pairs[1:]), steps]
        for (first, shift), end in zip(self.pairs, ends, strict=True):
            if min(end, steps) > max(first, begin):
                yield max(first, begin), min(end, steps), shift


@dataclass(frozen=True)
class Read:
    """What a checkpoint's own run read: its steps, and the data of each. Steps before a branch are another run's."""

    begin: int
    """Steps that were done where it branched off; 0 for a run from the start."""
    steps: int
    """Steps done."""
    windows: Windows

    @classmethod
    def of(cls, config: Mapping[str, Any], stats: Mapping[str, Any]) -> "Read":
        """From a checkpoint's manifest, intermediate or final."""
        steps = stats.get("step") or stats.get("steps") or config.get("step") or config.get("steps") or 0
        return cls(int(config.get("branch_at") or 0), int(steps), Windows.of(stats))

    def spans(self) -> list[tuple[int, int, int]]:
        """(first step, last step exclusive, shift): step n read the data of step n + shift. Counted from 0."""
        return list(self.windows.spans(self.steps, self.begin))

    @property
    def data_steps(self) -> int:
        """Data steps that cover all that was read."""
        return max((end + shift for _, end, shift in self.spans()), default=0)
