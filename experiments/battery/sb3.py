"""Stable-Baselines3's usual algorithm on an environment, with its own defaults: PPO, or SAC of continuous actions.

    python experiments/battery/sb3.py gym:CartPole-v1 --steps 100000 --seed 0 --episodes 100 --json OUT

It sees vectors as they are and symbols one-hot, and is measured on the episodes that hplan is measured on.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO, SAC

from hplan.evaluation.episode import run_episode
from hplan.evaluation.result import summarise, write_result
from hplan.evaluation.run import SEEDS
from hplan.registry import make_world, task_of


class Flat(gymnasium.Wrapper):
    """Observations as one vector, symbols one-hot; actions as they are in canonical form."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.codec = env.codec
        spec, actions = env.codec.observation_spec, env.codec.action_spec
        self.values = np.tile(spec.cardinalities, int(np.prod(spec.shape[:-1]))) if spec.cardinalities else None
        self.size = int(np.prod(spec.shape)) if self.values is None else int(self.values.sum())
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.size,), np.float32)
        if actions.kind == "discrete":
            self.action_space = gymnasium.spaces.Discrete(actions.size)
        else:
            self.action_space = gymnasium.spaces.Box(np.float32(actions.low), np.float32(actions.high))

    def seen(self, observation: Any) -> np.ndarray:
        flat = self.codec.encode(observation).ravel()
        if self.values is None:
            return flat.astype(np.float32)
        shown = np.zeros(self.size, np.float32)
        shown[np.cumsum(self.values) - self.values + flat] = 1.0
        return shown

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed)
        return self.seen(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self.codec.decode(action))
        return self.seen(observation), float(reward), terminated, truncated, info


class Policy:
    """Plays a trained policy; an Actor of `hplan.evaluation`."""

    def __init__(self, model: Any, seen: Flat) -> None:
        self.model, self.seen = model, seen
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None

    def reset(self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None) -> None:
        """It remembers nothing."""

    def act(self, observation: Any) -> Any:
        action, _ = self.model.predict(self.seen.seen(observation), deterministic=True)
        return self.seen.codec.decode(action)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("--steps", type=int, default=100_000, help="of the environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--json", required=True, help="where the result goes, as that of hplan eval")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = task_of(given.task, "auto")
    world = Flat(make_world(task, split="train"))
    algorithm = PPO if isinstance(world.action_space, gymnasium.spaces.Discrete) else SAC
    model = algorithm("MlpPolicy", world, seed=given.seed, device="cpu")
    begun = time.monotonic()
    model.learn(given.steps)
    train = {
        "env_steps": model.num_timesteps,
        "gradient_steps": model._n_updates,
        "wall_s": round(time.monotonic() - begun, 1),
        "device": "cpu",
        "seed": given.seed,
    }
    env = make_world(task, split="eval")
    actor = Policy(model, Flat(env))
    records = [run_episode(actor, env, given.seed * SEEDS + i) for i in range(given.episodes)]
    name = algorithm.__name__
    result = summarise(
        records, task=given.task, agent=name, method=name.lower(), replan="never", seed=given.seed, train=train
    )
    write_result(result, given.json)
    sys.stdout.write(f"{model.num_timesteps:,} steps in {train['wall_s']} s: mean return {result.return_mean:.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
