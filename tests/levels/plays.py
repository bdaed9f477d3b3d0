"""Play of a few rows, made up: only what a test says differs from row to row."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.play.play import Play
from hplan.types import ActionSpec, ObservationSpec


def play_of(
    observations: Tensor,
    actions: Tensor,
    remaining: Tensor,
    *,
    success: Tensor | None = None,
    contexts: Tensor | None = None,
    spec: ObservationSpec | None = None,
    seeds: Tensor | None = None,
) -> Play:
    """observations (N, ...), actions (N, ...), remaining (N,) steps left of the episode; a layout an episode."""
    ends = (remaining == 0).long()
    episode = ends.cumsum(0) - ends
    count = int(episode.max()) + 1
    none = torch.zeros(len(remaining), dtype=torch.bool)
    continuous = actions.is_floating_point()
    size = actions.shape[1] if continuous else int(actions.max()) + 1
    bounds = ((-1.0,) * size, (1.0,) * size) if continuous else ((), ())
    return Play(
        observations=observations,
        actions=actions,
        rewards=torch.zeros(len(remaining)),
        success=none if success is None else success,
        violation=none,
        terminated=none,
        remaining=remaining.long(),
        episode=episode,
        seeds=torch.arange(count) if seeds is None else seeds,
        observation_spec=spec or ObservationSpec("vector", tuple(observations.shape[1:])),
        action_spec=ActionSpec("continuous" if continuous else "discrete", size, *bounds),
        contexts=contexts,
    )
