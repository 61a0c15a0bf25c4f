"""How often a document should be seen in training, from how many copies of it were found.

- step: near_duplicates
- step: rehydration_weight
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pydantic

from jpfm.data.steps.base import Signal

_Weight = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
_FINEWEB2 = ((1, 1.0), (2, 2.0), (3, 3.0), (5, 5.0), (100, 8.0), (1000, 1.0))


class RehydrationWeight(Signal):
    """Add `rehydration_weight` by `cluster_size`: what many sites copy is worth more, what thousands copy is not.

    Source: FineWeb2 README (1:1 2:2 3:3 4:3 5-99:5 100-999:8 >=1000:1).
    """

    needs = ("cluster_size",)
    adds = ("rehydration_weight",)

    step: Literal["rehydration_weight"]
    weights: Annotated[tuple[tuple[int, _Weight], ...], pydantic.Field(min_length=1)] = _FINEWEB2
    """(smallest cluster, weight), ascending; the first cluster is 1."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "RehydrationWeight":
        sizes = [size for size, _ in self.weights]
        if sizes[0] != 1 or sizes != sorted(set(sizes)):
            raise ValueError(f"weights begin at clusters of 1 and ascend, found {sizes}")
        return self

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The weight of each document."""
        sizes, weights = (np.array(column) for column in zip(*self.weights, strict=True))
        cluster = batch.column("cluster_size").to_numpy(zero_copy_only=False)
        return {
            "rehydration_weight": pa.array(weights[np.searchsorted(sizes, cluster, side="right") - 1], pa.float32())
        }
