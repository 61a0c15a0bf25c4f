"""Read batches ahead of the training step, in a thread, into buffers that are used again.

    with Loader(order, start=100, stop=200, rank=0, world=2) as loader:
        for step, rows in loader:                       # (rows, seq_len + 1) uint32, valid until the next turn

Copying from the page cache runs at more than 10^8 tokens a second, far above what training takes; what costs is a page
that is not in memory yet. The thread takes that wait while the step computes. `allocate` makes the buffers (pinned
memory for a GPU). What goes wrong in the thread is raised in the loop.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from jpfm.tokens.order import TokenOrder

Buffer = npt.NDArray[np.uint32]


def plain(shape: tuple[int, int]) -> Buffer:
    """A buffer in main memory."""
    return np.empty(shape, dtype=np.uint32)


class Loader:
    """An iterator over (step, rows) of one rank.

    Args:
        ahead: batches that are read before they are asked for.
        allocate: makes a buffer of a shape.
    """

    def __init__(
        self, order: TokenOrder, start: int, stop: int, rank: int = 0, world: int = 1, *, ahead: int = 2,
        allocate: Callable[[tuple[int, int]], Buffer] = plain,
    ) -> None:  # fmt: skip
        order.batch(start, rank, world)  # what cannot be read or split is said here
        shape = (order.rows_per_step // world, order.seq_len + 1)
        self._order, self._steps, self._rank, self._world = order, range(start, stop), rank, world
        self._free: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(ahead + 1):
            self._free.put(allocate(shape))
        self._thread = threading.Thread(target=self._read, name="token loader", daemon=True)

    def _read(self) -> None:
        try:
            for step in self._steps:
                buffer = self._free.get()
                if buffer is None:
                    return
                self._order.fill(buffer, step, self._rank, self._world)
                self._ready.put((step, buffer))
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is asked for
            self._ready.put(error)

    def __enter__(self) -> "Loader":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.put(None)
        while self._thread.is_alive():
            self._thread.join(0.05)
            self._free.put(None)

    def __iter__(self) -> Iterator[tuple[int, Buffer]]:
        for _ in self._steps:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            step, buffer = item
            yield step, buffer
            self._free.put(buffer)
