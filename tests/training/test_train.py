"""The one recipe: levels bottom up, stages in order, each told how it went; and play to calibrate on, apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levels.line_levels import edges, line_level
from levels.plays import play_of
from torch import Tensor, nn
from training.box import PUSH, Square, play_in_a_box
from training.test_strides import play_on_a_field
from two_doors import SMALL, two_doors

from hplan.levels.heads import policy, success, uncertainty
from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.heads.success import success_rows
from hplan.levels.level import Level
from hplan.levels.stage import Stage, Stages
from hplan.objectives import collapse
from hplan.play.play import Play
from hplan.training import vectors
from hplan.training.depth import worth_a_level
from hplan.training.fit import Run
from hplan.training.learn import learn, train
from hplan.training.strides import Strides
from hplan.training.train import HELD_OUT, Trained, run_stages, train_stack
from hplan.training.vectors import StrideSettings
from hplan.types import CollapseWarning, HplanError

# ------------------------------------------------------------------------------------------- a recipe of one's own


@dataclass(frozen=True)
class Lengths:
    """Settings of a recipe: steps of each stage, and the level that turns out to be worth nothing."""

    steps: int = 5
    poor: int = 99


class Lines:
    """Levels over positions on a line, of which nothing is learned but one number each: how far a step leads."""

    Settings = Lengths
    observations = ("vector",)
    history, beginning = 1, False

    def __init__(self, settings: Lengths, play: Play, held: Play, *, count: int | None, seed: int) -> None:
        self.settings, self.play, self.held, self.count, self.seed = settings, play, held, count, seed
        self.said: list[str] = []
        self.facts: dict[str, Any] = {}
        self.edges: Mapping[int, LandmarkEdges] = {1: edges(2, (0, 1, 1.0, 1, 1, 0))}
        self.numbers: list[nn.Linear] = []

    def prepare(self, stack: tuple[Level, ...]) -> Stages:
        self.said.append(f"prepare {len(stack)}")
        assert not any(weight.requires_grad for level in stack for weight in level.parameters())
        if stack:
            yield self._stage(f"between{len(stack)}")

    def draft(self, stack: tuple[Level, ...]) -> Level | None:
        self.said.append(f"draft {len(stack)}")
        return None if len(stack) == self.count else line_level(len(stack)).train()

    def stages(self, level: Level, stack: tuple[Level, ...]) -> Stages:
        assert len(stack) == level.index
        for part in ("first", "second"):
            stage = self._stage(f"level{level.index}-{part}")
            before = stage.module.weight.clone()  # type: ignore[union-attr]
            curve = yield stage
            self.said.append(f"{stage.name} ended at step {curve[-1]['step']:.0f}")
            assert not torch.equal(before, stage.module.weight)  # type: ignore[arg-type]

    def finish(self, level: Level) -> bool:
        self.said.append(f"finish {level.index}")
        return level.index != self.settings.poor

    def tolerance(self, level: Level) -> float:
        return 0.5 + level.index

    def _stage(self, name: str) -> Stage:
        number = nn.Linear(1, 1)
        self.numbers.append(number)

        def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            return (number(torch.rand(8, 1, generator=generator)) - 4).square().mean(), {}

        return Stage(name, number, loss, self.settings.steps)


def walks(count: int = 20, length: int = 40) -> Play:
    """Episodes that go on by one a step, each from a place, and in a layout, of its own."""
    below = (torch.arange(length + 1.0) + 100 * torch.arange(count)[:, None]).flatten()[:, None]
    return play_of(below, torch.ones(len(below), 1), torch.arange(length, -1, -1).repeat(count))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_levels_are_learned_one_above_the_other_in_stages(count: int, tmp_path: Path) -> None:
    play = walks()
    recipe = Lines(Lengths(), play, play, count=count, seed=0)
    found = train_stack(recipe, Run(0, tmp_path))
    expected = []
    for k in range(count):
        expected += [
            f"prepare {k}",
            f"draft {k}",
            f"level{k}-first ended at step 5",
            f"level{k}-second ended at step 5",
        ]
        expected += [f"finish {k}"]
    assert recipe.said == [*expected, f"prepare {count}", f"draft {count}"]
    assert [level.index for level in found.levels] == list(range(count))
    assert not any(level.training for level in found.levels)
    assert len(found.calibration) == count and found.tolerance == tuple(0.5 + k for k in range(count))
    assert not found.calibration[0].errors.any(), "level 0 predicts such play exactly"
    assert found.facts is recipe.facts and found.edges is recipe.edges
    between = {f"between{k}" for k in range(1, count + 1)}
    assert found.curves.keys() == between | {f"level{k}-{part}" for k in range(count) for part in ("first", "second")}
    assert {path.stem for path in tmp_path.iterdir()} == set(found.curves)


def test_a_level_that_is_not_kept_is_the_last_and_leaves_no_curve(tmp_path: Path) -> None:
    recipe = Lines(Lengths(poor=1), walks(), walks(), count=None, seed=0)
    found = train_stack(recipe, Run(0, tmp_path))
    assert len(found.levels) == len(found.calibration) == len(found.tolerance) == 1
    assert found.curves.keys() == {"level0-first", "level0-second", "between1"}
    assert recipe.said[-1] == "finish 1"


def test_the_same_run_is_found_trained_and_another_seed_is_another_run(tmp_path: Path) -> None:
    def weights(folder: str, seed: int) -> list[float]:
        recipe = Lines(Lengths(), walks(), walks(), count=2, seed=seed)
        train_stack(recipe, Run(seed, tmp_path / folder))
        return [float(number.weight.detach()) for number in recipe.numbers]

    torch.manual_seed(1)
    first = weights("run", 0)
    torch.manual_seed(2)  # of the caller's, which matters to nothing
    assert weights("run", 0) == weights("again", 0) == first != weights("other", 1)


def test_stages_are_not_asked_for_before_the_one_before_is_trained(tmp_path: Path) -> None:
    told: list[str] = []
    recipe = Lines(Lengths(steps=1), walks(), walks(), count=1, seed=0)

    def progress(name: str, done: int, total: int, figures: dict[str, float]) -> None:
        told.append(f"{name} {len(recipe.numbers)}")

    run_stages(recipe.stages(line_level(0), ()), Run(0, tmp_path, progress=progress))
    assert told == ["level0-first 1", "level0-second 2"]


def test_a_second_stage_of_one_name_is_refused(tmp_path: Path) -> None:
    """It would find itself trained, by what was kept of the first."""
    recipe = Lines(Lengths(), walks(), walks(), count=1, seed=0)

    def stages() -> Stages:
        yield from recipe.stages(line_level(0), ())
        yield recipe._stage("level0-first")

    with pytest.raises(ValueError, match="two stages are called level0-first"):
        run_stages(stages(), Run(0, tmp_path))


# ------------------------------------------------------------------------------------------------- what is held out


class Split(Lines):
    """Keeps what it is given."""

    last: Split

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        Split.last = self


def sides(play: Play, out: Path, seed: int = 0) -> tuple[Play, Play]:
    """What training learns from, and what it calibrates on."""
    train(play, Split, Lengths(steps=1), levels=1, run=Run(seed, out))
    return Split.last.play, Split.last.held


def restarted(success: bool = False) -> Play:
    """40 episodes in 10 layouts, as restarts from rare states make them; no row is like another. Each ends well."""
    remaining = torch.arange(12, -1, -1).repeat(40)
    rows = torch.arange(float(len(remaining)))[:, None]
    well = (remaining == 1) if success else None
    return play_of(rows, torch.ones(len(rows), 1), remaining, success=well, seeds=torch.arange(40) % 10)


@pytest.mark.parametrize("seed", range(5))
def test_no_layout_is_on_both_sides(seed: int, tmp_path: Path) -> None:
    fitted, held = sides(restarted(), tmp_path, seed)
    assert fitted.episodes + held.episodes == 40
    assert not {*fitted.seeds.tolist()} & {*held.seeds.tolist()}
    assert held.episodes == 4 * round(HELD_OUT * 10), "all episodes of a layout go together"


def test_rewarded_rows_of_held_out_layouts_are_no_negatives(tmp_path: Path) -> None:
    play = restarted(success=True)
    fitted, held = sides(play, tmp_path)
    apart = {*held.observations[:, 0].tolist()}
    rewarded = {*play.observations[success_rows(play)][:, 0].tolist()}
    positives = {*fitted.observations[success_rows(fitted)][:, 0].tolist()}
    negatives = {*fitted.observations[~success_rows(fitted)][:, 0].tolist()}
    assert len(rewarded) == 40 and len(rewarded & apart) == held.episodes > 0
    assert positives == rewarded - apart and not negatives & (rewarded | apart)


@given(st.integers(1, 40), st.integers(2, 30), st.integers(0, 999))
def test_the_longest_episode_is_learned_from(others: int, length: int, seed: int) -> None:
    lengths = [length] * others + [length + 1]
    remaining = torch.cat([torch.arange(n, -1, -1) for n in lengths])
    play = play_of(torch.zeros(len(remaining), 1), torch.zeros(len(remaining), 1), remaining)
    fitted, held = play.split(HELD_OUT, seed)
    assert fitted.lengths.max() == length + 1 and held.episodes > 0


def test_one_episode_is_too_little_play(tmp_path: Path) -> None:
    with pytest.raises(HplanError, match="1 episode of play, so none can be held out to check on: play more steps"):
        sides(walks(count=1), tmp_path)
    sides(walks(count=2), tmp_path)


# ---------------------------------------------------------------------------------------------- strides, from play


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is trained on frozen latents."""
    for module in (policy, success, uncertainty):
        monkeypatch.setattr(module, "STEPS", 5)
    monkeypatch.setattr(vectors, "SUPPORT_STEPS", 5)


def trained(play: Play, out: Path, levels: Any, **settings: Any) -> Trained:
    sizes = {"base_steps": 20, "above_steps": 10, "batch": 32, "latent": 6, "hidden": 16, "codes": 4}
    return train(play, Strides, StrideSettings(**sizes | settings), levels=levels, run=Run(0, out))


@pytest.mark.training
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_as_many_levels_as_are_asked_for(levels: int, tmp_path: Path) -> None:
    found = trained(play_in_a_box(PUSH), tmp_path, levels, ratio=4)
    assert [level.stride for level in found.levels] == [4**k for k in range(levels)]
    assert len(found.calibration) == len(found.tolerance) == levels
    assert not any(weight.requires_grad for level in found.levels for weight in level.parameters())


@pytest.mark.training
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("ratio", "count"), [(0, 1), (4, 2)])
def test_with_auto_there_are_as_many_levels_as_are_worth_it(ratio: int, count: int, tmp_path: Path) -> None:
    """Long trips on the field take 29 steps. A level that is hardly trained is reliable for one, which is too few;
    steps of 4, taken for granted, are worth a level, and steps of 16 are not."""
    play = play_on_a_field(0.0)
    lengths = {"base_steps": 150, "batch": 64, "hidden": 32}
    found = trained(play, tmp_path, "auto", ratio=ratio, slow=0.0, **lengths)  # what shrinks would be left out
    longest, trip = int(play.lengths.max()), found.facts["travel_time"]
    strides = [round(level.stride) for level in found.levels]
    assert len(strides) == len(found.facts["reliable"]) == count
    for k, stride in enumerate(strides):
        room = longest // (2 * stride)
        chosen = ratio or max(min(found.facts["reliable"][k], round((trip / stride) ** 0.5)), 2)
        worth = room >= 2 and worth_a_level(trip / stride, min(chosen, room))
        assert worth == (k + 1 < len(strides))
        if worth:
            assert strides[k + 1] == stride * min(chosen, room)


@pytest.mark.training
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("seed", range(3))
def test_levels_are_learned_where_one_episode_alone_is_long_enough(seed: int, tmp_path: Path) -> None:
    """Windows of level 1 last 4 steps, and only one episode has as many: it is never the one that is held out."""
    long, brief = play_in_a_box(PUSH, episodes=1, steps=60), play_in_a_box(PUSH, episodes=15, steps=3)
    play = play_of(
        torch.cat([brief.observations, long.observations]),
        torch.cat([brief.actions, long.actions]),
        torch.cat([brief.remaining, long.remaining]),
    )
    sizes = StrideSettings(base_steps=5, above_steps=5, batch=32, latent=6, hidden=16, codes=4, ratio=4, slow=0.0)
    found = train(play, Strides, sizes, levels=2, run=Run(seed, tmp_path))
    assert [level.stride for level in found.levels] == [1, 4]
    assert not found.calibration[1].errors.size, "nothing that is held out is as long"


# ------------------------------------------------------------------------------ every level that is made is looked at


def square(out: Path) -> None:
    settings = {"base_steps": 20, "above_steps": 10, "batch": 32, "hidden": 16, "ratio": 4}
    learn(Square, out, steps=2000, levels=2, settings=settings, device="cpu")


def doors(out: Path) -> None:
    learn(two_doors(500, SMALL | {"base_steps": 10, "above_steps": 5}), out, device="cpu")


@pytest.mark.training
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("learned", [square, doors])
def test_each_level_that_is_found_wanting_is_warned_of(
    learned: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collapse, "LEAST_RANK", 2.0)  # more than there can be
    with pytest.warns(CollapseWarning) as said:
        learned(tmp_path / "run")
    told = [str(one.message) for one in said if one.category is CollapseWarning]
    assert [text.split(":")[0] for text in told] == ["level 0 collapsed", "level 1 collapsed"]
    assert all("effective rank" in text for text in told)
