"""Vector levels: they satisfy the protocol at any index, and learn a world that is small enough to check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hplan.play.layouts import Layouts

from hplan.levels.level import Level
from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import NearLatent
from hplan.planning.search import BestFirstSearch
from hplan.training.vectors import Play, base_level, encoded, level_above, moving, train_vector_level
from hplan.types import ActionSpec, Budget, HplanError, ObservationSpec, WorldModel

PLANE = ObservationSpec("vector", (2,))
PUSH = ActionSpec("continuous", 2, low=(-2.0, -1.0), high=(2.0, 1.0))
FOUR = ActionSpec("discrete", 4, names=("left", "right", "down", "up"))


def stack(actions: ActionSpec, count: int) -> list[Level]:
    torch.manual_seed(0)
    levels = [base_level(PLANE, actions, latent=6, hidden=32)]
    for index in range(1, count):
        levels.append(level_above(levels[-1], stride=4**index, codes=8, latent=6, hidden=32))
    return [level.eval() for level in levels]


@pytest.mark.parametrize("actions", [PUSH, FOUR], ids=["continuous", "discrete"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_level_satisfies_the_protocol(actions: ActionSpec, count: int) -> None:
    z = torch.randn(5, 2)
    for index, level in enumerate(stack(actions, count)):
        assert isinstance(level, WorldModel)
        assert (level.index, level.stride) == (index, 4**index)
        z = level.encode(z)
        macro = torch.zeros(5, 2) if level.macro.kind == "continuous" else torch.zeros(5, dtype=torch.long)
        following = level.predict(z, macro)
        assert following.shape == z.shape == (5, 6)
        assert level.distance(z, following).shape == level.compatibility(z, following).shape == (5,)
        assert level.keys(z).dtype == torch.int64
        assert torch.equal(level.keys(z), level.keys(z.clone()))
        if level.macro.kind == "discrete":
            assert torch.allclose(level.prior(z).exp().sum(-1), torch.ones(5), atol=1e-5)


def test_a_level_is_rebuilt_from_its_configuration_and_weights() -> None:
    for level in stack(PUSH, 3):
        copy = Level(**level.config)
        copy.load_state_dict(level.state_dict())
        x = torch.randn(3, level.config["inputs"])
        assert torch.equal(copy.eval().encode(x), level.encode(x))


def play_in_a_box(actions: ActionSpec, episodes: int = 40, steps: int = 60) -> Play:
    """A point in the unit square; steps of 0.05 times the action, stopped by the walls."""
    generator = torch.Generator().manual_seed(0)
    at = torch.rand(episodes, 2, generator=generator)
    directions = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    observations, taken = [at], []
    heading = torch.rand(episodes, 2, generator=generator) * 2 - 1
    for _ in range(steps):
        turn = torch.rand(episodes, 1, generator=generator) < 0.1
        heading = torch.where(turn, torch.rand(episodes, 2, generator=generator) * 2 - 1, heading)
        if actions.kind == "discrete":
            taken.append(torch.randint(4, (episodes,), generator=generator))
            push = directions[taken[-1]]
        else:
            taken.append(heading.clone())
            push = heading
        at = (at + 0.05 * push).clamp(0, 1)
        observations.append(at)
    taken.append(torch.zeros_like(taken[0]))
    remaining = torch.arange(steps, -1, -1).repeat(episodes)
    return Play(torch.stack(observations, 1).flatten(0, 1), torch.stack(taken, 1).flatten(0, 1), remaining)


@pytest.mark.parametrize("view", [0, 1])
def test_in_a_new_layout_ways_lead_where_no_play_was(view: int) -> None:
    play = play_in_a_box(FOUR)
    if view:
        layout = torch.zeros(len(play.below), dtype=torch.long)
        play = replace(play, layouts=Layouts(torch.zeros(1, 2, 2), layout, play.below))
    torch.manual_seed(0)
    level = base_level(PLANE, FOUR, latent=6, hidden=32, view=view).eval()
    level.features.measure(play.below)
    measure(level, play, seed=0)
    outside = level.keys(level.encode(1 + 4 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0))))
    assert (len(outside.unique(dim=0)) > len(outside[:, 0].unique())) == bool(view)
    near = level.landmarks.float() + 0.1 * level.unit * torch.eye(6)[0]
    assert not level.keys(near)[:, 1:].any()


def test_a_lattice_helps_out_where_landmarks_are_too_few() -> None:
    play = play_in_a_box(FOUR)
    torch.manual_seed(0)
    level = base_level(PLANE, FOUR, latent=6, hidden=32).eval()
    level.features.measure(play.below)
    found = []
    for count in (2048, 8):
        level.landmarks = level.landmarks[:count].clone()
        measure(level, play, seed=0)
        found.append(level.keys(level.encode(play.below)))
    assert [bool(keys[:, 1:].any()) for keys in found] == [False, True]
    assert len(found[1].unique(dim=0)) > 8 == len(found[1][:, 0].unique())


@pytest.mark.training
@pytest.mark.parametrize(("actions", "count"), [(PUSH, 2), (FOUR, 1)], ids=["continuous", "discrete"])
def test_levels_learn_a_box_and_plan_in_it(actions: ActionSpec, count: int, tmp_path: Path) -> None:
    play = play_in_a_box(actions)
    levels = stack(actions, count)
    below = play
    for level in levels:
        curve = train_vector_level(level, below, steps=300, seed=0, out=tmp_path, batch=64, rollout=2, lr=2e-3)
        below = encoded(level, below)
        assert curve[f"level{level.index}"][-1]["prediction"] < 0.8  # of a step, squared: 1 is "nothing changes"
        spread = below.below.std(0)
        assert int((spread > 0.3).sum()) >= 4  # not collapsed
    base = levels[0]
    rows = play.starts(1)[::7]
    z, following = base.encode(play.below[rows]), base.encode(play.below[rows + 1])
    near = base.distance(base.predict(z, play.actions[rows]), following)
    assert float(near.median()) < 0.6 * float(base.distance(z, following).median())
    # A place three steps to the right is planned for in about three steps.
    start, goal = base.encode(torch.tensor([[0.4, 0.5]]))[0], base.encode(torch.tensor([[0.55, 0.5]]))[0]
    planner = CrossEntropy() if actions.kind == "continuous" else BestFirstSearch(floors=(0.0,))
    energy = NearLatent(base, goal, 1.0)
    result = planner.plan(base, start, energy, budget=Budget(4000, 6), generator=torch.Generator().manual_seed(0))
    assert float(result.energies[-1]) < 0.7 * float(result.energies[0])


def test_windows_that_lead_nowhere_do_not_count_as_moving() -> None:
    below = torch.cat([torch.arange(20.0), torch.full((20,), 19.0)])[:, None]
    moved = moving(Play(below, torch.zeros(40, 1), torch.arange(39, -1, -1)), 4)
    assert bool(moved[:16].all())
    assert not bool(moved[19:].any())


def test_play_without_a_window_long_enough_says_so() -> None:
    play = Play(torch.zeros(3, 1), torch.zeros(3, 1), torch.tensor([2, 1, 0]))
    with pytest.raises(HplanError, match="no episode of play has 8 steps"):
        play.starts(8)
