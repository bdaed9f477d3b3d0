"""Learning end to end on a world of a few cells: what a run directory holds, and that no kill changes where it ends."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from two_doors import SMALL, TwoDoors, two_doors

import hplan
from hplan.agent import Agent
from hplan.codec import Codec
from hplan.levels.heads import success, uncertainty
from hplan.levels.level import Level
from hplan.levels.stack import METADATA, WEIGHTS
from hplan.play.manifest import Manifest, check_same_spaces
from hplan.play.store import EpisodeStore, write_episodes
from hplan.training import vectors
from hplan.training.learn import CURVES, learn
from hplan.training.request import REQUEST
from hplan.types import (
    ActionSpec,
    Episode,
    HplanError,
    LateRewardWarning,
    MissionWarning,
    NoSuccessWarning,
    UsageError,
)

pytestmark = pytest.mark.training


@pytest.fixture(autouse=True, scope="module")
def short() -> None:
    """The success heads are not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(success, "STEPS", 20)
        yield


def small(out: Path, **options) -> Agent:
    return learn(two_doors(), out, device="cpu", **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    small(out)
    return out


def weights(out: Path) -> bytes:
    return (out / WEIGHTS).read_bytes()


def test_a_run_directory_holds_the_agent_and_all_it_was_made_of(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {"play", "stages", METADATA, WEIGHTS, CURVES, REQUEST}
    agent = hplan.load(run)
    assert agent.task == "gym:two_doors:TwoDoors-v0"
    assert len(agent.stack.levels) == 2  # walking is fast, doors are slow
    assert all(level.success is not None for level in agent.stack.levels)
    assert agent.levels_info[1]["stride"] > 1
    train = agent.train_info
    assert (train["env_steps"], train["device"], train["seed"]) == (2000, "cpu", 0)
    curves = json.loads((run / CURVES).read_text())
    assert {"level0", "level1"} <= curves.keys()
    assert train["gradient_steps"] == sum(int(curve[-1]["step"]) for curve in curves.values())
    assert curves["level1"][-1]["step"] == SMALL["above_steps"]
    assert {path.stem for path in (run / "stages").iterdir()} == set(curves)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(run: Path, tmp_path: Path) -> None:
    small(tmp_path / "same")
    small(tmp_path / "other", seed=1)
    assert weights(tmp_path / "same") == weights(run) != weights(tmp_path / "other")


def test_a_finished_run_does_nothing(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    told = []
    agent = small(run, progress=lambda *news: told.append(news))
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert agent.train_info == hplan.load(run).train_info


def test_weights_that_were_deleted_come_back(run: Path) -> None:
    """What the message about damaged ones asks for."""
    before = weights(run)
    (run / WEIGHTS).unlink()
    small(run)
    assert weights(run) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, "seed 0 there and 1 here"),
        ({"steps": 50}, "steps 2000 there and 50 here"),
        ({"levels": 1}, "levels 'auto' there and 1 here"),
        ({"settings": {"batch": 16}}, "settings.batch 32 there and 16 here"),
        ({"play_from": "{run}/play"}, "play_from None there"),
        ({"resume": False}, "already holds a run: add --resume"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_request_in_the_same_folder_is_refused(run: Path, options: dict, said: str) -> None:
    before = weights(run)
    options = {key: value.format(run=run) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(UsageError, match=said):
        small(run, **options)
    assert weights(run) == before


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and no run directory"):
        small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_kill_before_anything_was_written_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / f".{REQUEST}.abc.tmp").write_text("{")
    with pytest.raises(UsageError, match="--levels 9"):
        small(tmp_path, levels=9)  # which it only finds out about after it took the folder
    assert (tmp_path / REQUEST).exists()


def test_a_damaged_request_is_named(tmp_path: Path) -> None:
    (tmp_path / REQUEST).write_text("{")
    with pytest.raises(HplanError, match=rf"{REQUEST} is damaged"):
        small(tmp_path)


def test_more_levels_than_time_scales_and_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--levels 9: this play has 2 time scales apart, choose 1 to 2 or auto"):
        small(tmp_path / "levels", levels=9)
    with pytest.raises(UsageError, match=r"settings of gym:two_doors:TwoDoors-v0: unknown key 'depth'; expected one"):
        learn(two_doors(100, {"depth": 3}), tmp_path / "settings")
    for ratio, expected in ((-4, "2 or more"), (1, "2 or more"), (10**9, "1000000 at most"), (10**400, "")):
        with pytest.raises(UsageError, match=rf"ratio is {str(ratio)[:80]}(\.\.\.)?; expected .*{expected}"):
            learn(two_doors(100, {"ratio": ratio}), tmp_path / "settings")
    assert not (tmp_path / "settings").exists()


def test_levels_of_symbols_are_cut_by_hand_where_a_ratio_is_given(run: Path, tmp_path: Path) -> None:
    assert len(hplan.load(run).stack.levels) == 2
    nothing_is_as_slow = SMALL | {"ratio": 100_000}
    assert len(learn(two_doors(2000, nothing_is_as_slow), tmp_path / "auto").stack.levels) == 1
    with pytest.raises(UsageError, match="1 time scales apart by a ratio of 100000, choose 1 to 1"):
        learn(two_doors(2000, nothing_is_as_slow), tmp_path / "many", levels=9)


def learn_and_tell(out: Path, pipe: Connection) -> None:
    """In a process of its own, which says what it does until it is killed."""
    torch.set_num_threads(1)
    success.STEPS = 20
    small(out, progress=lambda *news: pipe.send(news[:3]))
    pipe.send(None)


def test_killed_five_times_it_ends_with_the_same_bytes(run: Path, tmp_path: Path) -> None:
    context, chance, out = get_context("forkserver"), random.Random(0), tmp_path / "killed"
    context.set_forkserver_preload(["hplan.training.learn", "hplan.training.events", "lightning.fabric"])
    stages = set()
    for attempt in range(5):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=learn_and_tell, args=(out, theirs))
        process.start()
        theirs.close()
        for _ in range(chance.randint(1, 40 + 20 * attempt)):
            if (news := ours.recv()) is None:
                break
            stages.add(news[0])
        time.sleep(0.05 * chance.random())
        process.kill()
        process.join()
        process.close()
        ours.close()
    assert {"play", "level0"} <= stages
    (out / "stages" / ".level0.safetensors.ab.tmp").write_bytes(b"half")  # as a kill while it writes leaves it
    small(out)
    assert weights(out) == weights(run)
    assert not list(out.rglob("*.tmp"))


def test_stages_of_another_format_are_not_gone_on_with(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    request = json.loads((out / REQUEST).read_text())
    (out / REQUEST).write_text(json.dumps(request | {"format": request["format"] - 1}))
    with pytest.raises(UsageError, match=r"holds a run of format \d, this hplan writes \d: train it again"):
        small(out, resume=True)


def test_threads_and_the_callers_random_numbers_do_not_matter_and_are_left_alone(run: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small(tmp_path / "again")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.rand(3), expected)
    assert weights(tmp_path / "again") == weights(run)


def test_same_seed_same_weights_whatever_the_environment_says_of_threads(tmp_path: Path) -> None:
    code = """
from two_doors import two_doors
from hplan.levels.heads import success
from hplan.training.learn import learn
import sys
success.STEPS = 20
learn(two_doors(500), sys.argv[1], settings={"base_steps": 100, "above_steps": 50, "batch": 64})
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": paths}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / threads)], env=environment, check=True)
    assert weights(tmp_path / "1") == weights(tmp_path / "2")


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    def meanwhile(*_: object) -> None:
        if not refused:
            with pytest.raises(UsageError, match="another process works in"):
                small(tmp_path / "run")
            refused.append(True)

    refused: list[bool] = []
    small(tmp_path / "run", progress=meanwhile)
    assert refused
    assert not (tmp_path / "run" / ".lock").exists()


class Paid(TwoDoors):
    """The right end pays, and the episode goes on."""

    def step(self, action: int) -> tuple:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, False, truncated, info


def test_play_without_a_success_says_how_many_steps_were_rewarded(tmp_path: Path) -> None:
    def make() -> gymnasium.Env:
        return gymnasium.wrappers.TimeLimit(Paid(), 80)

    said = r"no step of make counted as success in 1,000 steps of play, of which [1-9]\d* were rewarded"
    with pytest.warns(NoSuccessWarning, match=said):
        learn(make, tmp_path / "run", steps=1000, levels=1, settings=SMALL)


def test_maps_where_no_mover_is_told_apart_learn_no_rewards_and_say_so(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--goal reward: levels over maps learn rewards of events alone.*--encoder one-hot"
    ):
        learn(Paid, tmp_path / "asked", steps=1000, levels=1, settings=SMALL, goal="reward")
    assert not (tmp_path / "asked").exists()
    with pytest.warns(NoSuccessWarning, match="learns no goal of its own, since levels over maps"):
        learn(lambda: gymnasium.wrappers.TimeLimit(Paid(), 80), tmp_path / "run", steps=1000, levels=1, settings=SMALL)


class Lamps(gymnasium.Env):
    """Paid while the first of eight lamps shows the last of its six colours; an action turns one on by one."""

    observation_space = spaces.MultiDiscrete([6] * 8)
    action_space = spaces.Discrete(8)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.lamps = self.np_random.integers(0, 6, 8)
        return self.lamps.copy(), {}

    def step(self, action: int) -> tuple:
        self.lamps[action] = (self.lamps[action] + 1) % 6
        return self.lamps.copy(), float(self.lamps[0] == 5), False, False, {}


def test_rewards_of_too_many_combinations_for_a_table_are_told(tmp_path: Path) -> None:
    with pytest.warns(NoSuccessWarning, match="Lamps shows too many combinations to solve for rewards in one table"):
        learn(Lamps, tmp_path / "run", steps=2000, goal="reward")


def for_reward(make: type, out: Path) -> Agent:
    settings = {"base_steps": 20, "critic_steps": 20, "batch": 32}
    with pytest.MonkeyPatch.context() as patch:  # what is not looked at is not trained for long
        patch.setattr(uncertainty, "STEPS", 20)
        patch.setattr(vectors, "SUPPORT_STEPS", 20)
        return learn(make, out, steps=1500, levels=1, goal="reward", encoder="one-hot", settings=settings)


class Late(Paid):
    """The right end pays where the episode is cut, and not before."""

    def step(self, action: int) -> tuple:
        observation, _, _, _, info = super().step(action)
        self.steps += 1
        cut = self.steps == 30
        return observation, float(cut and self.at > 2), False, cut, info

    def reset(self, **options) -> tuple:
        self.steps = 0
        return super().reset(**options)


def test_rewards_that_come_only_where_an_episode_is_cut_are_told(tmp_path: Path) -> None:
    said = r"all [1-9]\d* rewards of Late came in the step in which an episode was cut by its limit"
    with pytest.warns(LateRewardWarning, match=said):
        for_reward(Late, tmp_path / "run")


class Dear(Late):
    """Each step costs a little, too."""

    def step(self, action: int) -> tuple:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward - 0.1, terminated, truncated, info


def test_a_prize_beside_the_costs_that_comes_only_where_an_episode_is_cut_is_told(tmp_path: Path) -> None:
    with pytest.warns(LateRewardWarning, match=r"all [1-9]\d* rewards of Dear other than -0.1 came in the step"):
        for_reward(Dear, tmp_path / "run")


class Asks(TwoDoors):
    """Every other episode asks for something else, and nobody can tell from what is seen."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "mission": ("go right", "hurry up")[(seed or 0) // 10 % 2]}


def test_missions_that_no_level_reads_are_told_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = replace(two_doors(training={}), name="Asks", environment="Asks", factory=Asks)
    monkeypatch.setattr(Level, "reads", False)  # as levels of a user's own may be
    with pytest.warns(MissionWarning, match=r"play of Asks asked for 2 missions, such as 'go right' and 'hurry up'"):
        agent = learn(play, tmp_path / "run", levels=1, encoder="one-hot", settings={"base_steps": 20, "batch": 32})
    assert agent.train_info["missions"] == ["go right", "hurry up"]
    with pytest.warns(MissionWarning, match="mission 'sing': play of Asks asked for 'go right', 'hurry up', and"):
        agent.reset(goal="sing")


def test_missions_that_decide_what_is_paid_are_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Level, "reads", False)
    with pytest.warns(MissionWarning, match=r"asked for 2 missions.*: the agent aims for reward, whatever was asked"):
        agent = for_reward(Asks, tmp_path / "run")
    with pytest.warns(MissionWarning, match="mission 'sing': .* it goes by what was paid there"):
        agent.reset(goal="sing")


def test_one_episode_is_too_little(tmp_path: Path) -> None:
    with pytest.raises(HplanError, match="holds 1 episode of 1 steps, too little to train on: play more steps"):
        small(tmp_path / "run", steps=1)


def test_play_of_other_spaces_is_refused_before_training(tmp_path: Path) -> None:
    steps = 5
    episodes = [
        Episode(
            observations=np.zeros((steps + 1, 4), np.float32),
            actions=np.zeros((steps, 1), np.float32),
            rewards=np.zeros(steps, np.float32),
            success=np.zeros(steps, bool),
            violation=np.zeros(steps, bool),
            terminated=False,
            seed=seed,
        )
        for seed in range(3)
    ]
    codec = Codec.of(spaces.Box(-np.inf, np.inf, (4,)), spaces.Box(-1.0, 1.0, (1,)), "other")
    write_episodes(tmp_path / "play", Manifest("other", "Other-v0", "official", 0, 0, {}, codec, {}), episodes)
    said = (
        r"that is play of other with vectors of shape \(4,\); gym:two_doors:TwoDoors-v0 has symbols of shape "
        r"\(1, 9, 1\) of 5 values: choose other play"
    )
    with pytest.raises(UsageError, match=said):
        small(tmp_path / "run", play_from=tmp_path / "play")
    said = "play of other with 1 continuous action from -1 to 1; .* has 1 continuous action from 0 to 1"
    with pytest.raises(UsageError, match=said):
        check_same_spaces(
            Manifest.load(tmp_path / "play"), codec.observation_spec, ActionSpec("continuous", 1, (0.0,), (1.0,)), "it"
        )
    assert not (tmp_path / "run").exists()


class OtherNumbers(TwoDoors):
    """Actions and symbols are counted from somewhere else."""

    observation_space = spaces.Box(3, 7, (1, 9), np.int64)
    action_space = spaces.Discrete(3, start=5)

    def step(self, action: int) -> tuple:
        return super().step(action - 5)

    def _observe(self) -> np.ndarray:
        return super()._observe() + 3


def test_an_agent_from_play_of_others_acts_in_the_spaces_of_its_task(run: Path, tmp_path: Path) -> None:
    store = EpisodeStore.open(run / "play")
    elsewhere = replace(store.manifest, task="other", source="official", shards=(), steps=0)
    write_episodes(tmp_path / "play", elsewhere, store)
    agent = learn(OtherNumbers, tmp_path / "run", play_from=tmp_path / "play", levels=1, settings=SMALL)
    env = OtherNumbers()
    observation, _ = env.reset()
    agent.reset()
    assert env.action_space.contains(agent.act(observation))


def test_what_cannot_be_sent_to_workers_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"environment cannot be sent to 2 workers .*; use workers=1"):
        learn(lambda: TwoDoors(), tmp_path / "run", steps=100, workers=2)
    assert not (tmp_path / "run").exists()
