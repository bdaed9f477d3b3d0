"""Which planner each level gets: by its capabilities, whether it has a landmark graph, and what the user asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.parts import found
from hplan.planning.cem import CrossEntropy
from hplan.planning.gradient import GradientDescent
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.lattice import LatticeSearch
from hplan.planning.lookahead import Lookahead
from hplan.planning.mppi import PathIntegral
from hplan.planning.novelty import NoveltySearch
from hplan.planning.rollout import PLAN_STEPS
from hplan.planning.search import BestFirstSearch
from hplan.planning.sweeping import Ordering, Sweeping
from hplan.planning.value_iteration import ValueIteration
from hplan.types import Planner, UsageError, WorldModel, is_swept
from hplan.validation import check_arguments

PlannerFor = Callable[[WorldModel], Planner]
SHARED = ("uncertainty_weight", "compatibility_weight")  # arguments of the search that mean the same to a graph
# Arguments that a user may set, of planners over continuous macro-actions; and which of them all that sample have.
SAMPLING = ("candidates", "rounds", "elites", "guided", "plan_steps")
SAMPLED, HELD = ("candidates", "rounds", "plan_steps"), ("held",)


@dataclass(frozen=True)
class Planning:
    """What a planner may be chosen by.

    edges: landmark graphs, of the levels that have one. chance: whether play showed transitions that nothing could have
    predicted. levels: of the stack. subgoal_steps: steps of level 0 that one of level 1 lasts, 0 where there is none.
    proposal: what a search tries at a latent, by name (`hplan.parts`) or as a class. settings: some of
    `planner_settings`.
    """

    edges: Mapping[int, LandmarkEdges] = field(default_factory=dict)
    chance: bool = False
    subgoal_steps: int = 0
    proposal: Any = "prior"
    levels: tuple[WorldModel, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def planner_settings() -> dict[str, Any]:
    """What may be set, with defaults: arguments of `BestFirstSearch` and, `SAMPLING` and `HELD`, of `CrossEntropy` and
    `LatticeSearch`."""
    searching, sampling, holding = (
        dict(kind.__init__.__kwdefaults__ or {}) for kind in (BestFirstSearch, CrossEntropy, LatticeSearch)
    )
    own = {name: (sampling | holding)[name] for name in SAMPLING + HELD}
    return {name: value for name, value in searching.items() if name != "proposal"} | own


def check_planner_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of `planner_settings`, by the ranges that the planners' constructors declare. Raises UsageError."""
    kinds: dict[Any, dict[str, Any]] = {CrossEntropy: {}, LatticeSearch: {}, BestFirstSearch: {}}
    for name, value in values.items():
        kind = CrossEntropy if name in SAMPLING else LatticeSearch if name in HELD else BestFirstSearch
        kinds[kind][name] = value
    checked = (check_arguments(kind.__init__, own, "settings") for kind, own in kinds.items())
    return {name: value for own in checked for name, value in own.items()}


def chosen_planner(one: Any = "auto", planning: Planning | None = None) -> PlannerFor:
    """The planner of every level. `one`: a name of `hplan.parts` or MODULE:NAME, an object with `plan`, the class of
    one, or a function (level, planning) -> planner.

    Raises UsageError for an unknown name, and for a graph that no level has.
    """
    planning, factory = planning or Planning(), found("planner", one)
    if factory is graph and not planning.edges:
        raise UsageError(
            "planner 'graph': no level of this agent has a landmark graph; level 0, levels over symbols or in a layout "
            "that they see, and agents trained before there were any have none: use planner 'auto', or train it again"
        )
    if hasattr(factory, "plan"):
        planner = factory() if isinstance(factory, type) else factory
        return lambda level: planner
    return lambda level: factory(level, planning)


def auto(level: WorldModel, planning: Planning) -> Planner:
    """Search, but the landmark graph where play showed chance: what cannot be predicted cannot be imagined, but it can
    be walked around on what was crossed."""
    return graph(level, planning) if planning.chance else search(level, planning)


def search(level: WorldModel, planning: Planning) -> Planner:
    """Best-first search where macro-actions are discrete, the cross-entropy method where they are continuous, and value
    iteration where steps of the level end in several ways, or all of them are known. For rewards, lookahead, unless all
    that follows is known."""
    usual = _search(level, planning)
    return usual if level.returns is None or level.process is not None else Lookahead(usual)


def _search(level: WorldModel, planning: Planning) -> Planner:
    if is_swept(level):
        return Sweeping()
    if 0 < level.index <= len(planning.levels) and is_swept(below := planning.levels[level.index - 1]):
        return Ordering(below)
    if level.possible is not None:
        return NoveltySearch()
    if level.process is not None or level.outcomes is not None:
        return ValueIteration()
    if level.macro.kind == "continuous":
        return cross_entropy(level, planning)
    own = {name: value for name, value in planning.settings.items() if name not in SAMPLING + HELD}
    usual = {"prior_weight": level.capabilities.prior_weight, "floors": level.capabilities.prior_floors}
    return BestFirstSearch(**usual | own, proposal=found("proposal", planning.proposal))


def graph(level: WorldModel, planning: Planning) -> Planner:
    """The landmark graph, on the levels that have one."""
    if level.index not in planning.edges or level.landmarks is None:
        return search(level, planning)
    edges = planning.edges[level.index]
    weights = {k: v for k, v in planning.settings.items() if k in SHARED}
    return LandmarkGraph(level.landmarks[: edges.count].float(), edges, **weights)


def cross_entropy(level: WorldModel, planning: Planning) -> Planner:
    """The cross-entropy method where macro-actions are continuous, with plans as long as a step of the level above."""
    return _sampling(CrossEntropy, level, planning, SAMPLING)


def path_integral(level: WorldModel, planning: Planning) -> Planner:
    """Model predictive path integral control where macro-actions are continuous."""
    return _sampling(PathIntegral, level, planning, SAMPLED)


def gradient(level: WorldModel, planning: Planning) -> Planner:
    """Gradient descent on the macro-actions where they are continuous."""
    return _sampling(GradientDescent, level, planning, SAMPLED)


def lattice(level: WorldModel, planning: Planning) -> Planner:
    """Search over a few macro-actions, each held for a while, where they are continuous."""
    if level.macro.kind != "continuous":
        return search(level, planning)
    return LatticeSearch(**{name: planning.settings[name] for name in HELD if name in planning.settings})


def _sampling(kind: Callable[..., Planner], level: WorldModel, planning: Planning, names: Sequence[str]) -> Planner:
    if level.macro.kind != "continuous":
        return search(level, planning)
    usual = {"plan_steps": max(PLAN_STEPS, 0 if level.index else planning.subgoal_steps)}
    return kind(**usual | {name: planning.settings[name] for name in names if name in planning.settings})
