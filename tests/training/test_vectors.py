"""Levels over vectors: they satisfy the protocol at any index, and learn a world that is small enough to check, by
every objective: what collapses, what a kill changes, what an ablation leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from levels.plays import play_of
from torch import nn
from training.box import FOUR, PUSH, play_in_a_box, stack, train

from hplan.levels.level import Level
from hplan.parts import names
from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import NearLatent
from hplan.planning.search import BestFirstSearch
from hplan.training.fit import Progress
from hplan.training.vectors import base_level, encoded, measure, moving
from hplan.types import ActionSpec, Budget, HplanError, ObservationSpec, UsageError, WorldModel

PLANE = ObservationSpec("vector", (2,))


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
        assert level.compatibility is not None
        assert level.distance(z, following).shape == level.compatibility(z, following).shape == (5,)
        assert level.uncertainty(z, macro).shape == (5,)
        assert not level.capabilities.discrete and not level.capabilities.events
        assert level.keys(z).dtype == torch.int64
        assert torch.equal(level.keys(z), level.keys(z.clone()))
        if level.macro.kind == "discrete":
            assert torch.allclose(level.prior(z).exp().sum(-1), torch.ones(5), atol=1e-5)


def test_a_level_is_rebuilt_from_its_configuration_and_weights() -> None:
    for level in stack(PUSH, 3):
        copy = Level(**level.config)
        copy.load_state_dict(level.state_dict())
        x = torch.randn(3, 6 if level.index else 2)
        assert torch.equal(copy.eval().encode(x), level.encode(x))


@pytest.mark.parametrize("view", [0, 1])
def test_in_a_new_layout_ways_lead_where_no_play_was(view: int) -> None:
    play = play_in_a_box(FOUR)
    if view:
        spec = replace(PLANE, context=(2, 2), context_frame=(0.0, 0.0, 1.0))
        empty = torch.zeros(play.episodes, 2, 2, dtype=torch.uint8)
        play = replace(play, observation_spec=spec, contexts=empty)
    torch.manual_seed(0)
    level = base_level(PLANE, FOUR, latent=6, hidden=32, view=view).eval()
    level.encoder.measure(play.below)
    measure(level, play, seed=0)
    outside = level.keys(level.encode(1 + 4 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0))))
    assert (len(outside.unique(dim=0)) > len(outside[:, 0].unique())) == bool(view)
    near = level.space.points.float() + 0.1 * level.space.unit * torch.eye(6)[0]
    assert not level.keys(near)[:, 1:].any()


def test_a_lattice_helps_out_where_landmarks_are_too_few() -> None:
    play = play_in_a_box(FOUR)
    torch.manual_seed(0)
    level = base_level(PLANE, FOUR, latent=6, hidden=32).eval()
    level.encoder.measure(play.below)
    found = []
    for count in (2048, 8):
        level.space.points = level.space.points[:count].clone()
        measure(level, play, seed=0)
        found.append(level.keys(level.encode(play.below)))
    assert [bool(keys[:, 1:].any()) for keys in found] == [False, True]
    assert len(found[1].unique(dim=0)) > 8 == len(found[1][:, 0].unique())


@pytest.mark.training
@pytest.mark.parametrize(("actions", "count"), [(PUSH, 2), (FOUR, 1)], ids=["continuous", "discrete"])
def test_levels_learn_a_box_and_plan_in_it(actions: ActionSpec, count: int, tmp_path: Path) -> None:
    play, levels = play_in_a_box(actions), stack(actions, count)
    curves, _ = train(levels, play, tmp_path, steps=300, lr=2e-3)
    below = play
    for level in levels:
        below = encoded(level, below)
        assert curves[f"level{level.index}"][-1]["prediction"] < 0.8  # of a step, squared: 1 is "nothing changes"
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
    moved = moving(play_of(below, torch.zeros(40, 1), torch.arange(39, -1, -1)), 4)
    assert bool(moved[:16].all())
    assert not bool(moved[19:].any())


def test_play_without_a_window_long_enough_says_so() -> None:
    play = play_of(torch.zeros(3, 1), torch.zeros(3, 1), torch.tensor([2, 1, 0]))
    with pytest.raises(HplanError, match="no episode of play has 8 steps"):
        play.starts(8)


# --------------------------------------------------------------------------------------------------- objectives

PLAY = play_in_a_box(PUSH)


@pytest.mark.training
@pytest.mark.parametrize("name", names("objective"))
def test_levels_learn_by_every_objective(name: str, tmp_path: Path) -> None:
    """Every part of a level moves. A loss need not fall at once: targets of a copy move too."""
    levels = stack(PUSH, 2)
    train(levels, PLAY, tmp_path, steps=10, batch=32, objective=name)
    for level, untrained in zip(levels, stack(PUSH, 2), strict=True):
        for part in ("encoder", "dynamics"):
            trained, first = (nn.utils.parameters_to_vector(getattr(k, part).parameters()) for k in (level, untrained))
            assert bool(torch.isfinite(trained).all())
            assert not torch.allclose(trained, first, atol=1e-4)


@pytest.mark.training
def test_by_prediction_error_alone_latents_shrink_and_vicreg_keeps_them_apart(tmp_path: Path) -> None:
    """Seen by how much they vary: a cloud that shrinks from all sides at once keeps its effective rank."""
    varies = {}
    for name in ("vicreg", "none"):
        levels = stack(PUSH, 1)
        _, play = train(levels, PLAY, tmp_path / name, steps=150, batch=32, objective=name, inverse=False, lr=2e-3)
        varies[name] = float(play.below.std(0).mean())
    assert varies["none"] < 0.1 < 0.8 < varies["vicreg"]


@pytest.mark.training
@pytest.mark.parametrize("name", ["byol", "dino"])
def test_a_level_that_follows_a_copy_is_resumed_to_the_same_weights(name: str, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        if done > 230:  # the last snapshot is of step 200
            raise Killed

    def trained(folder: str, progress: Progress | None = None) -> dict[str, torch.Tensor]:
        levels = stack(PUSH, 1)
        train(levels, PLAY, tmp_path / folder, steps=250, batch=32, objective=name, progress=progress)
        return levels[0].state_dict()

    mine = trained("whole")
    with pytest.raises(Killed):
        trained("killed", kill)
    theirs = trained("killed")
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert not [key for key in mine if "criterion" in key or "copy" in key]  # trained, and not kept


@pytest.mark.training
def test_without_inverse_dynamics_nothing_is_asked_of_the_inverse_head(tmp_path: Path) -> None:
    (untrained,), (level,) = stack(PUSH, 1), stack(PUSH, 1)
    with_it, _ = train(stack(PUSH, 1), PLAY, tmp_path / "with", steps=5, batch=32)
    without, _ = train([level], PLAY, tmp_path / "without", steps=5, batch=32, inverse=False)
    assert "inverse" in with_it["level0"][-1] and "inverse" not in without["level0"][-1]
    pairs = zip(level.macros.inverse.parameters(), untrained.macros.inverse.parameters(), strict=True)
    assert all(torch.equal(a, b.half().float()) for a, b in pairs)
    assert not torch.equal(next(level.encoder.parameters()), next(untrained.encoder.parameters()))


def test_an_unknown_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="objective 'simclr' is not known: did you mean vicreg or sigreg"):
        train(stack(PUSH, 1), PLAY, tmp_path, steps=5, batch=32, objective="simclr")
