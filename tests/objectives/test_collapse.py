"""Who is warned of: levels that were made to collapse in one way each, and none that is healthy."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from hplan.levels.spaces import DiscreteMap, VectorSpace
from hplan.objectives.collapse import examine, macro_sensitivity, warn_of_collapse
from hplan.types import CollapseWarning, MacroSpec


class Toy:
    """Predicts z + `hears` * macro, of which each is as likely as any other, but for those that are `impossible`."""

    index, stride = 3, 1.0
    space: Any = VectorSpace(latent=16)

    def __init__(
        self, *, space: Any = None, hears: float = 1.0, impossible: tuple[int, ...] = (), kind: str = "discrete"
    ) -> None:
        self.hears, self.impossible = hears, list(impossible)
        self.space = space or self.space
        self.macro = MacroSpec(kind, 3) if kind == "discrete" else MacroSpec(kind, 1, low=(-1.0,), high=(1.0,))  # type: ignore[arg-type]

    def prior(self, z: Tensor) -> Tensor:
        log_p = torch.full((len(z), 3), -1.0)
        log_p[:, self.impossible] = -1e4
        return log_p

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z + self.hears * macro.view(-1, *[1] * (z.ndim - 1))

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).abs().flatten(1).amax(1)


def rows(count: int, size: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(0))


def codes(vectors: Tensor) -> DiscreteMap:
    """The latent space with these symbols."""
    space = DiscreteMap(vocabulary=len(vectors), channels=vectors.shape[1])
    space.set_codes(torch.nn.functional.normalize(vectors, dim=1))
    return space


def symbols(count: int) -> Tensor:
    """Maps (40, 2, 2) of so many symbols, the first of which is nearly everywhere."""
    which = torch.zeros(40, 2, 2, dtype=torch.long)
    which[torch.arange(40), 0, 0] = torch.arange(40) % count
    return which


def level(**options) -> Toy:
    return Toy(**options)


HEALTHY = {
    "vectors": (None, rows(400, 16)),
    "symbols": (codes(rows(9, 16)), symbols(9)),
    "two symbols": (codes(rows(2, 16)), symbols(2)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_level_is_not_warned_of(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space, z = HEALTHY[name]
        warn_of_collapse(level(), examine(level(space=space), z))  # type: ignore[arg-type]


ALIKE = torch.cat([rows(8, 16), rows(8, 16)[:1] + 1e-3])
COLLAPSED = {
    "a line": (rows(400, 1) @ rows(1, 16), {}, "effective rank 1.0 of 16"),
    "a plane": (rows(400, 2) @ rows(2, 16), {}, r"effective rank \d\.\d of 16"),
    "a cloud that shrank": (0.01 * rows(400, 16), {}, r"latents shrink to a point \(median deviation 0.01\)"),
    "a point": (torch.ones(400, 16), {}, "16 of 16 dimensions hardly vary"),
    "half a space": (rows(400, 16) * torch.tensor([1.0, 0.0]).repeat(8), {}, "8 of 16 dimensions hardly vary"),
    "alike": (symbols(9), {"space": codes(ALIKE)}, r"two symbols share a latent \(cosine 1.000\)"),
    "deaf": (rows(400, 16), {"hears": 0.01}, "macro-actions move the prediction by 0.01 of a step"),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_a_collapse_is_named_with_its_figure_and_what_to_try(name: str) -> None:
    z, options, figure = COLLAPSED[name]
    with pytest.warns(CollapseWarning, match=f"^level 3 collapsed: .*{figure}.* Try "):
        warn_of_collapse(level(**options), examine(level(**options), z))  # type: ignore[arg-type]


def test_of_maps_every_different_cell_counts_once() -> None:
    found = examine(level(space=codes(rows(9, 16))), symbols(9))  # type: ignore[arg-type]
    assert found.rank_of == 8, "nine points, centred"
    assert 7 < found.rank <= 8
    assert found.closest < 0.99
    assert math.isnan(examine(level(), rows(400, 16)).closest)  # type: ignore[arg-type]


def test_sensitivity_is_the_mean_distance_between_predictions() -> None:
    z = rows(5, 2)
    assert macro_sensitivity(level(), z) == pytest.approx(4 / 3)  # type: ignore[arg-type]  # of 1, 2 and 1
    assert macro_sensitivity(level(impossible=(1,)), z) == pytest.approx(2.0)  # type: ignore[arg-type]
    assert math.isnan(macro_sensitivity(level(impossible=(0, 1)), z))  # type: ignore[arg-type]
    uniform = macro_sensitivity(level(kind="continuous"), rows(2000, 1))  # type: ignore[arg-type]
    assert uniform == pytest.approx(2 / 3, rel=0.1), "the mean distance of two uniform numbers in [-1, 1]"
