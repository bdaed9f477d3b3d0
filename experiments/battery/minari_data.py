"""A Minari data set made here, as D4RL/pointmaze/umaze-v2 was made (Farama's minari-dataset-generation-scripts): a
controller that knows the maze steers from goal to goal, and every step of it is disturbed. Regenerated, not downloaded.

    python experiments/battery/minari_data.py --out DIR --steps 100000

A goal that is reached ends an episode, and the next one begins there. The data set lies in DIR/minari, and as hplan
imports it in DIR/play.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import gymnasium_robotics
import minari
import networkx
import numpy as np
from minari.data_collector import EpisodeBuffer

from hplan.play.exchange import import_minari

NAME = "pointmaze/umaze-v0"
GAIN, DAMPING, NOISE, NEAR = 10.0, 1.0, 0.5, 0.1
PACKAGES = (gymnasium_robotics,)  # importing it registers its mazes


class Controller:
    """Steers to the middle of the next cell on a shortest way, and in the goal's cell to the goal."""

    def __init__(self, maze: Any) -> None:
        self.maze = maze
        free = {(i, j) for i, row in enumerate(maze.maze_map) for j, cell in enumerate(row) if cell != 1}
        beside = [((i, j), to) for i, j in free for to in ((i + 1, j), (i, j + 1)) if to in free]
        self.ways = dict(networkx.all_pairs_shortest_path(networkx.Graph(beside)))
        self.goal, self.left = np.zeros(0), []

    def __call__(self, observation: Any) -> np.ndarray:
        at, goal = observation["achieved_goal"], observation["desired_goal"]
        if not np.array_equal(goal, self.goal):
            cells = [tuple(map(int, self.maze.cell_xy_to_rowcol(place))) for place in (at, goal)]
            between = self.ways[cells[0]][cells[1]][1:-1]
            self.goal, self.left = goal.copy(), [self.maze.cell_rowcol_to_xy(np.array(cell)) for cell in between]
        if self.left and np.linalg.norm(self.left[0] - at) <= NEAR:
            self.left.pop(0)
        return GAIN * ((self.left or [goal])[0] - at) - DAMPING * observation["observation"][2:]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set and of the play")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    os.environ["MINARI_DATASETS_PATH"] = str((given.out / "minari").resolve())
    env = gymnasium.make("PointMaze_UMaze-v3", continuing_task=True, reset_target=True, max_episode_steps=given.steps)
    steer, draws = Controller(env.unwrapped.maze), np.random.default_rng(given.seed)
    observation, _ = env.reset(seed=given.seed)
    episodes, seen, steps = [], [observation], []
    for _ in range(given.steps):
        action = np.clip(steer(observation) + NOISE * draws.standard_normal(2), -1, 1).astype(np.float32)
        observation, reward, _, truncated, info = env.step(action)
        seen.append(observation)
        steps.append((action, float(reward), bool(info["success"])))
        if truncated or info["success"]:
            episodes.append(_episode(len(episodes), seen, steps))
            seen, steps = [observation], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no author, no permalink and no reference score
        minari.create_dataset_from_buffers(
            NAME, episodes, env=env, algorithm_name="waypoints, disturbed", description=__doc__
        )
    import_minari(NAME, given.out / "play")


def _episode(number: int, seen: list[Any], steps: list[tuple[np.ndarray, float, bool]]) -> EpisodeBuffer:
    actions, rewards, success = zip(*steps, strict=True)
    return EpisodeBuffer(
        id=number,
        observations={name: np.stack([each[name] for each in seen]) for name in seen[0]},
        actions=np.stack(actions),
        rewards=list(rewards),
        terminations=[False] * len(steps),
        truncations=[False] * (len(steps) - 1) + [True],
        infos={"success": np.array([False, *success])},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
