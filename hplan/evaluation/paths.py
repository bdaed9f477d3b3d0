"""Where an episode in a maze went and which places its levels aimed for: for pictures of it, never for an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hplan.evaluation.episode import begin, play
from hplan.report.path_figure import MazePath
from hplan.types import UsageError
from hplan.worlds.layers import layer_of
from hplan.worlds.mazes import MazeView, Place

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.worlds.split import SplitEnv

ACROSS = 9  # places in a row that are looked at in every cell


def follow(agent: Agent, env: SplitEnv, seed: int) -> MazePath:
    """Play the episode of that seed, as `hplan eval` does. A subgoal is a latent: it is drawn at the free place whose
    own latent is nearest to it. Raises UsageError where the environment is no maze."""
    maze = layer_of(env, MazeView)
    if maze is None:
        raise UsageError(f"{env.name} has no map to draw ways on: only mazes have (`hplan watch` shows any world)")
    observation, info = begin(agent, env, seed)
    places = _free_places(maze)
    here = agent.stack.conditioned(info.get("context")).begun(agent.stack.codec.encode(observation))
    levels, z = here.levels, here.together(maze.seen_from(places))
    latents: list[Tensor] = []
    with torch.inference_mode():
        for level in levels:
            z = level.encode(z)
            latents.append(z)
    way, latest, success = [maze.position], {}, False
    subgoals: dict[int, list[int]] = {}
    for moment in play(agent, env, observation, seed):
        way.append(maze.position)
        success = success or moment.success
        for k, target in agent.subgoals.items():
            if k and not (k in latest and torch.equal(latest[k], target)):
                latest[k] = target
                off = levels[k].distance(latents[k], target.expand_as(latents[k]))
                subgoals.setdefault(k, []).append(int(off.argmin()))
    goal, name = _cells(maze, maze.goal_position[None]), info.get("goal_name", "")
    aims = {k: _pairs(_cells(maze, places[rows])) for k, rows in sorted(subgoals.items())}
    return MazePath(maze.walls, _cells(maze, np.stack(way)), _pairs(goal)[0], name, success, aims)


def _free_places(maze: MazeView) -> np.ndarray:
    """(N, 2) float32: positions all over the map that touch no wall."""
    inside = (np.arange(ACROSS) + 0.5) / ACROSS - 0.5
    origin, unit = _frame(maze)
    rows, columns = np.nonzero(~maze.walls)
    cells = np.stack([columns, rows], 1)[:, None, None] + np.stack(np.meshgrid(inside, inside), -1)[None]
    places = origin + unit * cells.reshape(-1, 2)
    return places[[maze.is_clear(*place) for place in places.tolist()]].astype(np.float32)


def _cells(maze: MazeView, places: np.ndarray) -> np.ndarray:
    origin, unit = _frame(maze)
    return (places - origin) / unit


def _frame(maze: MazeView) -> tuple[np.ndarray, np.ndarray]:
    """(2,), (2,): where the cell of row 0 and column 0 has its middle, and how far it is to the next ones."""
    origin = np.array(maze.centre((0, 0)))
    return origin, np.array(maze.centre((1, 1))) - origin


def _pairs(places: np.ndarray) -> list[Place]:
    return [(float(x), float(y)) for x, y in places]
