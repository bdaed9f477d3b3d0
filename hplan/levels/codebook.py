"""Vector quantisation: continuous descriptions of what happened become a few discrete macro-actions.

Source: VQ-VAE (van den Oord, Vinyals and Kavukcuoglu, 2017, arXiv 1711.00937), with the moving-average codebook of its
appendix A.1 and revival of unused codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECAY = 0.99  # of the moving averages: a code forgets after about 100 batches
DEAD = 0.05  # a code used less than this share of its even share moves to where the data is


class Codebook(nn.Module):
    """`size` codes of `width` dimensions, learned as running means of what they stand for."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(size, width))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, width))

    def nearest(self, x: Tensor) -> Tensor:
        """(..., width) -> (...) int64."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.cdist(flat, self.codes).argmin(-1).view(x.shape[:-1])

    def quantise(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, width) -> codes (B,), their vectors with the gradient of x (B, width), and the commitment loss ()."""
        index = self.nearest(x.detach())
        vector = self.codes[index]
        return index, x + (vector - x).detach(), F.mse_loss(x, vector)

    @torch.no_grad()
    def follow(self, x: Tensor, index: Tensor, generator: torch.Generator) -> None:
        """Move codes towards x (B, width), whose row i was quantised to index[i]; unused ones jump to random rows."""
        one_hot = F.one_hot(index, len(self.codes)).to(x.dtype)
        self.counts.lerp_(one_hot.sum(0), 1 - DECAY)
        self.sums.lerp_(one_hot.T @ x, 1 - DECAY)
        even = len(x) / len(self.codes)
        dead = self.counts < DEAD * even
        rows = x[torch.randint(len(x), (len(self.codes),), generator=generator).to(x.device)]
        self.sums.copy_(torch.where(dead[:, None], rows * even, self.sums))
        self.counts.copy_(torch.where(dead, torch.full_like(self.counts, even), self.counts))
        self.codes.copy_(self.sums / self.counts[:, None])
