"""Where pointmaze-medium must not be entered."""

import torch


def corridor(seen):
    """The middle of a corridor, around which there is a longer way."""
    x, y = seen[..., 0], seen[..., 1]
    return torch.minimum(1.5 - (x - 8).abs(), 2.5 - (y - 8).abs())


def ledge(seen):
    """One half of the same corridor: the way leads past it, close by."""
    x, y = seen[..., 0], seen[..., 1]
    return torch.minimum(1.5 - (x - 8).abs(), 8 - y)
