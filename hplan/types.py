"""Everything that crosses a boundary between two parts of hplan. Start reading here.

Axis letters used in every docstring and shape annotation:

    B      batch: candidates, episodes or windows           T      environment steps of one episode
    L      steps of one plan                                 M      number of discrete macro-actions
    H, W   rows and columns of a spatial observation        F      symbol features of one cell
    C      channels of a spatial latent                      D      features of a vector observation or latent
    A      dimensions of a continuous action                 *z     the latent shape of a level: (C, H, W) or (D,)

Words: a *level* k is one world model of the stack, 0 the finest; its *latent* is z_k; its *macro-action* is what its
predictor takes (level 0: the environment's action); one of its steps lasts *stride* environment steps on average.
An *energy* is a scalar cost, low is compatible. A *predictor evaluation* is one latent predicted for one candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:  # named in annotations alone, so that `hplan --help` does not wait for torch
    import numpy as np
    import torch
    from torch import Tensor

ARRIVED = 0.5  # steps of a level within which a latent counts as the same place, where latents are no symbols

# --------------------------------------------------------------------------------------------------------------- errors


class HplanError(Exception):
    """The job failed. The command line prints the message and exits with status 1."""


class UsageError(HplanError):
    """The call was wrong: the message says what, what was expected and how to mend it. Exit status 2."""


class CollapseWarning(UserWarning):
    """A level that was trained tells little apart: the message says which, by what figure, and what to try."""


class NoSuccessWarning(UserWarning):
    """No step of play succeeded: the message says how many were rewarded, and what tells success."""


class LateRewardWarning(UserWarning):
    """Play was paid only where an episode was cut: the message says so, and what to do."""


class MissionWarning(UserWarning):
    """A mission is unlike those that play met, or nobody reads missions: the message says which, and what is known."""


class SymbolWarning(UserWarning):
    """A map shows what play never did: the message says where and what, and what it is taken for."""


class ForbiddenWarning(UserWarning):
    """A goal can only be had by breaking a constraint, as far as the agent knows: it stays with what is allowed."""


class PrecisionWarning(UserWarning):
    """Steps of play are lost in rounding: the message says of which numbers, and what to do."""


# ---------------------------------------------------------------------------------------------------------------- play

Mission = str | tuple[float, ...]
"""What an episode asks for, in canonical form (`hplan.reading`): words, or numbers. Empty where it says nothing."""


def rows_beside(numbers: int) -> int:
    """Rows of an image's array that so many numbers take (`ObservationSpec.numbers`)."""
    return -(-numbers // 4)


@dataclass(frozen=True)
class ObservationSpec:
    """What an agent sees, in hplan's own canonical form.

    `symbols`: uint8/int64 array (H, W, F) of categorical features; `cardinalities[f]` values of feature f. A
        `Discrete(n)` space is the 1 x 1 grid with one feature of n values.
    `vector`: float32 array (D,).
    `image`: uint8 array (H, W, C), C values a pixel. `numbers`: how many float32 measurements come with it; their bytes
        are the last rows of the array, four numbers in each (`hplan.encodings.beside`).
    `context`: (rows, columns) of an image that stays the same for an episode, such as a map; () where there is none.
        Only beside vectors: their first two numbers are x and y, and `context_frame` is the legend of the map: x and y
        of the middle of its first pixel, and units across a pixel. Columns grow with x, rows with y.
    """

    kind: Literal["symbols", "vector", "image"]
    shape: tuple[int, ...]
    cardinalities: tuple[int, ...] = ()
    context: tuple[int, ...] = ()
    context_frame: tuple[float, ...] = ()
    numbers: int = 0

    @property
    def picture(self) -> tuple[int, ...]:
        """(H, W, C) of an image without the numbers beside it."""
        return (self.shape[0] - rows_beside(self.numbers), *self.shape[1:]) if self.numbers else self.shape

    @property
    def text(self) -> str:
        """In words, for messages."""
        values = f" of {', '.join(map(str, self.cardinalities))} values" if self.cardinalities else ""
        seen = {"symbols": "symbols", "vector": "vectors", "image": "images"}[self.kind]
        return f"{seen} of shape {self.shape}{values}" + f" in layouts of {self.context}" * bool(self.context)


@dataclass(frozen=True)
class ActionSpec:
    """`discrete`: integers 0..size-1. `continuous`: float32 (size,) between `low` and `high`, each of length size.

    choices: for each number of continuous ones, how many choices have equal parts of its range, 0 where it is a number;
    () where all are.
    """

    kind: Literal["discrete", "continuous"]
    size: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    choices: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """In words, for messages."""
        bounds = f" from {_numbers(self.low)} to {_numbers(self.high)}" if self.low else ""
        return f"{self.size} {self.kind} action{'s' * (self.size != 1)}{bounds}"


def _numbers(values: tuple[float, ...]) -> str:
    """One for all where they are the same."""
    return ", ".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))


@dataclass(frozen=True)
class Episode:
    """One uninterrupted stretch of play. T actions and T + 1 observations: `observations[t]` precedes `actions[t]`.

    observations (T+1, H, W, F) uint8, (T+1, D) float32 or (T+1, H, W, C) uint8; actions (T,) int64 or (T, A) float32;
    rewards (T,) float32; success, violation (T,) bool. `terminated`: the environment ended after the last action (not:
    cut by a limit).
    context: what the spec says there is of it, uint8. mission: what the episode asks for, if it says so.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    success: np.ndarray
    violation: np.ndarray
    terminated: bool
    seed: int
    context: np.ndarray | None = None
    mission: Mission = ""

    def __len__(self) -> int:
        return len(self.actions)


# -------------------------------------------------------------------------------------------------- levels and planning


@dataclass(frozen=True)
class MacroSpec:
    """The macro-actions of a level. `discrete`: int64 codes 0..M-1; `pointed` codes are (type, cell) pairs of a spatial
    latent, flattened as type * H * W + cell, so that M depends on the latent's size. `continuous`: float32 (size,)."""

    kind: Literal["discrete", "continuous"]
    size: int  # number of codes (types, if pointed), or dimensions
    pointed: bool = False
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) not in (0, self.size):
            raise ValueError(f"{len(self.names)} names of {self.size} macro-actions")


@dataclass(frozen=True)
class Capabilities:
    """How the latents of a level behave. Planners and the controller read this, and never a class.

    discrete: latents are symbols, so that two are equal or not, and a prediction is right or wrong. Else a prediction
        is off by a distance, and within the controller's tolerance it is right.
    events: a step changes the latent at once, whenever something happens. Else it changes by and by, over `stride`
        environment steps.
    prior_weight: steps of a search that a macro-action costs for each nat by which `prior` finds it unlikely.
    prior_floors: a search tries macro-actions of at least the first of these probabilities, and while it does not
        reach its goal those of the next.
    """

    discrete: bool = False
    events: bool = False
    prior_weight: float = 1.0
    prior_floors: tuple[float, ...] = (0.005, 0.0)


class Pairwise(Protocol):
    """(B, *z), (B, *z) -> (B,): an energy of the second latent following the first."""

    def __call__(self, z: Tensor, following: Tensor) -> Tensor: ...


class Outcomes(Protocol):
    """(B, *z), (B,) -> latents (B, K, *z) and their probabilities (B, K): the ways in which a step may end. B predictor
    evaluations."""

    def __call__(self, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]: ...


class Policy(Protocol):
    """(B, *z below), (B, *z) -> mean and deviation (B, A): what play did at a latent of the level below on its way to
    one of this level, in half ranges of the action from its middle."""

    def __call__(self, below: Tensor, target: Tensor) -> tuple[Tensor, Tensor]: ...


class Possible(Protocol):
    """(B, *z) -> rows (N,), macros (N,) int64, steps (N,) float32: all macro-actions that can come next, at which
    latent of the batch, and how many environment steps each of them is expected to take."""

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


class Approach(Protocol):
    """z (*z), macro () -> a function of latents of the level below, (B, *below) -> (B,): how many of its steps the
    macro-action still takes from there, at least; infinite where it cannot be done from, and nought once it is done."""

    def __call__(self, z: Tensor, macro: Tensor) -> Callable[[Tensor], Tensor]: ...


class Relaxed(Protocol):
    """start (*z), goal -> a function of latents (*z): how many macro-actions the goal takes from there if none undoes
    anything, infinite where it is out of reach even so; and which of them come first. None where the goal cannot be
    told from single things that become so."""

    def __call__(self, start: Tensor, goal: Energy) -> Callable[[Tensor], tuple[float, list[int]]] | None: ...


class Spelling(Protocol):
    """below (*z of the level below), macro () -> (L,): the macro-actions of that level which are left of this one."""

    def __call__(self, below: Tensor, macro: Tensor) -> Tensor: ...


class Sweep(Protocol):
    """(B, *z), target (*z) or (B, *z) -> (B, M): the distance to a latent that is expected after each macro-action, all
    of them at once. B predictor evaluations."""

    def __call__(self, z: Tensor, target: Tensor) -> Tensor: ...


class Sampled(Protocol):
    """(B, *z), (B,) -> (B, *z): as `predict`, but drawn from what may come. B predictor evaluations."""

    def __call__(self, z: Tensor, macro: Tensor, generator: torch.Generator | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class DecisionProcess:
    """All that can follow from anywhere, of a level with few latents: a Markov decision process as a table.

    latents (N, *z); number: (B, *z) -> (B,), which of them each latent is. Pair p, of P, is macro-action macro[p] at
    latent node[p], ascending. Outcome e, of E, is one of pair[e], ascending, and leads to latent following[e] with
    chance[e]. What has no pair is where an episode ends, or where play never went on.
    """

    latents: Tensor
    number: Callable[[Tensor], Tensor]
    node: Tensor
    macro: Tensor
    pair: Tensor
    following: Tensor
    chance: Tensor


class Returns(Protocol):
    """Rewards of a level, in the environment's units. `discount`: of one environment step."""

    @property
    def discount(self) -> float: ...

    def step(self, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """(B, *z), (B,) or (B, A), (B, *z) -> (B,) each: the reward of a step, and the chance that it ends the
        episode."""
        ...

    def doubt(self, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        """As `step`, (B,): the reward that it is worth less, since it may end elsewhere or where play never was."""
        ...

    def value(self, z: Tensor) -> Tensor:
        """(B, *z) -> (B,): the discounted rewards that can still be had from there."""
        ...

    def propose(self, z: Tensor) -> Tensor | None:
        """(B, *z) -> (B, A): the macro-actions that seem best, where they are continuous."""
        ...


@runtime_checkable
class WorldModel(Protocol):
    """A level as a planner sees it: propose, predict, score. Every method is batched and free of side effects.

    What not every level has is None there: `compatibility`, `obstruction`, `outcomes`, `process`, `policy`,
    `returns`, `landmarks`, `possible`, `approach`, `relaxation`. What only some have, others need not know of: it is in
    `SpelledLevel` and `SweptLevel`.
    """

    index: int

    @property
    def macro(self) -> MacroSpec: ...

    @property
    def stride(self) -> float:
        """Environment steps that one step of this level covers, on average."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def encode(self, below: Tensor) -> Tensor:
        """Latents of the level below (level 0: observations), (B, *below) -> (B, *z)."""
        ...

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, *z), (B,) or (B, A) -> (B, *z): the latent one step of this level later. B predictor evaluations."""
        ...

    def prior(self, z: Tensor) -> Tensor:
        """(B, *z) -> (B, M): log p(macro | z), which macro-actions play showed to be possible here. Discrete only."""
        ...

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        """(B, *z), (B, *z) -> (B,): how far apart, in units of one typical step of this level."""
        ...

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, *z), (B,) or (B, A) -> (B,): the error that `predict` is expected to make here, in steps of this level.
        Small where one thing follows, and as large as ways to go on are apart where several may."""
        ...

    def keys(self, z: Tensor) -> Tensor:
        """(B, *z) -> (B, N) int64: rows that are equal exactly for latents that search may merge."""
        ...

    @property
    def compatibility(self) -> Pairwise | None:
        """Energy of the second latent being one step after the first; at most 0 is as real steps are. None where the
        prior alone says what can follow."""
        ...

    @property
    def obstruction(self) -> Pairwise | None:
        """Energy of something being in the way between two latents, wherever they are; at most 0 is as between the ends
        of real steps. None where the level sees no map that would show it."""
        ...

    @property
    def outcomes(self) -> Outcomes | None:
        """None where a step ends in one way."""
        ...

    @property
    def process(self) -> DecisionProcess | None:
        """None where latents are too many to know all of them."""
        ...

    @property
    def policy(self) -> Policy | None:
        """How play went about a step of this level, by actions of the level below; None where that was not learned."""
        ...

    @property
    def returns(self) -> Returns | None:
        """None where no rewards were learned."""
        ...

    @property
    def landmarks(self) -> Tensor | None:
        """(K, *z): real latents that lie about evenly over play, the first few of them too; None where there are
        none."""
        ...

    @property
    def possible(self) -> Possible | None:
        """None where the prior alone says what can follow."""
        ...

    @property
    def approach(self) -> Approach | None:
        """None where nothing is known of the way to a macro-action."""
        ...

    @property
    def relaxation(self) -> Relaxed | None:
        """None where it is not known what macro-actions take and make."""
        ...


class SpelledLevel(WorldModel, Protocol):
    """A level whose macro-actions say themselves what the level below does, which does not plan them."""

    @property
    def spelling(self) -> Spelling: ...


class SweptLevel(WorldModel, Protocol):
    """A level of maps of symbols, one pass of which tells of all its macro-actions, and that draws what may come."""

    @property
    def sweep(self) -> Sweep: ...

    @property
    def sample(self) -> Sampled: ...

    @property
    def makes(self) -> Tensor:
        """(V,) bool: which symbols some macro-action sets."""
        ...

    @property
    def yields(self) -> Tensor:
        """(V,): the chance that a macro-action sets a cell where it has each symbol, of that of any cell."""
        ...


def is_spelled(level: WorldModel) -> TypeGuard[SpelledLevel]:
    return getattr(level, "spelling", None) is not None


def is_swept(level: WorldModel) -> TypeGuard[SweptLevel]:
    return getattr(level, "sweep", None) is not None


@runtime_checkable
class Energy(Protocol):
    """A goal for one level: (B, *z) -> (B,) energies. A latent reaches the goal when its energy is <= `threshold`.

    One that a caller gives may have `level`, the level whose latents it is over; 0 where it has none.
    """

    @property
    def threshold(self) -> float: ...

    def __call__(self, z: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Budget:
    """How much one call of a planner may spend: predictor evaluations, and steps of the level ahead."""

    evaluations: int
    horizon: int


@dataclass(frozen=True)
class PlanResult:
    """What a planner returns: one path in a level's latent space, start included.

    macros (L,) int64 or (L, A) float32; latents (L+1, *z); energies (L+1,) to the goal; costs (L,) of each step.
    """

    macros: Tensor
    latents: Tensor
    energies: Tensor
    costs: Tensor
    reached: bool
    evaluations: int

    def __len__(self) -> int:
        return len(self.macros)


class StepCost(Protocol):
    """Extra cost of single steps, e.g. the memory of failed ones: (B, *z), (B, *z) -> (B,)."""

    def __call__(self, z: Tensor, following: Tensor) -> Tensor: ...


@runtime_checkable
class Proposal(Protocol):
    """Which macro-actions a search tries at a latent, and which it keeps for when those fail: in `rounds` that widen.

    Made with keyword arguments, of which it may ignore any: `floors`, least probabilities by round; `widest`,
    macro-actions tried at one latent at the most.
    """

    @property
    def rounds(self) -> int: ...

    def __call__(self, log_p: Tensor, types: int) -> Tensor:
        """log_p (B, M) of a level's prior, where M is `types` times the places that a pointed macro-action has -> the
        round in which each is tried first, (B, M) int64; -1 for never."""
        ...


@runtime_checkable
class Planner(Protocol):
    """Finds macro-actions of one level that bring its latent to a goal. Pure: same arguments, same answer."""

    def plan(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Energy,
        *,
        budget: Budget,
        step_cost: StepCost | None = None,
        generator: torch.Generator | None = None,
    ) -> PlanResult: ...


@runtime_checkable
class LearningPlanner(Protocol):
    """A `Planner` that an agent's own experience makes a better one."""

    def taught(self, level: Any, z: Tensor, actions: Tensor, failed: Sequence[tuple[Tensor, Tensor, int]]) -> Planner:
        """The planner after an episode: latents z (T, *z) of the level and environment's actions (T, ...) at every
        step; and what failed, steps of the level from one latent (*z) to another, and how often."""
        ...


# ------------------------------------------------------------------------------------------------- control and the plan

Status = Literal["pending", "active", "reached", "failed", "dropped"]
Cause = Literal["", "start", "surprise", "no-progress", "overrun", "used-up", "clock", "infeasible", "forbidden"]


@dataclass(frozen=True)
class PlanNode:
    """One subgoal of one level in a PlanTree: everything that view, trace and tests read."""

    id: int
    level: int
    label: str  # what the macro-action is, in words or numbers
    expected_steps: float  # environment steps
    spent_steps: int = 0
    energy: float = float("nan")  # to this node's parent goal, after this step, as predicted
    cost: float = 0.0
    evaluations: int = 0  # predictor evaluations that planning below this node has cost so far
    status: Status = "pending"
    cause: Cause = ""  # why it was planned
    is_goal: bool = False  # hands down the goal itself instead of a predicted latent


@dataclass(frozen=True)
class Repair:
    """What was replanned, and why. `surprise` and `threshold` are in units of the level's own step."""

    step: int
    level: int
    cause: Cause
    surprise: float
    threshold: float
    kept: int  # nodes that stayed: of upper levels, and of a plan that was found to hold in spite of the surprise
    dropped: int  # nodes thrown away


@dataclass(frozen=True)
class LevelInfo:
    """Entry of `levels_info` in the JSON of `hplan eval`."""

    level: int
    stride: float
    latent_shape: tuple[int, ...]
    macro: str


@dataclass(frozen=True)
class Result:
    """What `hplan.evaluate` returns; `asdict` of it is contract.md's JSON. Rates are fractions, times milliseconds."""

    task: str
    agent: str
    method: str
    levels: int
    replan: str
    seed: int
    episodes: int
    successes: int
    success_rate: float
    ci95: tuple[float, float]
    per_goal: dict[str, float]
    steps_mean: float
    steps_success_mean: float
    return_mean: float
    predictor_evals_per_step: float
    plan_ms_per_step: float
    planner_calls: dict[str, float]
    repairs: dict[str, float]
    constraint_violations: float
    levels_info: list[dict[str, Any]]
    train: dict[str, Any]
    versions: dict[str, str]
    model_evals_per_step: float = math.nan  # rows through any network; NaN where they are not known
    flops_per_step: float = math.nan  # of the layers of these networks
    records: list[dict[str, Any]] = field(default_factory=list)  # one per episode: seed, success, steps, return, evals


@dataclass(frozen=True)
class LevelInspection:
    """Figures of one level on fresh play (docs/inspection.md). Distances are in steps of the level, times in
    environment steps. NaN: not measurable here; infinite: more than this play could show.

    durations: quartiles of how long its steps took. effective_rank, of rank_of at most. deviation: of each dimension,
    least, median and largest; dead: how many hardly vary. spectrum: shares of the singular values. closest: largest
    cosine of two symbols, NaN for vectors. macro_sensitivity: how far predictions under different possible
    macro-actions lie apart. autocorrelation: the time in which a latent forgets itself; correlation: (lag,
    autocorrelation) pairs behind it. errors: (horizon in steps of the level, open-loop prediction error, error of
    predicting no change). codes: kinds of macro-actions there are; codes_used: their perplexity in play, codes_seen:
    share of them that occurred. thresholds: of surprise, by look-ahead. false_alarms: (nominal rate, share of moments
    of this play above the threshold for it). probes: R2 of a linear probe, by factor. symptoms: of collapse, in words,
    by figure. accuracies: (steps, share predicted exactly) by what a step did to symbols.
    """

    level: int
    stride: float
    durations: tuple[float, float, float]
    latent_shape: tuple[int, ...]
    macro: str
    effective_rank: float
    rank_of: int
    deviation: tuple[float, float, float]
    dead: int
    spectrum: tuple[float, ...]
    closest: float
    macro_sensitivity: float
    autocorrelation: float
    correlation: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float, float], ...]
    codes: int
    codes_used: float
    codes_seen: float
    thresholds: tuple[float, ...]
    false_alarms: tuple[tuple[float, float], ...]
    tolerance: float
    succeeds: bool
    probes: dict[str, float]
    symptoms: dict[str, str]
    accuracies: dict[str, tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """What `hplan inspect` shows: the agent, the play that it was measured on, and its levels from the finest up."""

    agent: str
    trained_on: str
    success_rule: str
    task: str
    seed: int
    steps: int
    episodes: int
    train: dict[str, Any]
    versions: dict[str, str]
    levels: tuple[LevelInspection, ...]


@dataclass(frozen=True, eq=False)
class LevelSurprise:
    """Of one level in one episode: errors (M,), in steps of the level, at these moments (M,) int64, each the number of
    the observation that was predicted. Undisturbed play exceeds `threshold` in one moment of a hundred. An event of a
    kind that play never showed is infinitely far off."""

    level: int
    moments: np.ndarray
    errors: np.ndarray
    threshold: float

    @property
    def found(self) -> int | None:
        """The moment of the largest error; None where none exceeds the threshold."""
        if not len(self.errors) or not self.errors.max() > self.threshold:
            return None
        return int(self.moments[self.errors.argmax()])


@dataclass(frozen=True)
class Disturbance:
    """How a level tells episodes that were disturbed in one way. auroc: chance that a disturbed episode has a larger
    error than an undisturbed one. found: share of them whose largest error exceeds the threshold within one step of the
    level after the moment. Of `episodes`, all that could be disturbed so. profile (2 * n + 1,): the largest error in
    each of n steps of the level before the moment, and from it on, on average; NaN where nothing was predicted."""

    kind: str
    auroc: float
    found: float
    episodes: int
    profile: tuple[float, ...]


@dataclass(frozen=True)
class LawReport:
    """How a level tells films that break a law from matched ones that do not, by the largest error in each. `hidden`:
    behind a screen. relative: share of the pairs of films that begin alike in which the impossible one has the larger
    error; sets_told: of the quadruplets in which both impossible ones have the larger mean error together; of equal
    ones half. auroc: chance that an impossible film has a larger error than a possible one of that law."""

    law: str
    hidden: bool
    quadruplets: int
    relative: float
    sets_told: float
    auroc: float


@dataclass(frozen=True, eq=False)
class FilmStrip:
    """One film as a picture shows it. frames (T, H, W, 3) uint8: the newest of every moment; errors of the finest level
    at some of these moments, and its threshold. moment: when a law is broken; None: never."""

    name: str
    frames: np.ndarray
    moments: tuple[int, ...]
    errors: tuple[float, ...]
    threshold: float
    moment: int | None = None


@dataclass(frozen=True)
class LevelReport:
    """false_alarms: share of the moments of undisturbed episodes above the threshold. laws: of worlds that have films
    in matched quadruplets. film_alarms: there, (nominal, measured) rates at which possible films are taken for
    impossible ones, by thresholds from others."""

    level: int
    stride: float
    threshold: float
    false_alarms: float
    disturbances: tuple[Disturbance, ...]
    laws: tuple[LawReport, ...] = ()
    film_alarms: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class SurpriseReport:
    """What `hplan surprise` shows. moments: of every undisturbed episode, by level, (moment, error) pairs."""

    agent: str
    task: str
    seed: int
    episodes: int
    levels: tuple[LevelReport, ...]
    moments: tuple[tuple[tuple[tuple[int, float], ...], ...], ...]
