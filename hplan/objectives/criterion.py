"""What is trained beside a level and not kept with it: its objective and, where it wants one, the encoder's copy."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from hplan.parts import find


class Criterion(nn.Module):
    """An objective by name for latents (D,), and the copy of `encoder` that makes its targets, if it has momentum."""

    def __init__(self, name: str, dimensions: int, encoder: nn.Module) -> None:
        """Raises UsageError for an unknown name."""
        super().__init__()
        self.objective = find("objective", name)(dimensions)
        self.copy = deepcopy(encoder).requires_grad_(False) if self.objective.momentum is not None else None

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> nn.Module | None:
        """The copy, which while training takes its step towards `encoder`; None where targets are the encoder's own."""
        if self.copy is not None and self.objective.momentum is not None and self.training:
            for own, other in zip(self.copy.parameters(), encoder.parameters(), strict=True):
                own.lerp_(other, 1 - self.objective.momentum)
        return self.copy
