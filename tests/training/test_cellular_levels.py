"""Levels of a cellular world that is known exactly (tests/easel.py), from random play of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from easel import BLOCK, BORDER, COLOURS, CORNERS, EMPTY, HEAVY, PAINTS, SIDE, SOLID, Easel, blank, shown, stroked

import hplan
from hplan.levels.steps import latents_of, steps_of
from hplan.play.play import Play
from hplan.training.cellular_levels import CellularLevels, CellularSettings, register_of, shows_register
from hplan.training.fit import Run
from hplan.training.train import Trained, train_stack
from hplan.types import ActionSpec, Episode, ObservationSpec, UsageError

SPEC, ACTIONS = ObservationSpec("image", (SIDE, SIDE, 6)), ActionSpec("discrete", 4)


def painted(episodes: int, steps: int = 60, *, seed: int = 0) -> Play:
    """Random play."""
    rng, found = np.random.default_rng(seed), []
    for number in range(episodes):
        env = Easel()
        env.reset()
        seen, actions = [env.image()], rng.integers(4, size=steps)
        for action in actions:
            seen.append(env.step(action)[0])
        nothing = np.zeros(steps, bool)
        found.append(Episode(np.stack(seen), actions, nothing.astype(np.float32), nothing, nothing, False, number))
    return Play.of(found, SPEC, ACTIONS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    settings = CellularSettings(steps=500, channels=8, layers=2)
    play, held = painted(60), painted(20, seed=1)
    with torch.random.fork_rng():
        return train_stack(
            CellularLevels(settings, play, held, count=None, seed=0), Run(0, tmp_path_factory.mktemp("easel"))
        )


def canvases(count: int) -> torch.Tensor:
    """(N, 18, 18): what is painted by a few strokes at random."""
    rng, found = np.random.default_rng(7), []
    for _ in range(count):
        cells = blank()
        for _ in range(int(rng.integers(1, 6))):
            cells = stroked(cells, int(rng.integers(2)), int(rng.integers(4)))
        found.append(cells)
    return torch.from_numpy(np.stack(found))


def symbols(trained: Trained) -> list[int]:
    """The symbol of each of the four colours."""
    eye = trained.levels[0].encoder
    cells = np.broadcast_to(np.arange(4)[:, None, None], (4, SIDE, SIDE))
    seen = torch.from_numpy(np.stack([shown(each, -1) for each in cells]))
    return eye(seen)[:, 0, 0].tolist()


@pytest.mark.training
def test_colours_are_symbols_and_two_actions_are_a_word(trained: Trained) -> None:
    eye, words = trained.levels[0].encoder, trained.levels[1].macros
    assert eye.vocabulary == 4 and sorted(symbols(trained)) == [0, 1, 2, 3] and (eye.cells, eye.register) == (0, 1)
    assert {tuple(c) for c in eye.palette.tolist()} == {tuple(c) for c in COLOURS.tolist()}
    assert words.spelled.shape == (16, 2) and len({tuple(w) for w in words.spelled.tolist()}) == 16
    assert trained.facts["words"] == 16 and trained.levels[1].stride == 2


@pytest.mark.training
def test_what_a_stroke_does_is_predicted_cell_by_cell(trained: Trained) -> None:
    level, of = trained.levels[1], torch.tensor(symbols(trained))
    z = canvases(50)
    for word, (first, block) in enumerate(level.macros.spelled.tolist()):
        true = torch.from_numpy(np.stack([stroked(each, first % 2, block) for each in z.numpy()]))
        with torch.no_grad():
            found = level.predict(of[z], torch.full((len(z),), word))
        assert float((found == of[true]).float().mean()) > 0.99
        row, column = CORNERS[block]
        sets = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        sets[row : row + BLOCK, column : column + BLOCK] = True
        assert torch.equal((level.dynamics.touch[word] > 127).view(SIDE, SIDE), sets)
    assert float(level.dynamics.yields[of[BORDER]]) <= float(level.dynamics.yields[of[EMPTY]]) + 0.2


@pytest.mark.training
def test_level_0_knows_what_is_chosen_and_acts_when_a_word_ends(trained: Trained) -> None:
    level, env = trained.levels[0], Easel()
    env.reset()
    for action in (1, 2, 0, 3):
        z = level.encode(torch.from_numpy(env.image())[None])
        observation, *_ = env.step(action)
        with torch.no_grad():
            found = level.predict(z, torch.tensor([action]))
        assert torch.equal(found, level.encode(torch.from_numpy(observation)[None]))
    assert level.prior(z).exp().sum() == pytest.approx(1)


@pytest.mark.training
def test_words_of_play_are_cut_where_they_begin(trained: Trained) -> None:
    play, (actions, words, _) = painted(3, seed=5), trained.levels
    play = play.with_latents(latents_of(actions, play))
    steps = steps_of(words, play, latents_of(words, play))
    assert len(steps.begin) == 90 and (steps.end - steps.begin == 2).all()
    spelled = words.macros.spelled[steps.macros]
    assert torch.equal(spelled, torch.stack([play.actions[steps.begin], play.actions[steps.begin + 1]], 1))
    assert steps.follows[0] == 30 and steps.follows[29] == 1
    assert len(trained.calibration[1].thresholds()) == 8 and trained.calibration[2].thresholds() == (float("inf"),)


@pytest.mark.training
def test_an_agent_paints_what_it_is_shown(tmp_path: Path) -> None:
    settings = {"steps": 500, "channels": 8, "layers": 2}
    agent = hplan.learn(Easel, out=tmp_path / "run", steps=4000, seed=0, settings=settings)
    assert [info["macro"] for info in agent.levels_info] == ["4 actions", "16 codes", "9 codes"]
    agent = hplan.load(tmp_path / "run")
    # The heavy colour sinks: the solid floor below it has to come first, and what is to be above it last.
    for strokes in (((0, 2), (0, 3), (1, 0)), ((1, 2), (0, 3), (0, 1)), ((0, 0), (0, 1), (0, 2), (0, 3))):
        env = Easel(strokes)
        observation, info = env.reset()
        agent.reset(goal=info["goal"], seed=0)
        for _ in range(40):
            observation, _, _, _, told = env.step(agent.act(observation))
            if told["success"]:
                break
        assert told["success"], f"{strokes} is not painted after 40 steps"
        assert agent.planner_calls[0] == 0, "words spell themselves"
        assert str(agent.tree)


def test_a_world_that_shows_what_is_chosen_is_told_by_its_images() -> None:
    play = painted(4)
    assert register_of(play.observations, play.remaining, 6).register == 1
    assert register_of(play.observations[torch.arange(len(play))][..., :3], play.remaining, 3).register == -1
    world = hplan.registry.make_world(hplan.registry.task_from_factory(Easel))
    assert shows_register(world)


def test_images_of_many_colours_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nothing = np.zeros(40, bool)
    noise = [
        Episode(
            rng.integers(0, 256, (41, 16, 16, 3), np.uint8),
            rng.integers(2, size=40),
            nothing.astype(np.float32),
            nothing,
            nothing,
            False,
            seed,
        )
        for seed in range(2)
    ]
    play = Play.of(noise, ObservationSpec("image", (16, 16, 3)), ActionSpec("discrete", 2))
    levels = CellularLevels(CellularSettings(steps=1), play, play, count=None, seed=0)
    with pytest.raises(
        UsageError, match=r"more than 8192 colours, too many to be symbols: choose abstraction 'strides'"
    ):
        train_stack(levels, Run(0, tmp_path))


def test_what_sinks_is_heavy() -> None:
    cells = stroked(blank(), PAINTS.index(HEAVY), 0)
    assert (cells[1:9, 1:9] == HEAVY).all()
    cells = stroked(cells, PAINTS.index(SOLID), 1)
    assert (cells[9, 1:9] == HEAVY).all() and (cells[8, 1:9] == EMPTY).all()
