"""How hard a preflight tries: sizes, repeats, and how long it waits."""

from typing import Annotated

import pydantic

from jpfm.core.config import Settings

_Count = Annotated[int, pydantic.Field(ge=1)]
_Seconds = Annotated[float, pydantic.Field(gt=0)]


class Trial(Settings):
    """Measured with the defaults: 10 s for two nodes that are processes of one 2-core machine. Not measured on GPUs."""

    join_seconds: _Seconds = 300.0
    """How long the first process waits for the others to start."""
    patience_seconds: _Seconds = 60.0
    """How long a node may take for one act: to find a partner, an all-reduce, a disk that answers."""
    message_mib: Annotated[int, pydantic.Field(ge=1, le=4096)] | None = None
    """Of an all-reduce; null: 1024 on GPUs of 32 GB and more, 256 on smaller ones, 32 on a CPU."""
    repeats: _Count = 5
    """Of an all-reduce, after two that do not count."""
    disk_mib: _Count = 256
    """That each node writes, twice, and reads."""
    disk_seconds: _Seconds = 10.0
    """A slow disk is written for so long at most."""
    seen_seconds: Annotated[float, pydantic.Field(ge=0)] = 10.0
    """In which a file must be seen by all nodes."""
