"""What comes from an environment, in the form that a stack was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from hplan.types import ObservationSpec, UsageError


def _dtype(spec: ObservationSpec) -> type:
    return np.float32 if spec.kind == "vector" else np.int64


def canonical(observation: Any, spec: ObservationSpec) -> np.ndarray:
    """An environment's observation in the form that `spec` describes: an int becomes a 1 x 1 grid, a box a flat vector.

    Grids of any height and width are welcome, since spatial levels do not care: what was learned on a small one runs on
    a large one. Raises UsageError for another number of features, or for what is no numbers.
    """
    array = np.asarray(observation)
    grid = spec.kind == "symbols" and array.ndim == 3 and array.shape[-1] == spec.shape[-1]
    if array.dtype.kind not in "buif" or (array.size != np.prod(spec.shape) and not grid):
        raise UsageError(
            f"observation of {array.dtype} and shape {array.shape}; this agent sees {spec.kind} of shape {spec.shape}"
        )
    return array.reshape(array.shape if grid else spec.shape).astype(_dtype(spec), copy=False)
