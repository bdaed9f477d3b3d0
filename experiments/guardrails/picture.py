"""Ways of one episode with the guard and without, over what is forbidden: `python experiments/guardrails/picture.py`
writes docs/images/guardrails.svg."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hplan
from experiments.guardrails import region
from hplan.evaluation.paths import follow
from hplan.report.path_figure import paths_chart
from hplan.report.theme import svg
from hplan.worlds.layers import layer_of
from hplan.worlds.mazes import MazeView

TASK, SEED = "ogbench/pointmaze-medium-navigate", 50_000_004
OUT = Path(__file__).parents[2] / "docs" / "images" / "guardrails.svg"
FINE = 241  # points to each side at which a region is asked
RED = "#c0392b"


def shade(axes: Any, maze: MazeView, rule: Any) -> None:
    """Draw where `rule` is above 0, in cells of the map."""
    rows, columns = maze.walls.shape
    x, y = np.meshgrid(np.linspace(-0.5, columns - 0.5, FINE), np.linspace(-0.5, rows - 0.5, FINE))
    origin = np.array(maze.centre((0, 0)))
    unit = np.array(maze.centre((1, 1))) - origin
    seen = torch.from_numpy(np.stack([origin[0] + unit[0] * x, origin[1] + unit[1] * y], -1))
    axes.contourf(x, y, rule(seen).numpy(), levels=[0, np.inf], colors=[RED], alpha=0.25, zorder=1)


def main() -> None:
    env, paths, told = hplan.make(TASK), [], []
    for rule, keeps in ((rule, keeps) for rule in (region.corridor, region.ledge) for keeps in (False, True)):
        agent = hplan.load(TASK, forbid=rule, settings={"guard": keeps})
        path = follow(agent, env, SEED)
        paths.append(replace(path, subgoals={}))
        told.append((rule, f"{'guarded' if keeps else 'unguarded'}, {len(path.way) - 1} steps"))
    figure = paths_chart(paths, "What is red must not be entered")
    for axes, (rule, title) in zip(figure.axes, told, strict=False):
        shade(axes, layer_of(env, MazeView), rule)
        axes.set_title(title, loc="left", fontsize=9)
    OUT.write_text(svg(figure, alone=True), encoding="utf-8")


if __name__ == "__main__":
    main()
