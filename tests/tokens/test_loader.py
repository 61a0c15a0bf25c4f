"""Batches read ahead: the same as `batch`, in order, buffers kept apart, errors where they are asked for."""

import threading
from pathlib import Path

import numpy as np
import pytest

from jpfm.core.artifact import Artifact
from jpfm.tokens.loader import Loader
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.store import TokenStore


@pytest.fixture(scope="module")
def order(tokens: Artifact) -> TokenOrder:
    return TokenOrder(TokenStore.open(tokens), 64, 8)


@pytest.mark.parametrize(("rank", "world", "ahead"), [(0, 1, 2), (1, 4, 1), (3, 4, 7)])
def test_it_gives_the_batches_of_the_order(order: TokenOrder, rank: int, world: int, ahead: int) -> None:
    with Loader(order, 5, 40, rank, world, ahead=ahead) as loader:
        for expected, (step, rows) in zip(range(5, 40), loader, strict=True):
            assert step == expected
            assert np.array_equal(rows, order.batch(step, rank, world))


def test_a_batch_stays_as_it_is_until_the_next_turn(order: TokenOrder) -> None:
    with Loader(order, 0, 30, ahead=1) as loader:
        for step, rows in loader:
            threading.Event().wait(0.002)  # the thread reads on meanwhile
            assert np.array_equal(rows, order.batch(step))


def test_buffers_are_those_that_were_allocated(order: TokenOrder) -> None:
    made: list[int] = []

    def allocate(shape: tuple[int, int]) -> np.ndarray:
        buffer = np.zeros(shape, dtype=np.uint32)
        made.append(buffer.__array_interface__["data"][0])
        return buffer

    with Loader(order, 0, 20, allocate=allocate) as loader:
        used = {rows.__array_interface__["data"][0] for _, rows in loader}
    assert used == set(made)
    assert len(made) == 3


def test_leaving_early_ends_the_thread(order: TokenOrder) -> None:
    with Loader(order, 0, 10**9) as loader:
        next(iter(loader))
    assert not loader._thread.is_alive()
    with Loader(order, 7, 7) as empty:
        assert list(empty) == []


def test_what_goes_wrong_in_the_thread_is_raised_in_the_loop(tokens: Artifact, tmp_path: Path) -> None:
    order = TokenOrder(TokenStore.open(tokens), 64, 8)
    with Loader(order, 0, 50) as loader:  # files that are lost while it runs
        turns = iter(loader)
        next(turns)
        order.store._maps.clear()
        object.__setattr__(order.store, "files", tuple(f._replace(prefix=tmp_path / "gone") for f in order.store.files))
        with pytest.raises(FileNotFoundError):
            list(turns)
