"""One level of the stack over vector latents (D,): the same parts at every level, whatever the numbers mean."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.codebook import Codebook
from hplan.levels.fourier import FourierFeatures
from hplan.levels.landmarks import same_places
from hplan.levels.mlp import mlp
from hplan.levels.policy import HopPolicy
from hplan.levels.sight import Situated
from hplan.objectives.criterion import Criterion
from hplan.objectives.diagnostics import perplexity
from hplan.objectives.infonce import infonce
from hplan.objectives.slowness import slowness
from hplan.objectives.welsch import trust
from hplan.objectives.whole_batch import own_rows, whole_batch
from hplan.types import MacroSpec

SMALLEST_RATE = 1e-3  # of latents that collapse: the unit does not vanish with them
NEAR = 0.25  # steps from a landmark within which a latent is the same place; at twice that, a step may not leave it
SMOOTHING = 0.99  # of the running size of a step, in which the predictor counts while it is trained


class VectorLevel(Situated):
    """A world model over latents (D,), `hplan.types.WorldModel`. Statistics are buffers and travel with the weights.

    Level 0 encodes Fourier features of the observation and takes the environment's actions. A level above encodes the
    latents of the level below; its macro-actions are codes of a learned codebook, assigned to a step in hindsight by
    the posterior q: from the environment's actions in it (`window` numbers: the level right above 0, which then cannot
    jump through walls), or from the pair of latents that it joins (`window` = 0).
    """

    kind = "vector"
    exact = False
    rate: Tensor
    unit: Tensor
    hop_threshold: Tensor
    landmarks: Tensor
    lattice: Tensor
    middle: Tensor
    reach: Tensor

    def __init__(
        self,
        *,
        index: int,
        inputs: int,
        macros: int,
        stride: float = 1.0,
        macro_kind: Literal["discrete", "continuous"] = "discrete",
        macro_low: tuple[float, ...] = (),
        macro_high: tuple[float, ...] = (),
        macro_names: tuple[str, ...] = (),
        window: int = 0,
        latent: int = 16,
        hidden: int = 128,
        octaves: int = 5,
        width: int = 8,
        landmarks: int = 2048,
        identity: bool = False,
        view: int = 0,
        guides: int = 0,
    ) -> None:
        """`inputs`: features of one observation, or D of the level below; `macros`: number of actions or codes, or
        dimensions; `width`: of a code; `landmarks`: the most places that `keys` tells apart without a lattice;
        `identity`: above level 0, the latents of the level below are taken as they are, for ablation; `view`: pixels
        to each side that it sees of a layout, if any; `guides`: numbers of an action below that it has a policy for."""
        super().__init__()
        self.index, self.stride = index, float(stride)
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.macro = MacroSpec(macro_kind, macros, low=macro_low, high=macro_high, names=macro_names)
        seen = self.see(latent, hidden, view, steps=index > 0)
        if index == 0:
            self.features = FourierFeatures(inputs, octaves)
            self.encoder = mlp(self.features.size, hidden, latent)
            taken = macros
            self.inverse = mlp(2 * latent, hidden, macros, layers=1)
            self.support = mlp(seen, hidden, 1)
            self.register_buffer("middle", (torch.tensor(macro_high) + torch.tensor(macro_low)) / 2)
            self.register_buffer("reach", (torch.tensor(macro_high) - torch.tensor(macro_low)) / 2)
        else:
            self.encoder = nn.Identity() if identity else mlp(inputs, hidden, latent)
            taken = width
            self.codebook = Codebook(macros, width)
            self.posterior = mlp(window or 2 * latent, hidden, width)
            self.before, self.after = mlp(seen, hidden, 32), mlp(latent, hidden, 32)
        self.predictor = mlp(seen + taken, hidden, latent)
        self.policy = HopPolicy(inputs + seen + latent, hidden, guides) if guides else None
        if macro_kind == "discrete":
            self.prior_net = mlp(seen, hidden, macros)
        self.success = nn.Sequential(mlp(latent, hidden // 2, 1), nn.Flatten(0))
        self.doubt = nn.Sequential(mlp(seen + taken, hidden // 2, 1), nn.Flatten(0))
        self.register_buffer("rate", torch.tensor(0.1))  # root mean square step while training: the predictor's unit
        self.register_buffer("unit", torch.tensor(1.0))  # median step where play moved: the unit of `distance`
        self.register_buffer("hop_threshold", torch.tensor(0.0))  # the zero of `compatibility`, where it is no `misfit`
        self.register_buffer("landmarks", torch.zeros(landmarks, latent, dtype=torch.float16))
        self.register_buffer("lattice", torch.tensor(torch.inf))

    # ------------------------------------------------------------------------------------------------- WorldModel

    def encode(self, below: Tensor) -> Tensor:
        """(..., inputs) -> (..., D)."""
        return self.encoder(self._inputs(below))

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, D), (B,) int64 or (B, A) -> (B, D)."""
        return self._advance(z, self._vector(macro))

    def prior(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, M): log p(macro | z) as play took them. Discrete macro-actions only."""
        return F.log_softmax(self.prior_net(self.around(z)), dim=-1)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): Euclidean, in median steps of play that moved."""
        return (z - other).square().sum(-1).sqrt() / self.unit

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): minus the logit of `following` being real, above what real steps need.

        Level 0: real is where play has been. Above: real is what follows z, rather than any other latent (InfoNCE);
        where a layout is seen, what no wall of it is in the way of (`misfit`), also where no play was."""
        if self.index == 0:
            return -self.support(self.around(following))[:, 0] - self.hop_threshold
        if self.judges_steps:
            return self.misfit(z, following)
        return -(self.before(self.around(z)) * self.after(following)).sum(-1) - self.hop_threshold

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, D), (B,) int64 or (B, A) -> (B,)."""
        return self.log_uncertainty(z, macro).clamp(min=0).expm1()

    def keys(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, 2 + D): the landmark that a latent is closest to, and if that is far a cell of the lattice."""
        return same_places(z, self.landmarks, NEAR * self.unit, self.lattice)

    # ------------------------------------------------------------------------------------------------- the parts

    def log_uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, D), (B,) int64 or (B, A) -> (B,): log(1 + expected error), as it is trained."""
        return self.doubt(torch.cat([self.around(z), self._vector(macro)], -1))

    def describe(self, z: Tensor, following: Tensor, actions: Tensor | None) -> Tensor:
        """q: what led from z to `following` (B, D), by them or by the actions between (B, S, ...): (B, width)."""
        if not self.config["window"]:
            return self.posterior(torch.cat([z, (following - z) / self.rate], -1))
        assert actions is not None
        if not actions.is_floating_point():
            actions = F.one_hot(actions, self.config["window"] // actions.shape[1]).float()
        return self.posterior(actions.flatten(1))

    def _inputs(self, below: Tensor) -> Tensor:
        return self.features(below) if self.index == 0 else below

    def _vector(self, macro: Tensor) -> Tensor:
        if self.index:
            return self.codebook.codes[macro]
        if self.macro.kind == "discrete":
            return F.one_hot(macro, self.macro.size).float()
        return (macro - self.middle) / self.reach

    def _advance(self, z: Tensor, vector: Tensor) -> Tensor:
        return z + self.rate * self.predictor(torch.cat([self.around(z), vector], -1))

    # ---------------------------------------------------------------------------------------------------- training

    def loss(
        self,
        below: Tensor,
        actions: Tensor | None,
        generator: torch.Generator,
        criterion: Criterion,
        *,
        inverse: bool = True,
        robust: bool = False,
        slow: float = 0.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Open-loop prediction in units of a step, by `criterion`; inverse dynamics or codes; InfoNCE; of H steps.

        below (B, H + 1, inputs); actions (B, H, ...) at level 0, (B, H, S, ...) where the posterior reads them.
        `inverse`: whether latents of level 0 have to tell the action between them. `robust`: what is predicted far off
        counts as chance, and is not learned. `slow`: weight of slowness.
        """
        inputs = self._inputs(below)
        z = self.encoder(inputs)
        copy = criterion.follow(self.encoder)
        targets = z[:, 1:] if copy is None else copy(inputs[:, 1:])
        start, end = z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
        if self.training:
            step = whole_batch((end - start).detach()).square().mean().sqrt()
            self.rate.lerp_(step.clamp(min=SMALLEST_RATE), 1 - SMOOTHING)
        figures: dict[str, Tensor] = {}
        extra, macro, vectors = self._macro_loss(start, end, actions, generator, figures, inverse=inverse)
        path = [z[:, 0]]
        for step in vectors.view(len(z), -1, vectors.shape[-1]).unbind(1):
            path.append(self._advance(path[-1], step))
        unit = self.rate * z.shape[-1] ** 0.5  # a typical step has length one
        predicted, target = torch.stack(path[1:], 1).flatten(0, 1) / unit, targets.flatten(0, 1) / unit
        costs = criterion.objective.agreement(predicted, whole_batch(target), own_rows(target))
        if robust:
            costs = costs * trust(predicted, target, whole_batch(end - start) / unit)
        spread = criterion.objective.spread(whole_batch(z[:, 0]))
        if self.index:
            following = self.after(z[:, 1])
            contrast = infonce(self.before(self.around(z[:, 0])) @ whole_batch(following).T, own_rows(following))
        else:
            contrast = self.support_loss(z[:, 0].detach(), below[:, 0], generator)
        moved = slowness(z[:, 0], z[:, 1])
        total = costs.mean() + spread + slow * moved + 0.1 * contrast + extra
        if self.macro.kind == "discrete":
            prior = F.cross_entropy(self.prior_net(self.around(z[:, :-1].detach()).flatten(0, 1)), macro)
            total, figures["prior"] = total + prior, prior
        figures |= {"prediction": costs.view(len(z), -1)[:, 0], "spread": spread}
        figures |= {"slowness": moved, "contrast": contrast}
        return total, {name: figure.detach().mean() for name, figure in figures.items()}

    def support_loss(self, z: Tensor, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Logistic: latents of play against those of observations each of whose features is from another row.

        Every feature alone is then as in play, and what is learned is which of them go together: where there are walls.
        """
        every = whole_batch(observations)
        rows = torch.randint(len(every), every.shape, generator=generator).to(z.device)
        with torch.no_grad():
            mixed = self.encode(every.gather(0, rows[own_rows(observations)]))
        return F.softplus(-self.support(self.around(z))).mean() + F.softplus(self.support(self.around(mixed))).mean()

    def _macro_loss(
        self,
        start: Tensor,
        end: Tensor,
        actions: Tensor | None,
        generator: torch.Generator,
        figures: dict[str, Tensor],
        *,
        inverse: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, macro-actions, their vectors) of the steps start -> end (B * H, D)."""
        if self.index:
            x = self.describe(start, end, None if actions is None else actions.flatten(0, 1))
            macro, vectors, commitment = self.codebook.quantise(x)
            taken = whole_batch(macro)
            if self.training:
                self.codebook.follow(whole_batch(x.detach()), taken, generator)
            figures["codes"] = torch.tensor(perplexity(taken, self.macro.size))
            return 0.25 * commitment, macro, vectors
        assert actions is not None
        macro = actions.flatten(0, 1)
        vectors = self._vector(macro)
        if not inverse:
            return torch.zeros((), device=start.device), macro, vectors
        guess = self.inverse(torch.cat([start, (end - start) / self.rate], -1))
        loss = F.cross_entropy(guess, macro) if self.macro.kind == "discrete" else F.mse_loss(guess, vectors)
        figures["inverse"] = loss.detach()
        return loss, macro, vectors
