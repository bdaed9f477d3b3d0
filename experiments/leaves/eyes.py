"""One eye, trained by one objective for so many seconds of one core: does it see what is controlled, and only that?

    python experiments/leaves/eyes.py visual/pointmaze-medium-noisy --play-from DIR --objective vicreg --json OUT

All objectives get the same time, and so fewer steps where a step takes longer. Then the maze is drawn with the ball in
places that a linear probe is asked for, each place twice, with other noise and other discs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.files import write_atomically
from hplan.levels.pixels import PatchEye
from hplan.objectives.diagnostics import effective_rank, probe_r2
from hplan.play.play import load_play
from hplan.registry import load_task, make_world
from hplan.threads import reproducible
from hplan.training.eye import eye_stages
from hplan.training.fit import Run
from hplan.training.train import run_stages

LATENT = 16
FRAMES = 256  # in a batch, of every objective
TIMED = 40  # steps that tell how long one takes
GROUPS, PLACES = 60, 40  # of places that are drawn in front of the same discs


def pictures(task: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places (N, 2), two pictures of each (N, H, W, C), and which of them are to fit no probe on (N,) bool."""
    world: Any = make_world(load_task(task))
    at, free = world.get_wrapper_attr, np.argwhere(~world.get_wrapper_attr("walls"))
    random = np.random.default_rng(0)
    groups: list[np.ndarray] = []
    while len(groups) < GROUPS:
        near = [at("centre")(tuple(cell)) for cell in random.permuted(np.repeat(free, PLACES, 0), axis=0)]
        drawn = np.array(near) + random.uniform(-2, 2, (len(near), 2))
        groups.append(drawn[[at("is_clear")(*place) for place in drawn]][:PLACES])
    shown = []
    for first in range(GROUPS):  # a reset draws other discs
        world.reset(seed=first)
        shown.append([at("seen_from")(groups[group % GROUPS]) for group in (first, first + 1)])
    world.close()
    one = np.concatenate([pair[0] for pair in shown])
    other = np.concatenate([shown[group - 1][1] for group in range(GROUPS)])
    held = np.repeat(np.arange(GROUPS) % 2 == 1, PLACES)
    found = [torch.from_numpy(each) for each in (np.concatenate(groups), one, other, held)]
    return found[0], found[1], found[2], found[3]


@torch.no_grad()
def measured(eye: Any, task: str) -> dict[str, float]:
    places, one, other, held = pictures(task)
    z, again = eye(one), eye(other)
    return {
        "probe_r2": probe_r2(z, [places], held)[0],
        "noise_share": float((z - again).var(0).sum() / 2 / z.var(0).sum().clamp(min=1e-12)),
        "effective_rank": effective_rank(z),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("--play-from", required=True)
    parser.add_argument("--objective", required=True)
    parser.add_argument("--seconds", type=float, default=150.0, help="of one core, for training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", required=True)
    given = parser.parse_args(arguments)
    play = load_play(given.play_from)

    def trained(steps: int) -> tuple[Any, float]:
        torch.manual_seed(given.seed)
        eye = PatchEye(inputs=play.observation_spec.shape, latent=LATENT)
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            run_stages(eye_stages(eye, play, LATENT, steps, given.objective, again=0), Run(given.seed, Path(folder)))
        return eye, time.process_time() - begun

    with reproducible():
        trained(TIMED // 4)  # what is slow the first time
        few, many = trained(TIMED // 4)[1], trained(TIMED)[1]
        each = (many - few) / (TIMED - TIMED // 4)
        steps = max(round((given.seconds - few) / max(each, 1e-3)), 1) if given.objective != "random" else 1
        eye, took = trained(steps)
        figures = measured(eye, given.task)
    if given.objective == "random":
        steps, took = 0, 0.0
    found = {
        "task": given.task,
        "objective": given.objective,
        "eye": "patches",
        "seed": given.seed,
        "steps": steps,
        "cpu_s": round(took, 1),
        "frames_per_s": round(FRAMES * steps / took) if took else None,
        **{name: round(value, 5) for name, value in figures.items()},
    }
    write_atomically(given.json, json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
