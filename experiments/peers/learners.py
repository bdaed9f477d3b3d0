"""Learners that reach goals without a world model and without levels, for as much processor time as they are given.

    python experiments/peers/learners.py ogbench/pointmaze-medium-navigate her --minutes 3 --json OUT
    python experiments/peers/learners.py ogbench/pointmaze-medium-navigate hindsight --play-from PLAY --minutes 3 ...

`her`: SAC of Stable-Baselines3 with hindsight experience replay (Andrychowicz et al., 2017, arXiv 1707.01495), which
plays in the world itself, towards the goals that it is measured on, and is told how near is near enough. `hindsight`: a
policy that learns, from the play that hplan learns from, what was done on the way to wherever play came to later in the
episode (Ghosh et al., 2021, arXiv 1912.06088; GCBC of OGBench).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from hplan.evaluation.episode import run_episode
from hplan.evaluation.result import summarise, write_result
from hplan.evaluation.run import SEEDS
from hplan.play.play import load_play
from hplan.registry import make_world, task_of

NEAR = 0.5  # of OGBench's point mazes: what counts as there
BATCH, WIDTH = 1024, 512
Policy = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Reaching(gymnasium.Wrapper):
    """A maze as a GoalEnv: each step costs 1 but where it ends at the goal."""

    def __init__(self, env: Any, seed: int) -> None:
        super().__init__(env)
        part = gymnasium.spaces.Box(-np.inf, np.inf, env.codec.observation_spec.shape, np.float64)
        self.observation_space = gymnasium.spaces.Dict(observation=part, achieved_goal=part, desired_goal=part)
        self.next_seed, self.goal, self.limit = seed, np.zeros(part.shape), env.max_steps

    def seen(self, observation: Any) -> dict[str, np.ndarray]:
        at = np.asarray(observation, float)
        return {"observation": at, "achieved_goal": at, "desired_goal": self.goal}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        self.next_seed += 1
        observation, info = self.env.reset(seed=self.next_seed)
        self.goal = np.asarray(info["goal"], float)
        return self.seen(observation), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, _ = self.env.step(action)
        seen = self.seen(observation)
        return seen, float(self.compute_reward(seen["achieved_goal"], self.goal, {})), terminated, truncated, {}

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, _info: Any) -> np.ndarray:
        return (np.linalg.norm(achieved - desired, axis=-1) <= NEAR) - 1.0


def her(task: Any, seed: int, minutes: float) -> tuple[Policy, dict[str, Any]]:
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.her import HerReplayBuffer

    class Deadline(BaseCallback):
        def _on_step(self) -> bool:
            return time.process_time() < end

    env, end = Reaching(make_world(task, split="train"), 10**6 * (seed + 1)), time.process_time() + 60 * minutes
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        learning_starts=2 * env.limit,  # an episode has to be over before any of it is replayed
        gamma=0.995,
        seed=seed,
        device="cpu",
    )
    model.learn(10**9, callback=Deadline())

    def act(at: np.ndarray, goal: np.ndarray) -> np.ndarray:
        seen = {"observation": at, "achieved_goal": at, "desired_goal": goal}
        return model.predict(seen, deterministic=True)[0]

    return act, {"env_steps": model.num_timesteps, "gradient_steps": int(model._n_updates)}


def hindsight(play_from: str, seed: int, minutes: float) -> tuple[Policy, dict[str, Any]]:
    play = load_play(play_from)
    end = time.process_time() + 60 * minutes
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    points = play.observations.double()
    middle, scale = points.mean(0), points.std(0)
    points = ((points - middle) / scale).float()
    size = play.actions.shape[1]
    layers: list[nn.Module] = [nn.Linear(2 * points.shape[1], WIDTH), nn.GELU()]
    layers += [nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, size)]
    network = nn.Sequential(*layers)
    optimiser, rows, steps = torch.optim.Adam(network.parameters(), 3e-4), play.starts(1), 0
    while time.process_time() < end:
        at = rows[torch.randint(len(rows), (BATCH,), generator=draws)]
        left = play.remaining[at]
        later = at + 1 + (torch.rand(BATCH, generator=draws) * left).long().clamp(max=left - 1)
        loss = (network(torch.cat([points[at], points[later]], 1)) - play.actions[at]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1

    @torch.inference_mode()
    def act(at: np.ndarray, goal: np.ndarray) -> np.ndarray:
        both = [((torch.from_numpy(np.asarray(one, float)) - middle) / scale).float() for one in (at, goal)]
        return network(torch.cat(both)).clamp(-1, 1).numpy()

    return act, {"env_steps": play.steps, "gradient_steps": steps}


class PolicyActor:
    """Plays a policy; an Actor of `hplan.evaluation`."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.goal = policy, np.zeros(2)
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None

    def reset(self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None, *, mission: Any = None) -> None:
        self.goal = np.asarray(goal, float)

    def act(self, observation: Any) -> Any:
        return self.policy(np.asarray(observation, float), self.goal)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("learner", choices=("her", "hindsight"))
    parser.add_argument("--play-from", help="what `hindsight` learns from")
    parser.add_argument("--minutes", type=float, required=True, help="of training, of processor time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=25)
    parser.add_argument("--json", required=True, help="where the result goes, as that of hplan eval")
    given = parser.parse_args(arguments)
    if given.learner == "hindsight" and not given.play_from:
        parser.error("hindsight learns from play: --play-from says where it lies")
    torch.set_num_threads(1)
    task, begun, wall = task_of(given.task, "auto"), time.process_time(), time.monotonic()
    if given.learner == "her":
        policy, train = her(task, given.seed, given.minutes)
    else:
        policy, train = hindsight(given.play_from, given.seed, given.minutes)
    train |= {"processor_s": round(time.process_time() - begun, 1), "wall_s": round(time.monotonic() - wall, 1)}
    train |= {"device": "cpu", "seed": given.seed}
    env, actor = make_world(task, split="eval"), PolicyActor(policy)
    records = [run_episode(actor, env, given.seed * SEEDS + i) for i in range(given.episodes)]
    result = summarise(
        records,
        task=given.task,
        agent=given.learner,
        method=given.learner,
        replan="never",
        seed=given.seed,
        train=train,
    )
    write_result(result, given.json)
    sys.stdout.write(f"{train}: {result.success_rate:.0%}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
