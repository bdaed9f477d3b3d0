"""`later-frames`: an eye of films learns, without actions, to see what tells how they go on.

From the numbers of the frames so far, a predictor tells those of the next frame: the causal form of V-JEPA (Bardes et
al., 2024, arXiv 2404.08471; of impossible events, Garrido et al., 2025, arXiv 2502.11831), with latents of whole frames
in the place of hidden blocks. A constant is predicted best, and next to it what never changes in a film (Sobal et al.,
2022, arXiv 2211.10831). So numbers have to vary, and not together (VICReg), and the prediction has to be nearer to the
next frame than to any other of the batch: to those of the same film by where things are, and to those of other films by
what they are (contrastive predictive coding; van den Oord et al., 2018, arXiv 1807.03748).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.objectives.infonce import infonce
from hplan.objectives.vicreg import VICReg
from hplan.play.play import Play
from hplan.types import UsageError

STRETCHES, AHEAD = 32, 8  # in a batch, and frames that are predicted in each, one from those before it
CONTRAST, SPREAD = 0.3, 0.5  # weights beside the prediction
EPSILON = 1e-4


class LaterFrames(nn.Module):
    """`EyeObjective` of `hplan.levels.pixels.FilmEye`."""

    actions = False

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int, hidden: int = 256) -> None:
        """Raises UsageError as `check` does."""
        super().__init__()
        self.check(eye)
        self.eye, self.play = eye, play
        own = features // eye.frames
        self.predictor = mlp(features, hidden, own)
        self.spread = VICReg(own).spread
        self.ahead = min(AHEAD, int(play.remaining.max()))
        self.rows = play.starts(self.ahead)

    @staticmethod
    def check(eye: Any) -> None:
        """Raises UsageError for an eye that sees no several frames."""
        if not hasattr(eye, "single"):
            raise UsageError(f"{type(eye).__name__} sees one frame, and no later one of several: use --encoder films")

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.rows[torch.randint(len(self.rows), (STRETCHES, 1), generator=generator)]
        shown = self.play.observations[rows + torch.arange(self.ahead + 1)].chunk(self.eye.frames, -1)
        frames = torch.cat([*(one[:, :1] for one in shown[:0:-1]), shown[0]], 1)  # each once, in order
        z = self.eye.single(frames)
        before = z[:, :-1].unfold(1, self.eye.frames, 1).flip(-1).movedim(-1, 2)  # (S, ahead, n, D), the newest first
        target = z[:, self.eye.frames :]
        predicted = before[:, :, 0] + self.predictor(before.flatten(2))
        deviation = (z.flatten(0, 1).var(0) + EPSILON).sqrt().detach()
        off = (predicted / deviation).flatten(0, 1), (target / deviation).flatten(0, 1)
        prediction = (off[0] - off[1]).square().mean()
        contrast = infonce(-torch.cdist(*off).square(), torch.arange(len(off[0])))
        spread = self.spread(z.flatten(0, 1))
        figures = {"prediction": prediction.detach(), "contrast": contrast.detach(), "spread": spread.detach()}
        return prediction + CONTRAST * contrast + SPREAD * spread, figures
