"""A wrong shape is caught in tests, wherever annotations say one, and costs users nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from hplan.objectives.slowness import slowness
from hplan.objectives.vamp2 import vamp2
from hplan.parts import BUILT_IN, find

N, K, D = 4, 6, 3


def rows(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BUILT_IN["objective"])
@pytest.mark.parametrize(
    ("predicted", "candidates", "label"),
    [
        (rows(N, D), rows(K, D + 1), torch.zeros(N, dtype=torch.int64)),
        (rows(N, D), rows(K, D), torch.zeros(N + 1, dtype=torch.int64)),
        (rows(N, D), rows(K, D), rows(N)),
        (rows(2, N, D), rows(K, D), torch.zeros(N, dtype=torch.int64)),
    ],
    ids=["other features", "other rows", "labels of floats", "one axis more"],
)
def test_objectives_take_rows_of_one_width(name: str, predicted: Tensor, candidates: Tensor, label: Tensor) -> None:
    with pytest.raises(TypeCheckError, match=r"label|candidates|predicted"):
        find("objective", name)(D).agreement(predicted, candidates, label)


def test_what_would_broadcast_is_caught() -> None:
    """These give a number without the check, and a wrong one."""
    with pytest.raises(TypeCheckError, match="following"):
        slowness(rows(N, D), rows(1, D))
    with pytest.raises(TypeCheckError, match="weight"):
        vamp2(rows(N, D), rows(N, D), rows(1).abs())


def test_without_the_hook_nothing_is_checked() -> None:
    script = """
import sys, torch
from hplan.objectives.slowness import slowness
slowness(torch.randn(4, 3), torch.randn(1, 3))
assert "beartype" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
