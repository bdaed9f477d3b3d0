"""What the controller keeps about each level while it acts: settings, the plan under way, and what it has cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hplan.levels.calibration import ALPHA
from hplan.planning.proposal import NEVER
from hplan.types import ARRIVED, Budget, Cause, Energy, PlanNode, PlanResult, StepCost, WorldModel
from hplan.validation import Count, NonNegative, Positive, Rate, Whole, validated

LEAST = 64  # evaluations that a plan may spend, however much was spent before
RISKIER = 1.0  # nats by which a step may be less likely than planned
TRIES = 64  # actions of which one that is allowed is looked for
NEARBY = 2.0  # times as far off as the goal counts as met, is near it


@validated
class ControlConfig:
    """Settings of the controller. Lengths and distances are in steps of the level concerned."""

    alpha: Rate = ALPHA  # nominal rate of false alarms, of a level in one environment step
    evaluations: Count = 37_500  # predictor evaluations that one call of a planner may spend
    allowance: Whole = 2_000  # evaluations that every environment step adds to what all planning so far may have spent
    reach_evaluations: Whole = 64  # of them that a lower level may spend to find the goal within its reach
    horizon: Count = 512  # steps that a search may look ahead
    subgoal_tolerance: NonNegative = ARRIVED  # of the level that set the subgoal, for latents that are no symbols
    overrun_factor: Positive = 4.0  # a subgoal step that takes this many times its expected duration has failed
    overrun_slack: Whole = 8  # environment steps granted on top of that
    least_progress: NonNegative = (
        0.5  # share of the way it expected that level 0 has to move, where latents change by and by
    )
    remembered: Whole = 16  # such steps that level 0 remembers, the latest ones
    remembered_radius: NonNegative = 2.0  # steps within which another one is taken for the same, whatever its direction
    patience: Count = 8  # words (`SpelledLevel`) in a row without progress: the subgoal step above is over
    no_progress_steps: Count = 3  # times in a row that it falls short before the subgoal step above has failed
    # subgoal steps that may fail below one subgoal step of the level above before that one has failed too
    failures: Count = 3
    subgoals: bool = True  # False, for ablation: level 0 plans alone, for what the goal costs at the top level
    margin: bool = True  # plans keep away from what is forbidden by the error of a prediction; False for ablation
    repairs_per_step: Whole = 8  # infeasible plans that one environment step may repair before it acts on what it has


@dataclass
class LevelPlan:
    """A level's plan and how far it got."""

    goal: Energy
    result: PlanResult
    nodes: tuple[int, ...]  # of the plan tree, one per subgoal step
    hands_goal: bool  # the last subgoal step hands the goal itself down
    start: Tensor  # (*z) where the current subgoal step began
    since: int  # environment step at which it began
    expected_error: Tensor  # (L,) in steps of the level: how far off the end of each subgoal step is expected to be
    at: int = 0  # the subgoal step under way
    # environment steps that the current subgoal step should take, by the plan below; 0: not known yet
    duration: float = 0.0
    failures: int = 0  # of subgoal steps below in a row, since the current subgoal step began
    nearest: float = math.inf  # energy that the level below, which spells, came to in the current subgoal step
    waited: int = 0  # its macro-actions since then
    planned: int = field(init=False)  # environment step at which the plan was made

    def __post_init__(self) -> None:
        self.planned = self.since

    @property
    def at_last(self) -> bool:
        return self.at >= len(self.result) - 1

    def go_on(self, step: int, z: Tensor) -> None:
        """The next subgoal step begins, at z (*z)."""
        self.at, self.since, self.start, self.failures, self.duration = self.at + 1, step, z, 0, 0.0
        self.nearest, self.waited = math.inf, 0

    def renew(self, rest: PlanResult) -> None:
        """From the current subgoal step on, all is as in `rest`, which has the same macro-actions."""
        done = self.result.latents[: self.at], self.result.energies[: self.at]
        latents, energies = (torch.cat([*each]) for each in zip(done, (rest.latents, rest.energies), strict=True))
        self.result = replace(self.result, latents=latents, energies=energies)

    def stalls(self, energy: float, patience: int) -> bool:
        """Whether so many macro-actions of the level below came no nearer to the end of the current subgoal step, of
        which one more ended at that energy."""
        self.nearest, self.waited = min(energy, self.nearest), 0 if energy < self.nearest else self.waited + 1
        return self.waited >= patience

    def overdue(self, step: int, level: WorldModel, config: ControlConfig) -> bool:
        """Whether the current subgoal step takes far longer than it should."""
        return step - self.since > config.overrun_factor * max(self.duration, level.stride) + config.overrun_slack

    def is_served_by(
        self, result: PlanResult, end: Energy, level: WorldModel, own: WorldModel, config: ControlConfig
    ) -> bool:
        """Whether a plan of `level` below leads to the end of the current subgoal step and is worth it: where steps
        have lengths (not events) it may cost `overrun_factor` times what the subgoal step should take. To the goal
        itself any way is worth it, even one that ends nearby: from there it will be seen better."""
        if own.capabilities.events:
            return result.reached
        if self.hands_goal and self.at_last:
            return result.reached or bool(len(result) and result.energies[-1] <= NEARBY * end.threshold)
        return result.reached and float(result.costs.sum()) <= config.overrun_factor * own.stride / level.stride

    def is_left(self, level: WorldModel, z: Tensor) -> bool:
        """Whether a level of events is at z (*z) and no more where the current subgoal step began: something else
        happened."""
        return level.capabilities.events and bool(level.distance(z[None], self.start[None])[0] > 0)

    def came_about(self, z: Tensor) -> bool:
        """Whether what was to change in the current step of a level of symbols is as planned at z (*z), whatever else
        has changed there."""
        before, after = self.result.latents[self.at], self.target()
        return bool(((z == after) | (before == after)).all())

    def is_riskier(self, level: WorldModel, z: Tensor) -> bool:
        """Whether what a level of symbols is about to do is less likely to work at z (*z) than where it was planned."""
        planned = self.result.latents[self.at]
        if not level.capabilities.discrete or level.macro.kind != "discrete" or bool((z == planned).all()):
            return False
        now, then = level.prior(torch.stack([z, planned]))[:, self.result.macros[self.at]].tolist()
        return now < then - RISKIER

    def target(self) -> Tensor:
        """(*z) that the current subgoal step leads to, as predicted."""
        return self.result.latents[min(self.at + 1, len(self.result))]


def imagine_rest(
    level: WorldModel, plan: LevelPlan, at: int, z: Tensor, forbidden: StepCost | None = None
) -> PlanResult:
    """What is left of a plan from that subgoal step on, which begins at z (*z) instead of where it was to begin. It
    does not reach its goal by a `forbidden` step."""
    rest = slice(at, None)
    macros = plan.result.macros[rest]
    latents, evaluations = _followed(level, plan.result.latents[rest], macros, z)
    energies = plan.goal(latents)
    reached = bool(energies[-1] <= plan.goal.threshold)
    if forbidden is not None and len(macros):
        reached &= bool(forbidden(latents[:-1], latents[1:]).isfinite().all())
    if level.capabilities.discrete and level.macro.kind == "discrete" and len(macros):
        # what was possible where it was planned may be out of the question where it is now
        reached &= bool((level.prior(latents[:-1]).gather(1, macros[:, None]) > NEVER).all())
    return PlanResult(macros, latents, energies, plan.result.costs[rest], reached, evaluations=evaluations)


def _followed(level: WorldModel, planned: Tensor, macros: Tensor, z: Tensor) -> tuple[Tensor, int]:
    """Where these macro-actions (L,) lead from z (*z), (L + 1, *z), and how many predictions that took. What is other
    than `planned` (L + 1, *z) mostly stays as it is and does no harm: one batch says whether and how far."""
    path, evaluations = [z], 0
    if level.capabilities.discrete and len(macros) > 1:
        guess, settled = torch.where(z != planned[0], z, planned), getattr(level, "settled", None)
        if settled is not None:
            guess[1:] = settled(guess[1:])
        following = level.predict(guess[:-1], macros)
        as_guessed = (following == guess[1:]).flatten(1).all(1).long().cumprod(0).sum()
        path += following[: as_guessed + 1].unbind()
        evaluations = len(macros)
    for macro in macros[len(path) - 1 :]:
        path.append(level.predict(path[-1][None], macro[None])[0])
        evaluations += 1
    return torch.stack(path), evaluations


@dataclass
class Ledger:
    """What an episode has cost so far."""

    evaluations: int = 0
    planner_calls: dict[int, int] = field(default_factory=dict)
    repairs: dict[int, int] = field(default_factory=dict)
    starved: bool = False  # the latest plan could spend next to nothing: where it failed, that says little

    def grant(self, k: int, evaluations: int, step: int, config: ControlConfig) -> Budget:
        """What one more plan of level k may spend: so many evaluations, but no more than what is left to this step."""
        self.planner_calls[k] = self.planner_calls.get(k, 0) + 1
        left = config.evaluations + config.allowance * step - self.evaluations
        self.starved = left <= LEAST < evaluations
        return Budget(min(evaluations, max(left, LEAST)), config.horizon)


def plan_nodes(level: WorldModel, result: PlanResult, z: Tensor, cause: Cause, *, hands_goal: bool) -> list[PlanNode]:
    """One node of the plan tree for every subgoal step of a plan; the first one is under way, and carries what planning
    cost. `hands_goal`: the last one hands the goal down."""
    last = len(result) - 1
    return [
        PlanNode(
            id=0,  # the tree numbers its nodes
            level=level.index,
            label=describe(level, result.macros[i], z),
            expected_steps=level.stride,
            energy=float(result.energies[i + 1]),
            cost=float(result.costs[i]),
            evaluations=0 if i else result.evaluations,
            status="pending" if i else "active",
            cause="" if i else cause,
            is_goal=hands_goal and i == last,
        )
        for i in range(len(result))
    ]


def describe(level: WorldModel, macro: Tensor, z: Tensor) -> str:
    """A macro-action in words: an action's name, an event with its place, a code, or numbers."""
    spec = level.macro
    if spec.kind == "continuous":
        return "(" + ", ".join(f"{v:+.2f}" for v in macro.tolist()) + ")"
    code = int(macro)
    if spec.pointed:
        kind, cell = divmod(code, z.shape[-1] * z.shape[-2])
        row, column = divmod(cell, z.shape[-1])
        return f"{spec.names[kind] if spec.names else f'event {kind}'} at ({row}, {column})"
    return spec.names[code] if spec.names else f"{'code' if level.index else 'action'} {code}"


def any_action(
    level: WorldModel, z: Tensor, generator: torch.Generator | None, forbidden: StepCost | None = None
) -> Tensor:
    """Something that play showed to be possible at z (*z) of level 0, () or (A,), and not `forbidden`, if there is
    anything."""
    macro, tries = level.macro, 1 if forbidden is None else TRIES
    if macro.kind == "continuous":
        low, high = torch.tensor(macro.low), torch.tensor(macro.high)
        drawn = low + (high - low) * torch.rand(tries, macro.size, generator=generator)
    else:
        chance = level.prior(z[None])[0].exp()
        chance = chance if bool(chance.any()) else chance + 1
        drawn = torch.multinomial(chance, min(tries, int((chance > 0).sum())), generator=generator)
    if forbidden is None:
        return drawn[0]
    start = z.expand(len(drawn), *z.shape)
    return drawn[int(forbidden(start, level.predict(start, drawn)).argmin())]
