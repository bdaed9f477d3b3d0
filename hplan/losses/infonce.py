"""The contrastive objective: tell the true partner of each row from the partners of all other rows.

Source: InfoNCE (van den Oord, Li and Vinyals, 2018, arXiv 1807.03748), equation 4. At its optimum the logit of (x, y)
is log p(y | x) / p(y) up to a constant of x: how much more often y follows x than it occurs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def infonce(logits: Tensor) -> Tensor:
    """(B, B) -> (): row i scores every candidate for i, and its true partner is on the diagonal."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
