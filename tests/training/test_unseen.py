"""A stack that sees the layout, from play to an agent in layouts that it never saw. Too short to learn anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from by_name import begin

pytest.importorskip("ogbench")

from hplan.agent import load
from hplan.evaluation.inspection import inspect
from hplan.evaluation.run import evaluate
from hplan.levels.heads import conditioning, policy, uncertainty
from hplan.play.play import load_play
from hplan.registry import load_task, make_world
from hplan.testing import check_agent
from hplan.training import told, vectors
from hplan.training.fit import Run
from hplan.training.learn import learn, train
from hplan.training.strides import Strides
from hplan.training.train import HELD_OUT
from hplan.training.vectors import StrideSettings
from hplan.types import UsageError
from hplan.worlds import generated_mazes

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore::hplan.types.CollapseWarning")]
TASK = load_task("mazes/unseen")
SMALL = {"base_steps": 30, "above_steps": 20, "batch": 32, "hidden": 16, "ratio": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unseen") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "SUPPORT_STEPS", 10)
        patch.setattr(told, "LOST", float("inf"))  # latents tell nothing yet
        patch.setattr(uncertainty, "STEPS", 10)
        patch.setattr(conditioning, "STEPS", 10)
        patch.setattr(policy, "STEPS", 10)
        learn(TASK, out, steps=8000, levels=3, settings=SMALL, device="cpu")
    return out


def test_levels_see_as_far_as_their_steps_go(folder: Path) -> None:
    reaches = [level.parts["conditioning"]["reach"] for level in load(folder).stack.levels]
    assert reaches[0] == 1 and reaches == sorted(reaches) and reaches[2] >= 3


def test_what_a_map_says_of_steps_takes_the_place_of_what_was_learned_beside_it(folder: Path) -> None:
    ground, *above = load(folder).stack.levels
    assert ground.compatibility_head is not None and ground.obstruction is None
    for level in above:
        assert level.compatibility_head is None and "compatibility" not in level.parts
        assert level.compatibility == level.obstruction


def test_an_agent_plans_in_the_layout_that_it_is_given(folder: Path) -> None:
    check_agent(load(folder), steps=2)
    assert [level.policy is not None for level in load(folder).stack.levels] == [False, True, False]
    check_agent(load(folder, settings={"guided": 0}), steps=2)
    agent, world = load(folder), make_world(TASK, "eval")
    start = begin(world, 3)
    with pytest.raises(UsageError, match="give it one"):
        agent.plan(start.observation, start.goal)
    with pytest.raises(UsageError, match=r"context of shape \(21,\); this agent expects \(21, 21\)"):
        agent.reset(start.goal, context=np.zeros(21))
    agent.reset(start.goal, context=start.context)
    seen = agent._here.levels
    z = seen[0].encode(torch.from_numpy(start.observation)[None])
    agent.reset(start.goal, context=1 - start.context)
    assert not torch.equal(seen[0].compatibility(z, z), agent._here.levels[0].compatibility(z, z))


def test_evaluation_and_inspection_show_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated_mazes, "STEPS", 1)
    agent = load(folder, settings={"evaluations": 64, "allowance": 64})
    result = evaluate(agent, TASK, episodes=3, seed=50)
    assert set(result.per_goal) == {"5-8", "9-12", "13-16"}
    found = inspect(agent, TASK, steps=1000)
    assert len(found.levels) == 3 and found.levels[0].errors


def test_thresholds_are_of_layouts_that_training_did_not_see(folder: Path) -> None:
    data = load_play(folder / "play")
    seen, held = data.split(HELD_OUT, seed=0)
    assert seen.contexts is not None and held.contexts is not None
    shown, kept = ({image.numpy().tobytes() for image in part.contexts} for part in (seen, held))
    assert shown and kept and not shown & kept


def test_one_layout_tells_nothing_of_what_walls_mean(folder: Path, tmp_path: Path) -> None:
    play = load_play(folder / "play")
    assert play.contexts is not None
    alone = replace(play, contexts=play.contexts[:1].expand_as(play.contexts))
    with pytest.raises(UsageError, match="all episodes to learn from are in one layout"):
        train(alone, Strides, StrideSettings(base_steps=1), levels="auto", run=Run(0, tmp_path))
