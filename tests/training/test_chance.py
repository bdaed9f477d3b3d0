"""Who steps on the pad lands anywhere: level 0 says so, and levels above never see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.play.play import Play
from hplan.training import policy, uncertainty, vector, vector_stack
from hplan.training.strides import cut, unpredictable
from hplan.training.vectors import Play, base_level, train_vector_level
from hplan.types import ActionSpec, ObservationSpec

PLANE, PUSH = ObservationSpec("vector", (2,)), ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
EPISODES, STEPS = 60, 80
PAD, EXITS = torch.tensor([5.0, 5.0]), torch.tensor([[1.0, 1.0], [9.0, 1.0], [1.0, 9.0], [9.0, 9.0]])


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is trained, and what is trained on frozen latents plays no part here."""
    monkeypatch.setattr(vector, "SUPPORT_STEPS", 5)
    monkeypatch.setattr(vector, "SQUARED", 100)
    monkeypatch.setattr(uncertainty, "STEPS", 5)
    monkeypatch.setattr(policy, "STEPS", 5)


def play_on_a_field(radius: float) -> Play:
    """A point that wanders on a field of 10 by 10, at most 0.3 a step. Who comes within `radius` of the middle is at
    one of the four corners next."""
    generator = torch.Generator().manual_seed(0)
    at = 10 * torch.rand(EPISODES, 2, generator=generator)
    at = torch.where((at - PAD).norm(dim=1, keepdim=True) < radius, at + 4, at)
    heading = torch.rand(EPISODES, 2, generator=generator) * 2 - 1
    observations, actions = [at], []
    for _ in range(STEPS):
        turn = torch.rand(EPISODES, 1, generator=generator) < 0.1
        heading = torch.where(turn, torch.rand(EPISODES, 2, generator=generator) * 2 - 1, heading)
        at = (at + 0.3 * heading).clamp(0, 10)
        corner = EXITS[torch.randint(len(EXITS), (EPISODES,), generator=generator)]
        at = torch.where((at - PAD).norm(dim=1, keepdim=True) < radius, corner, at)
        actions.append(heading.clone())
        observations.append(at)
    actions.append(torch.zeros_like(heading))
    remaining = torch.arange(STEPS, -1, -1).repeat(EPISODES)
    return Play(torch.stack(observations, 1).flatten(0, 1), torch.stack(actions, 1).flatten(0, 1), remaining)


def jumps(play: Play) -> torch.Tensor:
    """(N,) bool: the transitions that are longer than any step."""
    far = torch.zeros(len(play.below), dtype=torch.bool)
    far[:-1] = (play.below[1:] - play.below[:-1]).norm(dim=1) > 1
    return far & (play.remaining > 0)


@pytest.mark.training
@pytest.mark.parametrize("radius", [0.0, 1.0], ids=["certain", "with a pad"])
def test_what_level_0_cannot_predict_is_exactly_what_chance_decides(radius: float, tmp_path: Path) -> None:
    play = play_on_a_field(radius)
    torch.manual_seed(0)
    level = base_level(PLANE, PUSH, latent=6, hidden=32, octaves=3)
    train_vector_level(level, play, steps=400, seed=0, out=tmp_path, batch=64, rollout=2)
    assert bool(jumps(play).any()) == (radius > 0)
    assert torch.equal(unpredictable(level, play), jumps(play))


@pytest.mark.training
def test_levels_above_never_see_it_and_the_card_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Play] = []

    def train(level, play: Play, **options):
        seen.append(play)
        return train_vector_level(level, play, **options)

    monkeypatch.setattr(vector_stack, "train_vector_level", train)
    settings = vector_stack.StrideSettings(
        base_steps=800, above_steps=5, batch=64, latent=6, hidden=32, codes=4, ratio=4
    )
    trained = vector_stack.train_vector(
        recorded(play_on_a_field(1.0)), levels=3, settings=settings, seed=0, out=tmp_path, device="cpu", progress=None
    )
    play, *above = seen
    taken = jumps(play)
    assert 0 < trained.facts["chances"] == int(taken.sum())
    for stride, part in zip((4, 16), above, strict=True):
        inside = part.starts(stride)[:, None] + torch.arange(stride)
        assert bool(taken[play.starts(stride)[:, None] + torch.arange(stride)].any())
        assert not bool(taken[inside].any())


def recorded(play: Play) -> Play:
    rows = len(play.below)
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), STEPS + 1)
    nothing = np.zeros(rows, bool)
    return Play(
        play.below.numpy(), play.actions.numpy(), np.zeros(rows, np.float32), nothing, nothing, nothing,
        play.remaining.numpy().astype(np.int32), episode, np.arange(EPISODES), PLANE, PUSH,
    )  # fmt: skip


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(1, 5))
def test_no_window_has_chance_inside_and_no_other_is_lost(chance: list[bool], horizon: int) -> None:
    play = Play(torch.zeros(12, 1), torch.zeros(12, 1), torch.tensor([5, 4, 3, 2, 1, 0] * 2))
    kept = torch.nonzero(cut(play, torch.tensor(chance)).remaining >= horizon)[:, 0].tolist()
    assert kept == [row for row in play.starts(horizon).tolist() if not any(chance[row : row + horizon])]
