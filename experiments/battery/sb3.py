"""A learning curve of Stable-Baselines3 on an environment, rewarded: by the algorithm and hyperparameters of RL Zoo
that stand in `ZOO` below, else by PPO, of continuous actions SAC, with its defaults.

    python experiments/battery/sb3.py gym:CartPole-v1 --marks 1000,100000 --seed 0 --episodes 100 --json OUT

It sees vectors as they are and symbols one-hot, the letters of a mission behind them; goals of a GoalEnv it learns by
hindsight, where that tells what another goal would have paid. After as many steps as a mark says, it is measured on
the episodes that hplan is measured on. Schedules end at the last mark.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.her import HerReplayBuffer

from hplan.evaluation.episode import run_episode
from hplan.evaluation.result import summarise
from hplan.evaluation.run import SEEDS
from hplan.files import write_atomically
from hplan.gym_spaces import is_goal_space
from hplan.registry import make_world, task_of


def falling(begin: float) -> Callable[[float], float]:
    return lambda left: left * begin


# RL Zoo's hyperparameters (rl-baselines3-zoo, hyperparams/*.yml), and how many environments PPO plays at once.
_DQN = {"batch_size": 128, "gamma": 0.98, "train_freq": 16, "gradient_steps": 8, "target_update_interval": 5000}
ZOO: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "CartPole-v1": (
        PPO, 8, {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
                 "learning_rate": falling(0.001), "clip_range": falling(0.2)},
    ),
    "MountainCar-v0": (
        DQN, 1, _DQN | {"learning_rate": 4e-3, "buffer_size": 10_000, "learning_starts": 1000,
                        "exploration_fraction": 0.2, "exploration_final_eps": 0.07,
                        "policy_kwargs": {"net_arch": [256, 256]}},
    ),
    "Acrobot-v1": (
        DQN, 1, _DQN | {"learning_rate": 2.5e-4, "batch_size": 512, "buffer_size": 100_000, "learning_starts": 0,
                        "gamma": 0.99, "gradient_steps": 4, "exploration_fraction": 0.06,
                        "exploration_final_eps": 0.11},
    ),
    "Pendulum-v1": (SAC, 1, {"learning_rate": 1e-3}),
    "MountainCarContinuous-v0": (
        SAC, 1, {"learning_rate": 3e-4, "buffer_size": 50_000, "batch_size": 512, "ent_coef": 0.1, "train_freq": 32,
                 "gradient_steps": 32, "gamma": 0.9999, "tau": 0.01, "learning_starts": 0, "use_sde": True,
                 "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64]}},
    ),
    "LunarLander-v3": (
        PPO, 16, {"n_steps": 1024, "batch_size": 64, "gae_lambda": 0.98, "gamma": 0.999, "n_epochs": 4,
                  "ent_coef": 0.01},
    ),
}  # fmt: skip


LETTERS = 96  # of a mission, one-hot, as MiniGrid's FlatObsWrapper has them


class Seen(gymnasium.Wrapper):
    """Observations as one vector, symbols one-hot, a mission's letters behind them; those of GoalEnvs as they are.
    Actions are in canonical form."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.codec, self.mission = env.codec, ""
        spec, actions = env.codec.observation_spec, env.codec.action_spec
        self.values = np.tile(spec.cardinalities, int(np.prod(spec.shape[:-1]))) if spec.cardinalities else None
        self.size = int(np.prod(spec.shape)) if self.values is None else int(self.values.sum())
        self.asks = isinstance(env.reset(seed=0)[1].get("mission"), str)
        self.has_goals = is_goal_space(env.codec.observation_space)
        if self.has_goals:
            self.observation_space = env.codec.observation_space
        else:
            whole = self.size + LETTERS * 26 * self.asks
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (whole,), np.float32)
        if actions.kind == "discrete":
            self.action_space = gymnasium.spaces.Discrete(actions.size)
        else:
            self.action_space = gymnasium.spaces.Box(np.float32(actions.low), np.float32(actions.high))

    def seen(self, observation: Any) -> Any:
        if self.has_goals:
            return dict(observation)
        flat = self.codec.encode(observation).ravel()
        if self.values is not None:
            shown = np.zeros(self.size, np.float32)
            shown[np.cumsum(self.values) - self.values + flat] = 1.0
            flat = shown
        if self.asks:
            letters = np.zeros((LETTERS, 26), np.float32)
            for place, letter in enumerate(self.mission[:LETTERS].lower()):
                if "a" <= letter <= "z":
                    letters[place, ord(letter) - ord("a")] = 1.0
            flat = np.concatenate([flat, letters.ravel()])
        return flat.astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed)
        self.mission = info.get("mission", "")
        return self.seen(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self.codec.decode(action))
        return self.seen(observation), float(reward), terminated, truncated, info

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        world: Any = self.env.unwrapped
        return world.compute_reward(achieved, desired, info)


class Policy:
    """Plays a trained policy; an Actor of `hplan.evaluation`."""

    def __init__(self, model: Any, seen: Seen) -> None:
        self.model, self.seen = model, seen
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None

    def reset(self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None, *, mission: Any = "") -> None:
        self.seen.mission = mission

    def act(self, observation: Any) -> Any:
        action, _ = self.model.predict(self.seen.seen(observation), deterministic=True)
        return self.seen.codec.decode(action)


class Curve(BaseCallback):
    """Measures the policy at the first step that is no earlier than each mark."""

    def __init__(self, measure: Callable[[Any], dict[str, Any]], marks: list[int]) -> None:
        super().__init__()
        self.measure, self.marks = measure, list(marks)
        self.points: list[dict[str, Any]] = []
        self.begun, self.aside = time.monotonic(), 0.0

    def _on_step(self) -> bool:
        if self.marks and self.num_timesteps >= self.marks[0]:
            self.marks.pop(0)
            before = time.monotonic()
            wall = before - self.begun - self.aside
            self.points.append({"steps": self.num_timesteps, "wall_s": round(wall, 1), **self.measure(self.model)})
            self.aside += time.monotonic() - before
            sys.stdout.write(f"{self.points[-1]}\n")
            sys.stdout.flush()
        return bool(self.marks)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument(
        "--marks", default="100000", help="steps of the environment after which it is measured: N,N,..."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--json", required=True, help="where the curve goes")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = task_of(given.task, "auto")
    env = make_world(task, split="eval")
    shown = Seen(env)
    discrete = isinstance(shown.action_space, gymnasium.spaces.Discrete)
    algorithm, count, settings = ZOO.get(given.task.partition(":")[2], (PPO if discrete else SAC, 1, {}))
    if shown.has_goals and hasattr(env.unwrapped, "compute_reward"):
        # an episode has to be over before any of it is replayed
        settings = settings | {"replay_buffer_class": HerReplayBuffer, "learning_starts": 2 * env.max_steps}
    worlds = DummyVecEnv([lambda: Seen(make_world(task, split="train"))] * count)
    policy = "MultiInputPolicy" if shown.has_goals else "MlpPolicy"
    model = algorithm(policy, worlds, seed=given.seed, device="cpu", **settings)

    def measure(model: Any) -> dict[str, Any]:
        actor = Policy(model, shown)
        records = [run_episode(actor, env, given.seed * SEEDS + i) for i in range(given.episodes)]
        found = summarise(records, task=given.task, agent="", method="sb3", replan="never", seed=given.seed)
        return {"success_rate": found.success_rate, "return_mean": found.return_mean}

    marks = [int(mark) for mark in given.marks.split(",")]
    curve = Curve(measure, marks)
    model.learn(marks[-1], callback=curve)
    told = {"task": given.task, "algorithm": algorithm.__name__, "seed": given.seed, "episodes": given.episodes}
    write_atomically(given.json, json.dumps({**told, **curve.points[-1], "curve": curve.points}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
