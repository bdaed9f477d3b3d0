"""Training says when a level has collapsed, by name and with the figure, and is silent where none has."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F

from hplan.training.collapse import warn_if_collapsed, warn_if_confused
from hplan.types import CollapseWarning


def cloud() -> torch.Tensor:
    return torch.randn(500, 8, generator=torch.Generator().manual_seed(0))


def test_healthy_levels_are_not_mentioned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_collapsed("level 0", cloud())
        warn_if_confused("level 0", F.normalize(cloud()[:20], dim=-1))
        warn_if_confused("level 1", F.normalize(cloud()[:1], dim=-1))


def test_a_line_is_a_collapse() -> None:
    with pytest.warns(CollapseWarning, match=r"level 2 has collapsed: effective rank 1\.0 of 8.*objective"):
        warn_if_collapsed("level 2", cloud()[:, :1].expand(-1, 8))


def test_symbols_that_look_alike_are_counted() -> None:
    codes = F.normalize(cloud()[:10], dim=-1)
    codes[3] = codes[7]
    with pytest.warns(CollapseWarning, match="level 1 has collapsed: 2 of 10 symbols"):
        warn_if_confused("level 1", codes)
