"""PPO of Stable-Baselines3 on a task, rewarded by it, for as long on the wall as hplan plays and learns without reward.

    python experiments/gridworld/ppo.py minigrid/FourRooms --minutes 11 --seed 0 --episodes 100 --json OUT

It sees what hplan sees, the whole grid with the mover's direction and what is carried, trains on the same layouts, and
is measured on the same unseen ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from hplan.evaluation.episode import run_episode
from hplan.evaluation.result import summarise, write_result
from hplan.evaluation.run import SEEDS
from hplan.registry import make_world, task_of

WORLDS = 8  # side by side, in one process on one thread


class OneHot(gymnasium.Wrapper):
    """Symbols (H, W, F) as bytes (all values of all features, H, W), one-hot."""

    def __init__(self, env: Any, seed: int) -> None:
        super().__init__(env)
        spec = env.codec.observation_spec
        self.sizes = spec.cardinalities
        height, width = spec.shape[:2]
        self.observation_space = gymnasium.spaces.Box(0, 1, (sum(self.sizes), height, width), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(env.codec.action_spec.size)
        self.next_seed = seed

    def seen(self, observation: Any) -> np.ndarray:
        symbols = self.env.codec.encode(observation)
        layers = [np.arange(size)[:, None, None] == symbols[None, ..., i] for i, size in enumerate(self.sizes)]
        return np.concatenate(layers).astype(np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.next_seed += WORLDS
        observation, info = self.env.reset(seed=self.next_seed)
        return self.seen(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self.env.codec.decode(int(action)))
        return self.seen(observation), float(reward), terminated, truncated, info


class Cells(BaseFeaturesExtractor):
    """Symbols by a vector of eight numbers, then three convolutions over cells, as of RL Starter Files for MiniGrid."""

    def __init__(self, observation_space: gymnasium.spaces.Box, features: int = 128) -> None:
        super().__init__(observation_space, features)
        channels = observation_space.shape[0]
        layers = [nn.Conv2d(channels, 8, 1), nn.Conv2d(8, 16, 2), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(16, 32, 2), nn.ReLU(), nn.Conv2d(32, 64, 2), nn.ReLU(), nn.Flatten()]
        network = nn.Sequential(*layers)
        size = network(torch.zeros(1, *observation_space.shape)).shape[1]
        self.network = nn.Sequential(network, nn.Linear(size, features), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        return self.network(observations.float())


class Deadline(BaseCallback):
    """Training ends when its time is over."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.end = time.monotonic() + 60 * minutes

    def _on_step(self) -> bool:
        return time.monotonic() < self.end


class PpoActor:
    """Plays a trained policy; an Actor of `hplan.evaluation`."""

    def __init__(self, model: PPO, seen: OneHot) -> None:
        self.model, self.seen = model, seen
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None

    def reset(self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None) -> None:
        torch.manual_seed(seed)  # actions are drawn, as they are in training: the best one alone gets stuck

    def act(self, observation: Any) -> Any:
        action, _ = self.model.predict(self.seen.seen(observation))
        return self.seen.env.codec.decode(int(action))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("--minutes", type=float, default=11.0, help="of training on the wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=100, help="on unseen layouts")
    parser.add_argument("--json", required=True, help="where the result goes, as that of hplan eval")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = task_of(given.task, "auto")
    worlds = DummyVecEnv(
        [lambda i=i: OneHot(make_world(task, split="train"), 10**6 * (given.seed + 1) + i) for i in range(WORLDS)]
    )
    model = PPO(
        "CnnPolicy",
        worlds,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        learning_rate=2.5e-4,
        clip_range=0.2,
        ent_coef=0.01,
        policy_kwargs={"features_extractor_class": Cells, "normalize_images": False},
        seed=given.seed,
        device="cpu",
    )
    begun = time.monotonic()
    model.learn(10**9, callback=Deadline(given.minutes))
    train = {
        "env_steps": model.num_timesteps,
        "gradient_steps": model._n_updates * WORLDS * 128 // 256,
        "wall_s": round(time.monotonic() - begun, 1),
        "device": "cpu",
        "seed": given.seed,
    }
    env = make_world(task, split="eval")
    actor = PpoActor(model, OneHot(env, 0))
    records = [run_episode(actor, env, given.seed * SEEDS + i) for i in range(given.episodes)]
    result = summarise(
        records, task=given.task, agent="PPO", method="ppo", replan="never", seed=given.seed, train=train
    )
    write_result(result, given.json)
    sys.stdout.write(f"{model.num_timesteps:,} steps in {train['wall_s']} s: {result.success_rate:.0%}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
