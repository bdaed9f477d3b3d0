"""Environments that draw from numpy's global generator: each has one of its own, and the user's stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def numpy_random(own: np.random.RandomState) -> Iterator[None]:
    """numpy's global generator is `own` meanwhile, and as it was before afterwards."""
    outside = np.random.get_state()  # noqa: NPY002
    np.random.set_state(own.get_state())  # noqa: NPY002
    try:
        yield
    finally:
        own.set_state(np.random.get_state())  # noqa: NPY002
        np.random.set_state(outside)  # noqa: NPY002
