"""Which planner each level gets: by what the level is, whether it has a landmark graph, and what the user asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hplan.levels.landmark_edges import LandmarkEdges
from hplan.levels.landmarks import Landmarked
from hplan.levels.spatial import CERTAIN
from hplan.planning.cem import HORIZON, CrossEntropy
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.search import BestFirstSearch
from hplan.planning.value_iteration import Stochastic, ValueIteration
from hplan.types import Planner, UsageError, WorldModel
from hplan.validation import check_arguments

PLANNERS = ("auto", "search", "graph")
PlannerFor = Callable[[WorldModel], Planner]
# Search over latents that change by and by: the prior is of a codebook, in which one way has several names.
GRADUAL: dict[str, Any] = {"floors": (0.02, 0.005), "prior_weight": 0.3}
# Search over events: how often play did one says that it is possible, and little of what it costs. By the prior, to be
# at the goal at once, through shut doors, was cheaper than to open five of them first, as play seldom did
# (docs/lessons.md). Of ways that are as long the likelier one is taken.
EVENTS: dict[str, Any] = {"prior_weight": 0.01}
SHARED = ("uncertainty_weight", "compatibility_weight")  # arguments of the search that mean the same to a graph
SAMPLING = ("candidates", "rounds", "elites", "guided")  # arguments of the cross-entropy method that a user may set


def planner_settings() -> dict[str, Any]:
    """What may be set, with defaults: arguments of `BestFirstSearch` and, `SAMPLING`, `CrossEntropy`."""
    sampling = CrossEntropy.__init__.__kwdefaults__ or {}
    return (BestFirstSearch.__init__.__kwdefaults__ or {}) | {name: sampling[name] for name in SAMPLING}


def check_planner_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of `planner_settings`, by the ranges that the planners' constructors declare. Raises UsageError."""
    sampling = {name: value for name, value in values.items() if name in SAMPLING}
    searching = {name: value for name, value in values.items() if name not in SAMPLING}
    return check_arguments(CrossEntropy.__init__, sampling, "settings") | check_arguments(
        BestFirstSearch.__init__, searching, "settings"
    )


def default_planner(level: WorldModel, *, hop: int = 0, **settings: Any) -> Planner:
    """Search where macro-actions are discrete, the cross-entropy method where they are continuous, and value iteration
    where steps of the level end in several ways. `hop`: steps that one of the level above lasts, if there is one; what
    samples plans makes them that long. `settings`: some of `planner_settings`."""
    if isinstance(level, Stochastic) and level.certainty < CERTAIN:
        return ValueIteration()
    samples = level.macro.kind == "continuous"
    own = {name: value for name, value in settings.items() if (name in SAMPLING) == samples}
    if samples:
        return CrossEntropy(horizon=max(HORIZON, hop), **own)
    # Where latents change by and by, what hardly ever happened is more often a mistake of the prior than a way.
    usual = GRADUAL if not level.exact else EVENTS if level.index else {}
    return BestFirstSearch(**usual | own)


def chosen_planner(
    name: str = "auto",
    edges: Mapping[int, LandmarkEdges] | None = None,
    *,
    chance: bool = False,
    hop: int = 0,
    **settings: Any,
) -> PlannerFor:
    """`hop`: steps of level 0 that one of level 1 lasts, if there is one. `name`: "search" is the default planner of
    every level, "graph" a landmark graph on those that have `edges`. "auto" searches, but goes by the graph where play
    showed `chance`: what cannot be predicted cannot be imagined, but it can be walked around on what was crossed.

    Raises UsageError for another name, and for a graph that no level has.
    """
    edges = edges or {}
    if name not in PLANNERS:
        raise UsageError(f"planner {name!r}; expected one of {', '.join(PLANNERS)}")
    if name == "graph" and not edges:
        raise UsageError(
            "planner 'graph': no level of this agent has a landmark graph; level 0, levels over symbols or in a layout "
            "that they see, and agents trained before there were any have none: use planner 'auto', or train it again"
        )

    def planner(level: WorldModel) -> Planner:
        remembered = name == "graph" or (name == "auto" and chance)
        if not remembered or level.index not in edges or not isinstance(level, Landmarked):
            return default_planner(level, hop=0 if level.index else hop, **settings)
        own, weights = edges[level.index], {k: v for k, v in settings.items() if k in SHARED}
        return LandmarkGraph(level.landmarks[: own.count].float(), own, **weights)

    return planner
