"""Which data a step reads after rewinds and branches: against a run that is written down step by step."""

import hypothesis
import pytest
from hypothesis import strategies

from jpfm.train.windows import Read, Windows


@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.integers(0, 8), strategies.integers(0, 8)), max_size=6),
    strategies.integers(1, 60),
)
def test_rewinds_as_a_run_makes_them(rewinds: list[tuple[int, int]], more: int) -> None:
    """`(on, back)`: so many steps on, one is a fault, and the run goes so many steps back."""
    windows, read, data = Windows(), [], 0
    for on, back in rewinds:
        for _ in range(on):
            read.append(data)
            data += 1
        step = len(read)  # this one is the fault: its data is read, and no step of the result learns from it
        assert windows.data_step(step) == data
        target = max(0, step - back)
        windows = windows.after_rewind(target, step)
        del read[target:]
        data += 1
    for _ in range(more):
        read.append(data)
        data += 1
    assert [windows.data_step(step) for step in range(len(read))] == read
    assert [n + shift for first, last, shift in windows.spans(len(read)) for n in range(first, last)] == read
    assert len(set(read)) == len(read)  # no data twice
    firsts = [first for first, _ in windows.pairs]
    assert firsts == sorted(set(firsts))


def test_a_branch_reads_its_own_steps() -> None:
    stats = {"steps": 20, "windows": [[0, 0], [8, -4]]}
    read = Read.of({"branch_at": 8}, stats)
    assert read.spans() == [(8, 20, -4)]
    assert read.data_steps == 16
    assert Read.of({}, {"step": 5}).spans() == [(0, 5, 0)]


@pytest.mark.parametrize(("step", "data"), [(0, 0), (89, 89), (90, 101), (95, 106)])
def test_the_example_of_the_module(step: int, data: int) -> None:
    assert Windows(((0, 0), (90, 11))).data_step(step) == data
