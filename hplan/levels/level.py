"""One level of the stack: parts that have the same place at every k, whatever the latents are.

    part           asked as                              what it knows
    encoder        (below)                               features of an observation, or of a latent of the level below
    space          see `hplan.levels.spaces`             what a latent is, when two are the same, how far they are apart
    macros         see `hplan.levels.macros`             what one step may be, and which one a step of play was
    dynamics       (level, z, macro)                     the latent one step later
    prior          (level, z)                            which macro-actions are possible
    success        (level, z)                            logit of a latent being the task's success
    violation      (level, z, following)                 energy of a step breaking a rule; above 0 is forbidden
    compatibility  (level, z, following)                 energy of one latent following another
    uncertainty    (level, z, macro)                     how far off a prediction is expected to be
    policy         (level, below, target)                how play went about a step
    returns        see `heads.returns`                   what a step is paid, and what can still be had
    conditioning   see `heads.conditioning`              what the map of the episode shows around a latent

Any but the first four may be missing. A part is named in `hplan.parts` and made from plain values, which is how a level
is saved: parts in the order in which they are made, and their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from hplan.parts import find
from hplan.types import (
    Approach,
    Capabilities,
    DecisionProcess,
    MacroSpec,
    Outcomes,
    Pairwise,
    Policy,
    Possible,
    Relaxed,
    Returns,
    Sampled,
    Spelling,
    Sweep,
)

if TYPE_CHECKING:
    from hplan.play.play import Play

ATTRIBUTE = {name: name for name in ("encoder", "space", "macros", "dynamics", "conditioning")} | {
    name: f"{name}_head"
    for name in ("prior", "success", "compatibility", "uncertainty", "policy", "returns", "violation")
}
"""Where a level keeps each part; heads make way for the methods of `WorldModel` of the same name."""

PartSpec = Mapping[str, Any]
"""`kind`: a name of `hplan.parts` or MODULE:NAME; everything else: keyword arguments."""


class Level(nn.Module):
    """A world model, `hplan.types.WorldModel`. Statistics are buffers and travel with the weights."""

    encoder: Any
    space: Any
    macros: Any
    dynamics: Any
    conditioning: Any
    prior_head: Any
    success_head: Any
    compatibility_head: Any
    uncertainty_head: Any
    policy_head: Any
    returns_head: Any
    violation_head: Any
    mission: Tensor | None = None  # a code, in an episode that asks for something (`asked`)
    settled: Callable[[Tensor], Tensor] | None = None  # of its latents: see `settling`
    _sees: Callable[[Tensor], Tensor] | None = None  # of those of the level below: see `seeing`

    def __init__(self, *, index: int, parts: Mapping[str, PartSpec], stride: float = 1.0) -> None:
        """parts: by role, a key of `ATTRIBUTE`; made in this order, since each draws its first weights from torch's
        global generator. Raises UsageError for a kind that is not known."""
        super().__init__()
        self.index, self.stride = index, float(stride)
        self.parts = {
            role: {key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()}
            for role, spec in parts.items()
        }
        for role in self.parts:
            self.made_anew(role)
        for attribute in ATTRIBUTE.values():
            if not hasattr(self, attribute):
                setattr(self, attribute, None)

    @property
    def config(self) -> dict[str, Any]:
        """Arguments that make this level again, but for its weights."""
        kept = {role: spec for role, spec in self.parts.items() if getattr(self, ATTRIBUTE[role]) is not None}
        return {"index": self.index, "stride": self.stride, "parts": kept}

    # ------------------------------------------------------------------------------------------------- WorldModel

    @property
    def macro(self) -> MacroSpec:
        return self.macros.spec

    @property
    def capabilities(self) -> Capabilities:
        given = {} if self.prior_head is None else {"prior_weight": self.prior_head.weight}
        given |= {} if self.prior_head is None else {"prior_floors": self.prior_head.floors}
        return Capabilities(discrete=self.space.discrete, events=self.macro.pointed, **given)

    def encode(self, below: Tensor) -> Tensor:
        return self.space.snap(self.encoder(below if self._sees is None else self._sees(below)))

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        following = self.dynamics(self, z, macro)
        return following if self.settled is None else self.settled(following)

    def prior(self, z: Tensor) -> Tensor:
        return self.prior_head(self, z)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        if self.settled is not None:
            z, other = self.settled(z), self.settled(other)
        return self.space.distance(z, other)

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        if self.uncertainty_head is None:
            return torch.zeros(len(z), device=z.device)
        return self.uncertainty_head(self, z, macro)

    def keys(self, z: Tensor) -> Tensor:
        return self.space.keys(z)

    @property
    def compatibility(self) -> Pairwise | None:
        """Where the level sees a map, real is what nothing on it is in the way of, also where no play was."""
        if self.obstruction is not None:
            return self.obstruction
        return None if self.compatibility_head is None else partial(self.compatibility_head, self)

    @property
    def obstruction(self) -> Pairwise | None:
        part = self.conditioning
        return None if part is None or part.network is None else part.obstruction

    @property
    def outcomes(self) -> Outcomes | None:
        if not getattr(self.macros, "certain", True):
            return partial(self.dynamics.outcomes, self)
        head = self.uncertainty_head
        return None if getattr(head, "certain", True) else partial(head.outcomes, self)

    @property
    def process(self) -> DecisionProcess | None:
        process = getattr(self.dynamics, "process", None)
        return None if process is None else process(self)

    @property
    def policy(self) -> Policy | None:
        return None if self.policy_head is None else partial(self.policy_head, self)

    @property
    def returns(self) -> Returns | None:
        return None if self.returns_head is None else self.returns_head.of(self)

    @property
    def success(self) -> Callable[[Tensor], Tensor] | None:
        """(B, *z) -> (B,): logit of "this latent is a success"; None where play was never rewarded."""
        return None if self.success_head is None else partial(self.success_head, self)

    @property
    def stop(self) -> int | None:
        """The macro-action that has to be done where `success` says so; None where it is enough to be there."""
        return getattr(self.success_head, "stop", None)

    @property
    def violation(self) -> Pairwise | None:
        """Energy of a step breaking a rule, above 0 where it does; None where play broke none."""
        return None if self.violation_head is None else partial(self.violation_head, self)

    @property
    def reads(self) -> bool:
        """Whether success or rewards are a matter of what an episode asks for: heads say so, or the latent does."""
        return hasattr(self.encoder, "counted") or any(
            getattr(head, "mission", 0) for head in (self.success_head, self.returns_head)
        )

    @property
    def spelling(self) -> Spelling | None:
        spelling = getattr(self.macros, "spelling", None)
        return None if spelling is None else partial(spelling, self)

    @property
    def sweep(self) -> Sweep | None:
        sweep = getattr(self.dynamics, "sweep", None)
        return None if sweep is None else partial(sweep, self)

    @property
    def sample(self) -> Sampled | None:
        sample = getattr(self.dynamics, "sample", None)
        return None if sample is None else partial(sample, self)

    @property
    def makes(self) -> Tensor | None:
        return getattr(self.dynamics, "makes", None)

    @property
    def yields(self) -> Tensor | None:
        return getattr(self.dynamics, "yields", None)

    @property
    def landmarks(self) -> Tensor | None:
        return getattr(self.space, "points", None)

    @property
    def possible(self) -> Possible | None:
        possible = getattr(self.prior_head, "possible", None)
        return None if possible is None else partial(possible, self)

    @property
    def approach(self) -> Approach | None:
        approach = getattr(self.dynamics, "approach", None)
        return None if approach is None else partial(approach, self)

    @property
    def relaxation(self) -> Relaxed | None:
        relaxation = getattr(self.prior_head, "relaxation", None)
        return None if relaxation is None else partial(relaxation, self)

    # ------------------------------------------------------------------------------------------------- the rest

    def made_anew(self, role: str, **options: Any) -> Any:
        """The part of that role, untrained, in the place of the one there was, if any; with these of its options
        changed."""
        self.parts[role] = {**self.parts.get(role, {}), **options}
        kind = str(self.parts[role]["kind"])
        given = {key: value for key, value in self.parts[role].items() if key != "kind"}
        part = find("macro" if role == "macros" else role, kind)(**given)
        setattr(self, ATTRIBUTE[role], part)
        return part

    def conditioned(self, images: Tensor, of: Tensor | None = None) -> Self:
        """This level in these layouts (E, rows, columns), for a batch of rows that are in images[of], or all in the
        first: a copy that shares its weights. The level itself where it sees none."""
        if self.conditioning is None:
            return self
        found = copy(self)
        found._modules = self._modules | {"conditioning": self.conditioning.in_layout(images, of)}
        return found

    def asked(self, mission: Tensor | None) -> Self:
        """This level in an episode that asks for this, as a code (K,), or (B, K) for a batch of rows; None: no one
        knows. A copy that shares its weights."""
        found = copy(self)
        found.mission = mission
        return found

    def settling(self, settled: Callable[[Tensor], Tensor]) -> Self:
        """This level in an episode in which latents become `settled`, (B, *z) -> (B, *z), by themselves: predictions
        are so, and what differs in nothing else counts as equal. A copy that shares its weights."""
        found = copy(self)
        found.settled = settled
        return found

    def seeing(self, settled: Callable[[Tensor], Tensor]) -> Self:
        """This level above such a one: it does not see what passes. A copy that shares its weights."""
        found = copy(self)
        found._sees = settled
        return found

    def context(self, z: Tensor) -> Tensor:
        """What networks read at a vector: (..., D) -> (..., D + what the map shows around it)."""
        return z if self.conditioning is None else torch.cat([z, self.conditioning(z)], -1)

    def step_of_play(self, play: Play, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of steps of `stride` environment steps from these rows (K,) of play, as this level sees it: where they begin
        and end, (K, *z), and the macro-action of each in hindsight."""
        stride = round(self.stride)
        z, end = self.encode(play.below[rows]), self.encode(play.below[rows + stride])
        actions = play.actions[rows[:, None] + torch.arange(stride)]
        return z, end, self.macros.hindsight(self, z, end, actions)[0]
