"""How whole matrices come together from the parts that processes hold, for Muon, and how the results go back.

Four ways, by the layout of a parameter; each process makes about the same number of products in the first two:

- `Exchanged`, a matrix split over processes (FSDP2, the shards of HSDP, tensor parallel, both): each process gets some
  matrices whole by one all-to-all, and sends the pieces of the results back by another. 4 bytes an element, as much as
  one all-gather of bfloat16 weights and one reduce-scatter of bfloat16 gradients; nothing is computed twice.
- `Shared`, one that every process has whole (DDP): each process does some and broadcasts the results, so that the
  copies stay equal even where devices round differently. 2 bytes an element. Refused: all by everyone, 46 TFLOP
  beside the 590 of a step of a 1B model with 64k tokens a GPU (counted), instead of 6 on 8 GPUs and 2 GB received.
- `Here`, whole matrices that no other has (experts split by expert) or that copies do alike (one process, HSDP).
- `Gathered`, experts whose matrices are split: everyone gathers and does everything.

The communication of one route overlaps with the products of its neighbours (`pipeline`).
"""

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from jpfm.train.optim.newton_schulz import Orthogonal, orthogonalise, portions

ROUTE_ELEMENTS = 1 << 26
"""Elements of whole matrices that one process has at a time; 128 MiB in bfloat16."""

Update = Callable[[int], Tensor]
"""The update of the parameter at an index, before it is orthogonalised: this process's part."""
Work = Generator[None, None, Orthogonal]
"""Stops where it waits for other processes; returns this process's parts of the results."""


class Route(Protocol):
    """One way for some parameters."""

    indices: Sequence[int]
    """Places in the list of parameters."""
    copies: int
    """How many processes do the same products, of all that train."""

    def orthogonal(self, update: Update, steps: int, dtype: torch.dtype) -> Work:
        """This process's parts of the orthogonalised updates, in the order of `indices`."""


class Block(NamedTuple):
    """The part of a matrix that a process has."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process has, without a copy."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def processes() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def shard_dimensions(parameter: Tensor) -> list[int]:
    """The mesh dimensions that a parameter is split over."""
    if not isinstance(parameter, DTensor):
        return []
    sizes = parameter.device_mesh.shape
    return [
        at for at, (size, how) in enumerate(zip(sizes, parameter.placements, strict=True)) if size > 1 and _splits(how)
    ]


def copies(parameter: Tensor) -> int:
    """How many processes have the same part of a parameter."""
    split = [parameter.device_mesh.shape[at] for at in shard_dimensions(parameter)]
    return processes() // math.prod(split)


def pipeline(works: Iterable[Iterator[None]]) -> None:
    """Run each to its end: the next is begun, and computes, before an older one waits for its results."""
    done = object()
    running: list[Iterator[None]] = []  # the newest first
    for work in works:
        begun = [work] if next(work, done) is not done else []
        running = begun + [older for older in running if next(older, done) is not done]
    while running:
        running = [older for older in running if next(older, done) is not done]


def routes(parameters: Sequence[Tensor]) -> list[Route]:
    """Ways for all parameters, in an order that is the same on every process.

    Args:
        parameters: of shape (rows, columns), or (experts, rows, columns).
    """
    ways: dict[tuple[Any, ...], list[int]] = {}
    for index, parameter in enumerate(parameters):
        split = shard_dimensions(parameter)
        if not isinstance(parameter, DTensor) and processes() > 1:
            way: tuple[Any, ...] = ("shared",)
        elif not split or (parameter.ndim == 3 and all(parameter.placements[at].dim == 0 for at in split)):
            way = ("here", copies(parameter))
        elif parameter.ndim == 2:
            way = ("exchanged", parameter.device_mesh, tuple(split))
        else:
            way = ("gathered",)
        ways.setdefault(way, []).append(index)
    found: list[Route] = []
    for (name, *details), indices in ways.items():
        group = _group(details[0], details[1]) if name == "exchanged" else None
        parallel = dist.get_world_size(group) if name in ("exchanged", "shared") else 1
        for some in portions(parameters, indices, ROUTE_ELEMENTS * parallel):
            if name == "here":
                found.append(Here(some, details[0], parameters))
            elif name == "shared":
                found.append(Shared(some, parameters))
            elif name == "exchanged":
                found.append(Exchanged(some, parameters, group))
            else:
                found.append(Gathered(some, parameters))
    return found


class Here:
    """Whole matrices on this process; nothing is sent."""

    def __init__(self, indices: Sequence[int], copies: int, parameters: Sequence[Tensor]) -> None:
        self.indices, self.copies = indices, copies
        self._device = parameters[indices[0]].device

    def orthogonal(self, update: Update, steps: int, dtype: torch.dtype) -> Work:
        """See `Route`."""
        yield from ()
        return orthogonalise([update(index) for index in self.indices], steps, dtype, self._device)


class Shared:
    """Every process has all matrices: each does its own and broadcasts them."""

    copies = 1

    def __init__(self, indices: Sequence[int], parameters: Sequence[Tensor]) -> None:
        self.indices = indices
        self._shapes = [parameters[index].shape for index in indices]
        self._device = parameters[indices[0]].device
        self._owned = _owned(self._shapes, processes())

    def orthogonal(self, update: Update, steps: int, dtype: torch.dtype) -> Work:
        """See `Route`."""
        mine = self._owned[dist.get_rank()]
        done = orthogonalise([update(self.indices[place]) for place in mine], steps, dtype, self._device)
        pieces: list[Tensor] = [torch.empty(0)] * len(self.indices)
        sent = []
        for rank, places in enumerate(self._owned):
            if not places:
                continue
            sizes = [self._shapes[place].numel() for place in places]
            buffer = torch.empty(sum(sizes), dtype=dtype, device=self._device)
            for place, part in zip(places, buffer.split(sizes), strict=True):
                pieces[place] = part.view(self._shapes[place])
            if rank == dist.get_rank():
                _copy([pieces[place] for place in mine], done.matrices)
            sent.append(dist.broadcast(buffer, src=rank, async_op=True))
        yield
        for work in sent:
            work.wait()
        return Orthogonal(pieces, done.square_sum)


class Exchanged:
    """Each process has a block of every matrix: whole ones by an all-to-all, and the pieces back by another."""

    def __init__(self, indices: Sequence[int], parameters: Sequence[DTensor], group: dist.ProcessGroup) -> None:
        self.indices, self._group = indices, group
        self._rank, size = dist.get_rank(group), dist.get_world_size(group)
        self.copies = processes() // size
        self._shapes = [parameters[index].shape for index in indices]
        self._device = parameters[indices[0]].device
        self._owned = _owned(self._shapes, size)
        members = dist.get_process_group_ranks(group)
        self._blocks = [[block(parameters[index], member) for member in members] for index in indices]
        for place, index in enumerate(indices):
            expected, found = self._blocks[place][self._rank].shape, tuple(local(parameters[index]).shape)
            if expected[0] * expected[1] and expected != found:
                raise AssertionError(f"shard of a parameter {self._shapes[place]}: {found}, expected {expected}")

    def orthogonal(self, update: Update, steps: int, dtype: torch.dtype) -> Work:
        """See `Route`."""
        size, mine = len(self._owned), self._owned[self._rank]
        of_others = [[self._blocks[place][self._rank] for place in places] for places in self._owned]
        of_mine = [[self._blocks[place][rank] for place in mine] for rank in range(size)]
        order = list(itertools.chain.from_iterable(self._owned))

        updates, parts = self._buffer(of_others, dtype)
        _copy(parts, [update(self.indices[place]) for place in order])
        received, parts = self._buffer(of_mine, dtype)
        work = self._exchange(received, of_mine, updates, of_others)
        yield
        work.wait()
        whole = [torch.empty(self._shapes[place], dtype=dtype, device=self._device) for place in mine]
        views = [matrix[at.rows, at.columns] for blocks in of_mine for matrix, at in zip(whole, blocks, strict=True)]
        _copy(views, parts)
        done = orthogonalise(whole, steps, dtype, self._device)
        _copy(
            parts,
            [
                matrix[at.rows, at.columns]
                for blocks in of_mine
                for matrix, at in zip(done.matrices, blocks, strict=True)
            ],
        )
        results, parts = self._buffer(of_others, dtype)
        work = self._exchange(results, of_others, received, of_mine)
        yield
        work.wait()
        pieces: list[Tensor] = [torch.empty(0)] * len(order)
        for place, part in zip(order, parts, strict=True):
            pieces[place] = part
        return Orthogonal(pieces, done.square_sum)

    def _buffer(self, blocks: Sequence[Sequence[Block]], dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
        """Room for blocks by process, and a view of it for each."""
        flat = [at for of_one in blocks for at in of_one]
        buffer = torch.empty(sum(at.elements for at in flat), dtype=dtype, device=self._device)
        parts = buffer.split([at.elements for at in flat])
        return buffer, [part.view(at.shape) for part, at in zip(parts, flat, strict=True)]

    def _exchange(
        self, to: Tensor, to_blocks: Sequence[Sequence[Block]], source: Tensor, source_blocks: Sequence[Sequence[Block]]
    ) -> dist.Work:
        counts = [[sum(at.elements for at in of_one) for of_one in blocks] for blocks in (to_blocks, source_blocks)]
        return dist.all_to_all_single(to, source, *counts, group=self._group, async_op=True)


class Gathered:
    """Stacks of matrices that are split: every process gathers all and does all."""

    def __init__(self, indices: Sequence[int], parameters: Sequence[DTensor]) -> None:
        self.indices, self.copies = indices, processes()
        self._parameters = [parameters[index] for index in indices]

    def orthogonal(self, update: Update, steps: int, dtype: torch.dtype) -> Work:
        """See `Route`."""
        yield from ()
        whole = []
        for index, parameter in zip(self.indices, self._parameters, strict=True):
            part = DTensor.from_local(
                update(index).to(dtype), parameter.device_mesh, parameter.placements,
                run_check=False, shape=parameter.shape, stride=parameter.stride(),
            )  # fmt: skip
            whole.append(part.full_tensor())
        done = orthogonalise(whole, steps, dtype, self._parameters[0].device)
        pieces = []
        for matrix, parameter in zip(done.matrices, self._parameters, strict=True):
            mesh = parameter.device_mesh
            everywhere = DTensor.from_local(matrix.contiguous(), mesh, [Replicate()] * mesh.ndim, run_check=False)
            pieces.append(local(everywhere.redistribute(mesh, parameter.placements)))
        return Orthogonal(pieces, done.square_sum)


def block(parameter: DTensor, member: int) -> Block:
    """The part of a matrix that a process has, by its rank among all; chunks as torch.chunk cuts them.

    FSDP2 cuts what tensor parallel has cut before, though its mesh dimension comes first (`_StridedShard`).
    """
    mesh = parameter.device_mesh
    coordinate = (mesh.mesh == member).nonzero()[0].tolist()
    bounds = [(0, size) for size in parameter.shape]
    order = sorted(shard_dimensions(parameter), key=lambda at: isinstance(parameter.placements[at], _StridedShard))
    for at in order:
        dimension = parameter.placements[at].dim
        start, stop = bounds[dimension]
        chunk = -(-(stop - start) // mesh.shape[at])
        bounds[dimension] = (min(start + coordinate[at] * chunk, stop), min(start + (coordinate[at] + 1) * chunk, stop))
    return Block(slice(*bounds[0]), slice(*bounds[1]))


def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    if targets:  # the kernel refuses none
        torch._foreach_copy_(targets, sources)


def _splits(placement: Any) -> bool:
    return isinstance(placement, Shard | _StridedShard)


def _group(mesh: Any, split: Sequence[int]) -> dist.ProcessGroup:
    """The processes that together have one copy of a parameter."""
    if len(split) == 1:
        return mesh.get_group(split[0])
    place = tuple(slice(None) if at in split else mine for at, mine in enumerate(mesh.get_coordinate()))
    ranks = sorted(mesh.mesh[place].flatten().tolist())
    if len(ranks) == processes():
        return dist.group.WORLD
    return dist.new_group(ranks, use_local_synchronization=True)


def _owned(shapes: Sequence[torch.Size], count: int) -> list[list[int]]:
    """Which process does which matrices: the dearest first, each by the one that has least to do."""
    costs = [shape.numel() * min(shape[-2:]) for shape in shapes]
    loads = [0] * count
    owned: list[list[int]] = [[] for _ in range(count)]
    for place in sorted(range(len(shapes)), key=lambda place: (-costs[place], place)):
        rank = loads.index(min(loads))
        owned[rank].append(place)
        loads[rank] += costs[place]
    return owned
