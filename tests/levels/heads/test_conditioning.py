"""What a level sees of a layout: a square around the place of a latent, in the image of its own row."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from levels.plays import play_of
from torch import Tensor, nn

from hplan.levels.heads import conditioning as module
from hplan.levels.heads.conditioning import MapConditioning, conditioning_stages
from hplan.levels.level import Level
from hplan.planning.energy import NearLatent
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.training.vectors import base_level, level_above
from hplan.types import ActionSpec, ObservationSpec, UsageError

IMAGES = torch.stack([torch.arange(12.0).view(3, 4), -torch.arange(12.0).view(3, 4)])


def conditioning(reach: int = 1) -> MapConditioning:
    """The first two numbers of a latent are column and row."""
    torch.manual_seed(0)
    found = MapConditioning(latent=4, hidden=8, reach=reach, judges=False)
    found.where = FirstTwo()
    return found


class FirstTwo(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z[..., :2]


def pairwise(level: Level, z: Tensor) -> Tensor:
    assert level.compatibility is not None
    return level.compatibility(z, z)


def at(column: float, row: float) -> Tensor:
    return torch.tensor([column, row, 7.0, 7.0])


def test_the_square_is_around_the_place_and_moves_with_it() -> None:
    seen = conditioning().in_layout(IMAGES[:1], None)
    assert seen.size == 9
    square = seen(at(1, 1)[None]).view(3, 3)
    assert torch.equal(square, IMAGES[0, :, :3])
    between = seen(at(1.25, 1.5)[None]).view(3, 3)
    assert torch.allclose(between[:2], IMAGES[0, :2, :3] + 0.25 + 2.0)


def test_what_several_networks_ask_for_is_looked_at_once() -> None:
    """And rows that are one are one look; another layout, and what changes outside inference, are looked at anew."""
    seen = conditioning().in_layout(IMAGES[:1], None)
    looks: list[int] = []
    seen.where.register_forward_hook(lambda _, given, __: looks.append(len(given[0])))
    here, there = torch.stack([at(1, 1), at(2, 1)]), at(1, 1).expand(5, 4)
    with torch.inference_mode():
        first, second = seen.sight(here), seen.sight(there)
        assert looks == [2, 1]
        assert seen.sight(here) is first
        assert seen.sight(there) is second
        assert [len(part) for part in second] == [5, 5]
        assert torch.equal(seen(there), torch.cat([seen(at(1, 1)[None])] * 5))
        assert looks == [2, 1, 1]
        assert not torch.equal(seen.in_layout(IMAGES[1:], None)(here), first[1])
        both = seen.in_layout(IMAGES, torch.tensor([0, 1, 0, 1, 0]))(there)
        assert torch.equal(both[1], -both[0])
    before = seen(here)
    assert not torch.equal(seen(here.add_(1)), before)


def test_beyond_the_edge_it_goes_on_as_at_the_edge() -> None:
    corner = conditioning().in_layout(IMAGES[:1], None)(at(-5, 9)[None])
    assert torch.equal(corner, torch.full((1, 9), 8.0))


def test_every_row_looks_at_its_own_image() -> None:
    seen = conditioning(2).in_layout(IMAGES, torch.tensor([1, 0]))
    z = torch.stack([at(1, 1), at(1, 1)])
    one, other = seen(z)
    assert torch.equal(one, -other)
    path = torch.stack([z, z + at(0.5, 0)], 1)  # (B, 2, D): of one row, both in its image
    assert torch.equal(seen(path)[:, 0], seen(z))
    assert torch.equal(seen(path)[0], -seen(path)[1])
    assert torch.equal(seen(path), torch.stack([seen(path[:, i]) for i in range(2)], 1))


def test_conditioning_learns_where_latents_are() -> None:
    torch.manual_seed(1)
    found, z = MapConditioning(latent=4, hidden=32, reach=1, judges=False), torch.randn(512, 4)
    places = z[:, :2] * 3 + 10
    found.measure(places)
    optimizer = torch.optim.Adam(found.where.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        found.place_loss(z, places).backward()
        optimizer.step()
    assert float((found.place(z) - places).detach().abs().mean()) < 0.3


def level(view: int) -> Level:
    torch.manual_seed(0)
    base = base_level(ObservationSpec("vector", (2,)), ActionSpec("continuous", 2, (-1, -1), (1, 1)), latent=4)
    return level_above(base, stride=4, codes=8, latent=4, hidden=16, view=view).eval()


def test_a_given_level_shares_its_weights_and_plans_by_what_it_sees() -> None:
    blank = level(1)
    blank.conditioning.threshold.zero_()  # as if it were trained
    z, macro = torch.randn(5, 4), torch.arange(5)
    here, there = blank.conditioned(IMAGES[:1]), blank.conditioned(torch.zeros(1, 3, 4))
    assert not torch.allclose(here.predict(z, macro), there.predict(z, macro))
    assert not torch.allclose(here.prior(z), there.prior(z))
    assert not torch.allclose(pairwise(here, z), pairwise(there, z))
    assert torch.equal(here.encode(z), there.encode(z))
    assert torch.equal(here.distance(z, z + 1), there.distance(z, z + 1))
    with torch.no_grad():
        next(blank.dynamics.parameters()).add_(1.0)
    assert all(a is b for a, b in zip(blank.parameters(), here.parameters(), strict=True))
    both = blank.conditioned(torch.stack([IMAGES[0], torch.zeros(3, 4)]), torch.tensor([0, 0, 1, 1, 1]))
    mixed = both.predict(z, macro)
    assert torch.allclose(mixed[:2], here.predict(z, macro)[:2], atol=1e-6)
    assert torch.allclose(mixed[2:], there.predict(z, macro)[2:], atol=1e-6)


def test_without_a_layout_nothing_changes_and_with_one_it_must_be_given() -> None:
    plain = level(0)
    assert plain.conditioning is None and plain.obstruction is None and plain.conditioned(IMAGES) is plain
    with pytest.raises(UsageError, match=r"agent.reset\(context=image\)"):
        level(1).prior(torch.randn(2, 4))


def test_it_is_rebuilt_from_configuration_and_weights() -> None:
    made = level(2)
    again = Level(**copy.deepcopy(made.config)).eval()
    again.load_state_dict(made.state_dict())
    z = torch.randn(3, 4)
    assert torch.equal(made.conditioned(IMAGES[:1]).prior(z), again.conditioned(IMAGES[:1]).prior(z))


def test_near_but_behind_a_wall_is_up_to_twice_as_far() -> None:
    made = level(1)
    z = torch.randn(6, 4)
    made.conditioning.threshold.fill_(-100.0)  # no step fits
    walled = NearLatent(made.conditioned(IMAGES[:1]), z[0], threshold=0.5)
    assert not walled(z)[0].any()  # whatever a classifier of steps says: what is there is there
    assert torch.allclose(walled(z), 2 * made.distance(z, z[:1]))
    made.conditioning.threshold.fill_(100.0)  # every step does
    assert torch.allclose(NearLatent(made.conditioned(IMAGES[:1]), z[0], 0.5)(z), made.distance(z, z[:1]))
    plain = level(0)
    assert torch.equal(NearLatent(plain, z[0], 0.5)(z), plain.distance(z, z[:1]))


# ----------------------------------------------- which steps there can be, as a rule about walls that holds anywhere

SIDES = torch.tensor([(0, 1), (1, 0), (0, -1), (-1, 0)])
MAZE = ObservationSpec("vector", (2,), context=(9, 9), context_frame=(0.0, 0.0, 1.0))


def places() -> Level:
    """A level whose latents are places, column and row, and a step of which leads to one beside it."""
    base = base_level(ObservationSpec("vector", (2,)), ActionSpec("continuous", 2, (-1, -1), (1, 1)), latent=2)
    torch.manual_seed(0)
    made = level_above(base, stride=1, codes=4, identity=True, hidden=32, view=1)
    made.conditioning.where = nn.Identity()
    return made.eval().requires_grad_(False)


def layout(generator: torch.Generator, middle: float = 1.0) -> Tensor:
    """(9, 9) with walls around and some within; one in the middle, if so."""
    walls = torch.ones(9, 9)
    walls[1:-1, 1:-1] = (torch.rand(7, 7, generator=generator) < 0.3).float()
    walls[4, 4] = middle
    return walls


def moves(walls: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From every free place to all beside it: (K, 2) column and row, where to, and whether there is a wall."""
    rows, columns = torch.nonzero(walls == 0, as_tuple=True)
    start = torch.stack([columns, rows], 1).repeat_interleave(4, 0)
    end = start + SIDES.repeat(len(rows), 1)
    return start.float(), end.float(), walls[end[:, 1], end[:, 0]] > 0


@pytest.mark.training
def test_steps_into_walls_are_obstructed_in_unseen_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 200)
    monkeypatch.setattr(module, "BATCH", 256)
    generator = torch.Generator().manual_seed(0)
    ways, contexts = [], []
    for walls in (layout(generator) for _ in range(8)):
        start, end, blocked = moves(walls)
        ways.append(torch.stack([start, end], 1)[~blocked].flatten(0, 1))  # episodes of one step
        contexts.append(walls.byte().expand(len(ways[-1]) // 2, 9, 9))
    below = torch.cat(ways)
    remaining = torch.tensor([1, 0]).repeat(len(below) // 2)
    play = play_of(below, torch.zeros(len(below), 2), remaining, contexts=torch.cat(contexts), spec=MAZE)
    level, new = places(), layout(generator.manual_seed(99), middle=0.0)  # where all others have a wall
    unseen = level.conditioned(new[None])
    start, end, blocked = moves(new)
    assert unseen.obstruction is not None and unseen.compatibility is not None
    assert bool((unseen.obstruction(start, end) < 0).all())  # before it is trained it says nothing
    assert len(run_stages(conditioning_stages(level, play, seed=0), Run(0, tmp_path))) == 1
    energy = unseen.obstruction(start, end)
    assert float((energy[blocked] > 0).float().mean()) > 0.95
    assert float((energy[~blocked] <= 0).float().mean()) > 0.9
    into = ~blocked & (end == 4.0).all(1)
    assert bool(into.any()) and bool((energy[into] <= 0).all())
    assert torch.equal(unseen.compatibility(start, end), energy)


def test_there_is_nothing_to_learn_where_no_layout_is_seen(tmp_path: Path) -> None:
    play = play_of(torch.zeros(4, 2), torch.zeros(4, 2), torch.tensor([1, 0, 1, 0]))
    assert run_stages(conditioning_stages(places(), play, seed=0), Run(0, tmp_path)) == {}
