"""Parts by name: what a level, its training or its planning is made of, found in one table.

A name is one of `BUILT_IN`, one that an installed package registers as an entry point of the group `hplan.KIND` (such
as `hplan.encoder`), or `MODULE:NAME`. Objects are their own names: what may be named on the command line may be passed
to `hplan.learn` and `hplan.load` as it is. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from hplan.types import UsageError

BUILT_IN: dict[str, dict[str, str]] = {
    "encoder": {
        "fourier": "hplan.levels.encoders:FourierEncoder",
        "standard": "hplan.levels.encoders:StandardEncoder",
        "one-hot": "hplan.levels.encoders:OneHotEncoder",
        "pixels": "hplan.levels.pixels:PixelEncoder",
        "patches": "hplan.levels.pixels:PatchEye",
        "colours": "hplan.levels.pixels:ColourEye",
        "convolutional": "hplan.levels.pixels:ConvEye",
        "films": "hplan.levels.pixels:FilmEye",
        "mlp": "hplan.levels.encoders:MLPEncoder",
        "identity": "hplan.levels.encoders:IdentityEncoder",
        "tiles": "hplan.levels.tile_encoder:TileEncoder",
        "cells": "hplan.levels.encoders:CellEncoder",
        "variables": "hplan.levels.tables:VariableEncoder",
        "slow-symbols": "hplan.levels.encoders:SlowSymbols",
        "colour-map": "hplan.levels.cellular:ColourMap",
        "cells-alone": "hplan.levels.cellular:Cells",
    },
    "space": {
        "vector": "hplan.levels.spaces:VectorSpace",
        "discrete-map": "hplan.levels.spaces:DiscreteMap",
        "reach-map": "hplan.levels.reach:ReachMap",
        "cellular-map": "hplan.levels.cellular:CellularSpace",
        "variables": "hplan.levels.tables:Variables",
    },
    "dynamics": {
        "residual": "hplan.levels.dynamics:ResidualNetwork",
        "next-frame": "hplan.levels.dynamics:NextFrame",
        "local-convolution": "hplan.levels.dynamics:LocalConvolution",
        "local-window": "hplan.levels.dynamics:LocalWindow",
        "event-edit": "hplan.levels.reach:EventEdit",
        "cellular": "hplan.levels.cellular:Cellular",
        "spelled-cellular": "hplan.levels.cellular:SpelledCellular",
        "kept-part": "hplan.levels.cellular:KeptPart",
        "tables": "hplan.levels.tables:Tables",
    },
    "macro": {
        "actions": "hplan.levels.macros:Actions",
        "codes": "hplan.levels.macros:Codes",
        "events": "hplan.levels.macros:Events",
        "reach-events": "hplan.levels.reach:ReachEvents",
        "words": "hplan.levels.cellular:Words",
        "parts": "hplan.levels.cellular:Parts",
    },
    "prior": {
        "categorical": "hplan.levels.heads.prior:CategoricalPrior",
        "affordance": "hplan.levels.heads.prior:AffordancePrior",
        "event": "hplan.levels.heads.prior:EventPrior",
        "possible-events": "hplan.levels.reach:PossibleEvents",
        "known-steps": "hplan.levels.tables:KnownSteps",
        "register": "hplan.levels.cellular:RegisterPrior",
        "even": "hplan.levels.cellular:EvenPrior",
    },
    "success": {
        "vector": "hplan.levels.heads.success:VectorSuccess",
        "map": "hplan.levels.heads.success:MapSuccess",
        "conjunction": "hplan.levels.heads.conjunction:Conjunction",
        "place": "hplan.levels.heads.place:PlaceSuccess",
        "target": "hplan.levels.heads.target:TargetSuccess",
        "status": "hplan.levels.tables:StatusSuccess",
    },
    "compatibility": {
        "in-distribution": "hplan.levels.heads.compatibility:InDistribution",
        "contrastive": "hplan.levels.heads.compatibility:Contrastive",
    },
    "uncertainty": {
        "expected-error": "hplan.levels.heads.uncertainty:ExpectedError",
        "outcomes": "hplan.levels.heads.uncertainty:OutcomeChances",
        "counted": "hplan.levels.tables:CountedChances",
    },
    "violation": {
        "map": "hplan.levels.heads.violation:MapViolation",
        "vector": "hplan.levels.heads.violation:VectorViolation",
        "tables": "hplan.levels.heads.violation:TableViolation",
    },
    "policy": {"subgoal": "hplan.levels.heads.policy:SubgoalPolicy"},
    "returns": {
        "vector": "hplan.levels.heads.returns:VectorReturns",
        "tables": "hplan.levels.tables:TableReturns",
        "events": "hplan.levels.heads.event_returns:EventReturns",
    },
    "conditioning": {"map": "hplan.levels.heads.conditioning:MapConditioning"},
    "objective": {
        "vicreg": "hplan.objectives.vicreg:VICReg",
        "sigreg": "hplan.objectives.sigreg:SIGReg",
        "infonce": "hplan.objectives.infonce:InfoNCE",
        "byol": "hplan.objectives.byol:BYOL",
        "dino": "hplan.objectives.dino:DINO",
        "none": "hplan.objectives.none:PredictionError",
    },
    "eye_objective": {
        "inverse": "hplan.training.eyes.inverse:InverseDynamics",
        "vicreg": "hplan.training.eyes.nearby:NearbyVICReg",
        "sigreg": "hplan.training.eyes.nearby:NearbySIGReg",
        "infonce": "hplan.training.eyes.nearby:NearbyInfoNCE",
        "byol": "hplan.training.eyes.nearby:NearbyBYOL",
        "dino": "hplan.training.eyes.nearby:NearbyDINO",
        "i-jepa": "hplan.training.eyes.hidden:HiddenBlocks",
        "v-jepa": "hplan.training.eyes.hidden:HiddenTubes",
        "causal-v-jepa": "hplan.training.eyes.hidden:HiddenFuture",
        "later-frames": "hplan.training.eyes.later:LaterFrames",
        "reconstruction": "hplan.training.eyes.controls:Reconstruction",
        "random": "hplan.training.eyes.controls:Random",
    },
    "abstraction": {
        "events": "hplan.training.events:Events",
        "strides": "hplan.training.strides:Strides",
        "cellular": "hplan.training.cellular_levels:CellularLevels",
    },
    "planner": {
        "auto": "hplan.planning.choice:auto",
        "search": "hplan.planning.choice:search",
        "graph": "hplan.planning.choice:graph",
        "cem": "hplan.planning.choice:cross_entropy",
        "mppi": "hplan.planning.choice:path_integral",
        "gradient": "hplan.planning.choice:gradient",
        "lattice": "hplan.planning.choice:lattice",
    },
    "proposal": {"prior": "hplan.planning.proposal:PriorProposal"},
    "energy": {},
    "constraint": {},
}
"""What a level, its training and its planning are made of; `energy` and `constraint` have none by name: they are of an
episode."""

CHOSEN = ("encoder", "objective", "eye_objective", "abstraction", "planner", "proposal", "energy", "constraint")
"""The kinds that a user chooses by name; the others follow from these."""


def names(kind: str) -> list[str]:
    """The names that there are of a kind: built-in ones first, then those of entry points."""
    return [*BUILT_IN[kind], *sorted({point.name for point in entry_points(group=f"hplan.{kind}")} - {*BUILT_IN[kind]})]


def find(kind: str, name: str) -> Any:
    """The class or function of that name. Raises UsageError for an unknown one, and where it cannot be imported."""
    if name in BUILT_IN[kind]:
        return _imported(kind, BUILT_IN[kind][name])
    for point in entry_points(group=f"hplan.{kind}"):
        if point.name == name:
            return _imported(kind, point.value)
    if ":" in name:
        return _imported(kind, name)
    near = difflib.get_close_matches(name, names(kind), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names(kind)) or '(none)'}"
    raise UsageError(f"{kind} {name!r} is not known: {hint} (MODULE:NAME takes one of your own)")


def found(kind: str, one: Any) -> Any:
    """`find` for a name, and everything else as it is."""
    return find(kind, one) if isinstance(one, str) else one


def name_of(kind: str, one: Any) -> str:
    """The name under which a class or a function is found again; names stay as they are.

    Raises UsageError for an object without such a name: a saved agent could not be made again.
    """
    if isinstance(one, str):
        return one
    module, path = getattr(one, "__module__", ""), getattr(one, "__qualname__", "<nothing>")
    text = f"{module}:{path}"
    if "<" in path or not isinstance(one, type | Callable):
        raise UsageError(
            f"{kind} {one!r} cannot be found again when the agent is loaded: pass a class or a function that a module "
            "defines, or its name as MODULE:NAME"
        )
    return next((name for name, where in BUILT_IN[kind].items() if where == text), text)


def _imported(kind: str, where: str) -> Any:
    module, _, path = where.partition(":")
    try:
        thing: Any = import_module(module)
        for step in path.split("."):
            thing = getattr(thing, step)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{kind} {where!r} cannot be imported ({error}); expected MODULE:NAME") from error
    return thing
