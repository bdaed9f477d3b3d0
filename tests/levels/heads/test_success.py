"""What tells success from play is a matter of where training begins; where it begins badly it begins again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from key_door import State, key_door_level, read
from levels.plays import play_of
from levels.small_levels import cells_level, map_stack
from torch import Tensor, nn

from hplan.goals import goal_of
from hplan.levels.heads import success
from hplan.levels.heads.missions import _never, decisive, mostly
from hplan.levels.heads.success import BEGINNINGS, MapSuccess, success_rows, success_stages
from hplan.levels.level import Level
from hplan.levels.stack import Stack
from hplan.levels.stage import begin_again
from hplan.play.play import Play
from hplan.reading import Reading, Words, reading_of
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.types import MissionWarning, UsageError

REWARDED = torch.arange(64) >= 48
Z = torch.where(REWARDED, 5.0, -5.0)[:, None]


class Head(nn.Module):
    """Learns whether z is large; stuck until it has been reset `stuck` times."""

    def __init__(self, stuck: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(1, 1)
        self.open = nn.Buffer(torch.tensor(float(stuck == 0)))
        self.stuck, self.resets = stuck, 0

    def reset_parameters(self) -> None:
        self.resets += 1
        self.open.fill_(float(self.resets >= self.stuck))

    def forward(self, level: SimpleNamespace, z: Tensor) -> Tensor:
        return self.linear(z)[:, 0] * self.open


def trained(stuck: int, out: Path, rows: Tensor = REWARDED) -> tuple[SimpleNamespace, dict[str, list]]:
    level = SimpleNamespace(index=0, success_head=Head(stuck))
    play = play_of(Z, torch.zeros(len(Z), dtype=torch.long), torch.zeros(len(Z), dtype=torch.long))
    curves = run_stages(success_stages(level, Z.__getitem__, rows, 0, play), Run(0, out))  # type: ignore[arg-type]
    return level, curves


@pytest.mark.training
@pytest.mark.parametrize(("stuck", "begun"), [(0, 1), (2, 3), (99, BEGINNINGS)])
def test_a_classifier_that_does_not_tell_begins_again(
    stuck: int, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 400)
    level, curves = trained(stuck, tmp_path)
    head = level.success_head
    assert list(curves) == ["level0-success", *(f"level0-success-{n}" for n in range(2, begun + 1))]
    assert bool(((head(level, Z) > 0) == REWARDED).all()) == (begun < BEGINNINGS)
    monkeypatch.setattr(success.F, "binary_cross_entropy_with_logits", None)  # after a kill: nothing is trained anew
    again, resumed = trained(stuck, tmp_path)
    assert resumed == curves
    pairs = zip(head.parameters(), again.success_head.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_another_beginning_of_a_head_over_maps_is_as_if_it_had_just_been_made() -> None:
    head = MapSuccess(channels=4, hidden=8)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    with torch.no_grad():
        head.bias.fill_(7.0)
    torch.manual_seed(1)
    begin_again(head)
    assert head.bias == -3.0
    assert not torch.equal(head.state_dict()["cell.0.weight"], before["cell.0.weight"])


def test_without_a_reward_there_is_no_head_and_nothing_to_learn(tmp_path: Path) -> None:
    level, curves = trained(0, tmp_path, rows=torch.zeros(64, dtype=torch.bool))
    assert curves == {} and level.success_head is None
    assert not list(tmp_path.iterdir())


def test_the_row_that_a_rewarded_step_ended_in_is_a_success() -> None:
    happened = torch.zeros(6, dtype=torch.bool)
    happened[[0, 4]] = True  # steps 0 -> 1 and 4 -> 5
    play = play_of(torch.zeros(6, 1), torch.zeros(6, 1), torch.tensor([2, 1, 0, 2, 1, 0]), success=happened)
    assert success_rows(play).tolist() == [False, True, False, False, False, True]


# -------------------------------------------------------------------------------------------------------------- places


def wandering(rule: Callable[[Tensor], Tensor], out: Path) -> Level:
    """What is learned of success by maps (N, 4, 5) with nothing but a mover, in 100 episodes of 20 rows: `rule` tells
    which of its cells (N,) are a success."""
    generator = torch.Generator().manual_seed(0)
    at = torch.randint(20, (2000,), generator=generator)
    maps = torch.zeros(len(at), 20, dtype=torch.long).scatter_(1, at[:, None], 1).reshape(-1, 4, 5)
    rewarded = rule(at)
    play = play_of(torch.zeros(len(at), 1), torch.zeros(len(at), dtype=torch.long), 19 - torch.arange(len(at)) % 20)
    level = cells_level(seed=7)
    level.space.movers[1] = True
    run_stages(success_stages(level, maps.__getitem__, rewarded, 0, play, maps.__getitem__), Run(0, out))
    return level.eval()


@pytest.mark.training
def test_success_at_a_place_that_looks_like_any_other_is_a_matter_of_where_the_mover_is(tmp_path: Path) -> None:
    level = wandering(lambda at: at == 7, tmp_path / "there")
    everywhere = torch.eye(20, dtype=torch.long).reshape(20, 4, 5)
    assert level.parts["success"]["kind"] == "place" and level.success is not None
    assert torch.nonzero(level.success(everywhere) > 0)[:, 0].tolist() == [7]


@pytest.mark.training
def test_what_did_not_hold_in_other_episodes_is_no_matter_of_places(tmp_path: Path) -> None:
    """There is nothing to tell, and memory of where success was is none."""
    generator = torch.Generator().manual_seed(1)
    level = wandering(lambda at: torch.rand(len(at), generator=generator) < 0.02, tmp_path / "chance")
    assert level.parts["success"]["kind"] == "map" and isinstance(level.success_head, MapSuccess)


def test_on_a_level_that_knows_reach_a_place_within_it_will_do() -> None:
    level = key_door_level()
    level.parts["success"] = {"kind": "place"}
    head = level.made_anew("success").eval()
    head._said = lambda cells, width, mission: torch.where(cells == 4, 1.0, -1.0)  # the last of five
    states = [State(read(drawing), (0, 0)) for drawing in (".....", "..d..", "..'..", "..G..")]
    assert level.success is not None
    assert [float(level.success(state.coarse[None])) for state in states] == [1.0, -1.0, 1.0, -1.0]


# ------------------------------------------------------------------------------------------------------------ missions

TOKENS, MOVER, KEY, BALL = 4, 1, 2, 3  # of what is in a cell: nothing, and the mover, who may carry something
SHUT, OPEN = 1, 2  # doors, of what a cell is
FOUND = {"Fetch the key": 1, "fetch the BALL, now": 2}  # the symbol that each asks for


def maps_of_missions(missions: list[str]) -> tuple[Tensor, Tensor, Play]:
    """Maps (N, 4, 5), which of them are a success, and play: an episode each, of three observations. The first shows
    nothing, the next the one thing, and the last the other."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.zeros(3 * len(missions), 20, dtype=torch.long)
    rows = torch.arange(len(maps))
    maps[rows, torch.randint(20, (len(maps),), generator=generator)] = rows % 3
    wanted = torch.tensor([FOUND[mission] for mission in missions]).repeat_interleave(3)
    play = play_of(torch.zeros(len(maps), 1), torch.zeros(len(maps), dtype=torch.long), 2 - rows % 3)
    return maps.reshape(-1, 4, 5), rows % 3 == wanted, replace(play, missions=tuple(missions))


def reads_missions(out: Path, missions: list[str]) -> tuple[Level, Tensor, Reading | None]:
    maps, rewarded, play = maps_of_missions(missions)
    happened = torch.cat([rewarded[1:], rewarded[:1]])  # an entry of play is of the step from its row on
    play = replace(play, success=happened & (play.remaining > 0)).read()
    level = cells_level(seed=7)  # whose codes, which nothing has trained, are far enough apart to begin well
    run_stages(success_stages(level, maps.__getitem__, rewarded, 0, play), Run(0, out))
    return level, maps, play.reading


def success_for(level: Level, reading: Reading, mission: str) -> Callable[[Tensor], Tensor]:
    found = level.asked(torch.from_numpy(reading.code(mission))).success
    assert found is not None
    return found


@pytest.mark.training
def test_words_decide_what_a_success_is_however_seldom_they_were_said(tmp_path: Path) -> None:
    key, ball = FOUND
    level, maps, reading = reads_missions(tmp_path / "run", [key] * 190 + [ball] * 10)
    assert isinstance(reading, Words) and level.reads
    assert reading.words == ("ball", "fetch", "key", "now", "the") and reading.met == (key, ball)
    nothing, first, second = (maps[i::3] for i in range(3))
    for mission, found, other in ((key, first, second), (ball, second, first)):
        energy = success_for(level, reading, mission)
        assert (energy(found) > 0).all() and (energy(other) < 0).all() and (energy(nothing) < 0).all()
    assert level.success is not None and (level.success(nothing) < level.success(first)).all(), "without a mission"
    assert len(list((tmp_path / "run").iterdir())) == 1, "rows without a mission make nobody begin again"

    stack = replace(map_stack(), levels=(level.eval(), map_stack().levels[1]), reading=reading)
    stack.save(tmp_path / "agent")
    stack = Stack.load(tmp_path / "agent")
    goal = goal_of(stack.asked("fetch, key!"), None)
    assert goal is not None and goal.label == "fetch, key!" and goal.at(1) is None
    energy = goal.at(0)
    assert energy is not None and energy(first).max() <= energy.threshold < energy(second).min()
    with pytest.raises(UsageError, match=r"never met 'a', 'box'; known words are ball, fetch, key, now, the"):
        stack.asked("a box")
    with pytest.warns(MissionWarning, match=r"never met 'please'; known words .* goes by the others"):
        goal = goal_of(stack.asked("please fetch the key"), None)
    energy = None if goal is None else goal.at(0)
    assert energy is not None and energy(first).max() <= energy.threshold < energy(second).min()
    with pytest.warns(MissionWarning, match=r"never met 'a', 'me'; known words .* most like it, 'Fetch the key'"):
        goal = goal_of(stack.asked("fetch me a key"), None)
    energy = None if goal is None else goal.at(0)
    assert energy is not None
    assert torch.equal(energy(maps), -success_for(level, reading, key)(maps))


@pytest.mark.parametrize(
    ("rewarded", "needed"),
    [
        ((OPEN, KEY), (True, False)),  # whatever is carried, and if it always is
        ((SHUT, BALL), (False, True)),
        ((OPEN * TOKENS + MOVER, KEY), (True, True)),  # in the doorway
        ((SHUT, KEY), None),  # in others, too
    ],
)
def test_counts_tell_what_decides_a_success(rewarded: tuple[int, int], needed: tuple[bool, bool] | None) -> None:
    """Maps (N, 1, 2): a door, with or without the mover in it, and a floor with it; not rewarded are an open door
    without the key, and a shut one with it or without."""
    space = SimpleNamespace(tokens=TOKENS, outside=4 * TOKENS)
    door, carried = rewarded
    door = door if door >= TOKENS else door * TOKENS
    others = [(SHUT * TOKENS, KEY), (SHUT * TOKENS, MOVER)] + [(OPEN * TOKENS, KEY)] * (door > OPEN * TOKENS)
    maps = torch.tensor([(door, carried)] * 3 + others * 20)[:, None]
    rows = torch.arange(len(maps))
    found = decisive(space, maps.__getitem__, rows[:3], rows[3:])
    if needed is None or found is None:
        assert found is needed
        return
    tells = found[1].nonzero()[:, 0].tolist()
    assert found[0] == needed
    assert (
        tells
        == {
            (True, False): [OPEN * TOKENS + token for token in range(TOKENS)],
            (False, True): [ground * TOKENS + BALL for ground in range(4)],
            (True, True): [OPEN * TOKENS + MOVER],
        }[needed]
    )


@pytest.mark.training
def test_where_all_play_has_one_mission_it_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    level, maps, reading = reads_missions(tmp_path, ["Fetch the key"] * 20)
    assert not level.reads and reading is None and reading_of(("", "go", ""), (False, True, False)) is None
    stack = replace(map_stack(), levels=(level.eval(), map_stack().levels[1]))
    goal = goal_of(stack.asked("anything at all"), None)
    assert goal is not None and goal.label == "success"
    energy = goal.at(0)
    assert energy is not None and level.success is not None
    assert torch.equal(energy(maps), -level.success(maps))


def test_other_ground_tells_no_success_whoever_is_on_it() -> None:
    """Four kinds of ground, three tokens: the first mission was done on ground 2 by token 1, the second by token 2
    wherever it was, and of the third nothing tells."""
    tells, sees = torch.zeros(3, 13, dtype=torch.bool), torch.tensor([[True, True], [False, True], [True, True]])
    tells[0, 2 * 3 + 1] = True
    tells[1, [2, 5]] = True
    found = _never(tells, sees, tokens=3)
    assert torch.nonzero(found[0])[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11, 12], "on ground 2 others may"
    assert not found[1:].any()


def test_a_mission_that_play_never_asked_for_is_said_where_none_is_read() -> None:
    stack = replace(map_stack(), train={"missions": ["fetch the key"]})
    assert stack.asked("fetch the key") is stack
    with pytest.warns(
        MissionWarning, match="mission 'go home': play of .* asked for 'fetch the key', and the agent reads"
    ):
        assert stack.asked("go home") is stack
    assert replace(stack, train={}).asked("go home").mission == ""  # agents from before do not know what was asked


def test_what_mostly_tells_is_found_where_some_of_it_is_hidden() -> None:
    """Two of three successes show the first thing, and one in ten of the others; the second one is as often in both."""
    generator = torch.Generator().manual_seed(0)
    space = SimpleNamespace(outside=3, tokens=1)
    maps = torch.zeros(2000, 2, 3, dtype=torch.long)
    rewarded = torch.arange(2000) < 600
    shows = torch.rand(2000, generator=generator) < torch.where(rewarded, 0.67, 0.1)
    maps[shows, 0, 1] = 1
    maps[torch.rand(2000, generator=generator) < 0.5, 1, 2] = 2
    rows = torch.nonzero(rewarded)[:, 0], torch.nonzero(~rewarded)[:, 0]
    assert decisive(space, maps.__getitem__, *rows) is None
    found = mostly(space, maps.__getitem__, *rows)
    assert found is not None
    assert found[0].tolist() == [False, True, False, False] and 0.5 < found[1] < 0.65
    assert mostly(space, maps.__getitem__, *(rows[1][::2], rows[1][1::2])) is None
