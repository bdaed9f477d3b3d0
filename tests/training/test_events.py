"""Levels of events: which gaps between time scales are levels, how long their steps are, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from control.corridor import Corridor
from levels.test_timescales import codes, learned
from training.test_symbols import recorded
from two_doors import SMALL, two_doors

import hplan
from hplan.evaluation.run import evaluate
from hplan.levels.heads import success
from hplan.levels.timescales import Gap, cell_pairs
from hplan.play.play import Play
from hplan.training import cells, events
from hplan.training.events import Events, EventSettings, wanted_stride
from hplan.training.learn import learn
from hplan.training.symbols import EventSteps
from hplan.types import ObservationSpec, UsageError


def play_of_cells(cells: list[str], episodes: int = 20) -> Play:
    """These kinds of cells side by side, in two rows that are alike."""
    made = []
    for number in range(episodes):
        rng = np.random.default_rng(number)
        kinds = {
            "fast": rng.integers(0, 2, 201),
            "slow": 2 + np.cumsum(rng.random(201) < 0.04) % 2,
            "once": 2 + (np.arange(201) > 60 + number),
            "rare": 4 + (np.arange(201) // 70) % 2 * (number % 5 == 0),
        }
        observations = np.zeros((201, 2, len(cells), 2), np.uint8)
        observations[..., 0] = np.stack([kinds[cell] for cell in cells], 1)[:, None]
        made.append((observations, np.zeros(200, np.int64)))
    return recorded(made, ObservationSpec("symbols", (2, len(cells), 2), (6, 4)))


@pytest.mark.parametrize(
    ("cells", "ratio", "expected"),
    [
        (["fast", "slow"], 0, [3]),  # the fast pair is one symbol, the slow two stay apart
        (["fast"], 0, []),
        (["slow"], 0, []),  # nothing would be dropped
        (["fast", "once"], 0, []),  # nothing would be left to plan
        (["fast", "slow", "rare"], 0, [5, 4]),
        (["fast", "once"], 4, [3]),  # by hand, any cut is a level on which something happens
        (["slow"], 4, []),
        (["fast", "slow", "rare"], 4, [5, 4]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_levels_are_what_is_slower_than_something_and_still_happens(
    cells: list[str], ratio: int, expected: list[int], tmp_path: Path
) -> None:
    play = play_of_cells(cells)
    found = Events(EventSettings(ratio=ratio), play, play, count=None, seed=0)
    found.pairs = cell_pairs(codes(len(found.vocabulary.cells)), found.maps, found.starts)
    found.slow = learned(found.pairs, tmp_path)
    assert [gap.functions for gap in found._separations()] == expected


NARROW, WIDE, WIDER = Gap(9, 3.0, 5.0), Gap(5, 40.0, 20.0), Gap(3, 900.0, 30.0)


@pytest.mark.parametrize(
    ("count", "kept"), [(None, [NARROW, WIDE, WIDER]), (4, [NARROW, WIDE, WIDER]), (3, [WIDE, WIDER]), (2, [WIDER])]
)
def test_where_fewer_levels_are_wanted_the_widest_gaps_stay(count: int | None, kept: list[Gap]) -> None:
    play = play_of_cells(["fast"], episodes=2)
    assert Events(EventSettings(), play, play, count=count, seed=0)._chosen([NARROW, WIDE, WIDER]) == kept


def test_more_levels_than_gaps_are_refused() -> None:
    play = play_of_cells(["fast"], episodes=2)
    with pytest.raises(UsageError, match="--levels 5: this play has 4 time scales apart, choose 1 to 4 or auto"):
        Events(EventSettings(), play, play, count=5, seed=0)._chosen([NARROW, WIDE, WIDER])


def test_the_stride_of_events_is_that_of_plans_and_not_of_play() -> None:
    """Play wandered for 10 steps from cell 1 before it entered the next block, which begins at cell 4."""
    below, level = Corridor(0), Corridor(1)
    play = torch.tensor([1, 2, 1, 0, 1, 2, 1, 2, 3, 3, 4.0])[:, None]
    blocks, one = play // 4, torch.tensor([9])
    happened = EventSteps(one, blocks[one], blocks[one + 1], torch.tensor([2]), torch.tensor([10.0]), torch.zeros(1, 2))
    assert wanted_stride(level, below, play, happened, seed=0) == 3.0  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- trained on play


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The success heads are not what is tested here."""
    monkeypatch.setattr(success, "STEPS", 20)


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_a_level_learns_to_look_where_things_can_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cells, events):
        monkeypatch.setattr(module, "WINDOW", 8)  # maps here have 9 cells
    base, above = learn(two_doors(), tmp_path, device="cpu").stack.levels
    assert base.dynamics.local and above.dynamics.local
    assert base.space.movers.sum() == 2  # alone, and in a door
    assert hplan.load(tmp_path).stack.levels[0].dynamics.local


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_without_rarity_nothing_is_mined(tmp_path: Path) -> None:
    agent = learn(two_doors(500, SMALL | {"rare": False}), tmp_path, device="cpu", levels=1)
    stages = {path.stem for path in (tmp_path / "stages").iterdir()}
    assert {stage for stage in stages if "success" not in stage} == {"level0"}, "no round that practises mistakes"
    assert agent.train_info["gradient_steps"] == SMALL["base_steps"] + 20 * (len(stages) - 1)


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_a_level_without_an_encoder_drops_nothing(tmp_path: Path) -> None:
    learned, bare = (
        learn(two_doors(training=SMALL | {"identity": flag}), tmp_path / str(flag), levels=2, device="cpu").stack
        for flag in (False, True)
    )
    below, level = bare.levels
    assert torch.equal(level.space.codes, below.space.codes)
    z = torch.arange(5)[None, None]
    assert torch.equal(level.encode(z), z)
    assert level.stride < learned.levels[1].stride, "every move is an event"


@pytest.mark.training
def test_an_agent_with_levels_cut_by_hand_walks_through_both_doors(tmp_path: Path) -> None:
    task = two_doors(4000, SMALL | {"base_steps": 1200, "above_steps": 400, "ratio": 4})
    agent = learn(task, tmp_path, device="cpu")
    assert len(agent.stack.levels) == 2
    result = evaluate(agent, task, episodes=5, seed=50)
    assert result.successes == 5
    assert result.planner_calls["1"] > 0, "it is level 1 that leads"
