"""Statistics are of the whole batch, also where it is split over devices: rows of all of them, with their gradients.

Each device computes the same statistic of all rows, and gradients are averaged over devices as data-parallel training
averages them: the result is the gradient of the unsplit batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Int64, Shaped
from torch import Tensor

if dist.is_available():  # now, since its functions keep the process group that there is when they are imported
    from torch.distributed.nn.functional import all_gather


def whole_batch(x: Shaped[Tensor, " B *z"]) -> Shaped[Tensor, " WB *z"]:
    """The rows of all W devices, by rank. Differentiable; x itself on a single device."""
    if not _split():
        return x
    return torch.cat(all_gather(x.contiguous(), dist.group.WORLD))  # pyright: ignore[reportPossiblyUnboundVariable]


def own_rows(x: Shaped[Tensor, " B *z"]) -> Int64[Tensor, " B"]:
    """Where this device's rows lie in `whole_batch(x)`."""
    first = dist.get_rank() * len(x) if _split() else 0
    return torch.arange(first, first + len(x), device=x.device)


def agreed(x: Shaped[Tensor, "*x"]) -> Shaped[Tensor, "*x"]:
    """The random numbers of the first device on all of them; x is overwritten."""
    if _split():
        dist.broadcast(x, 0)
    return x


def _split() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
