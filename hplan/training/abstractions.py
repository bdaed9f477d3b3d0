"""Which abstraction a task is learned by: what its spaces allow, and what its images show."""

from __future__ import annotations

from typing import Any

from hplan.config import TaskConfig
from hplan.parts import found
from hplan.registry import make_world
from hplan.training.cellular_levels import shows_register
from hplan.training.tiles import shows_tiles
from hplan.types import ActionSpec, ObservationSpec, UsageError


def abstraction_of(task: TaskConfig, specs: tuple[ObservationSpec, ActionSpec], one: Any, encoder: Any) -> Any:
    """The class by its name, or what is usual there. Raises UsageError for one that does not go with the spaces."""
    kind, one = specs[0].kind, _usual(task, specs, encoder) if one == "auto" else one
    made = found("abstraction", one)
    if kind not in made.observations:
        raise UsageError(f"{task.name} shows {kind}, and abstraction {one!r} is for {', '.join(made.observations)}")
    if specs[0].numbers and made is not found("abstraction", "strides"):
        raise UsageError(f"{task.name} shows numbers beside images, which abstraction {one!r} does not see")
    if made is found("abstraction", "events"):
        if specs[1].kind == "continuous":
            raise UsageError(
                f"{task.name}: symbols with continuous actions have no events; leave out abstraction {one!r}"
            )
        if encoder != "auto":
            raise UsageError(f"encoder {encoder!r} makes vectors, and levels of events are over maps: leave one out")
    return made


def _usual(task: TaskConfig, specs: tuple[ObservationSpec, ActionSpec], encoder: Any) -> str:
    """Events where actions are discrete and observations are maps of symbols, or images made of tiles; cellular where
    images show beside the world what has been chosen. Else, or where an encoder makes vectors, strides."""
    if encoder != "auto" or specs[1].kind != "discrete" or specs[0].kind == "vector" or specs[0].numbers:
        return "strides"
    if specs[0].kind == "symbols":
        return "events"
    world = make_world(task)
    found = "cellular" if shows_register(world) else "events" if shows_tiles(world) else "strides"
    world.close()
    return found


def learns_rewards(abstraction: Any, seen: ObservationSpec) -> bool:
    """Whether levels may: as a table, over vectors, or of events over maps where a mover can be told from its ground,
    which takes two features of a cell."""
    if abstraction is not found("abstraction", "events"):
        return True
    return seen.kind == "symbols" and (seen.shape[:2] == (1, 1) or seen.shape[2] > 1)
