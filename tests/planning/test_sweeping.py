"""Which part of a goal first, in a world where one colour washes another one off."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.planning.energy import NearLatent
from hplan.planning.sweeping import Ordering, scaffolding
from hplan.types import Budget, Capabilities, MacroSpec

NOTHING, WET, DRY = range(3)
CELLS = 8  # of each colour that the goal has
GOAL = torch.tensor([[NOTHING, NOTHING] + [WET] * CELLS + [NOTHING, NOTHING] + [DRY] * CELLS + [NOTHING, NOTHING]])


class Wash:
    """Maps (1, 22) of colours. A word paints a cell, the dry ones first; where it paints wet, all that is dry is washed
    off."""

    index, stride, macro = 1, 3.0, MacroSpec("discrete", 2 * GOAL.numel())
    capabilities = Capabilities(discrete=True)
    obstruction = None

    def __init__(self) -> None:
        self.swept = self.drawn = 0
        self.makes, self.yields = torch.ones(3, dtype=torch.bool), torch.ones(3)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return ((z != other) & (other >= 0)).flatten(1).sum(1).float()

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        wet = macro >= GOAL.numel()
        after = torch.where((z == DRY) & wet[:, None, None], NOTHING, z)
        after[torch.arange(len(z)), 0, macro % GOAL.numel()] = torch.where(wet, WET, DRY)
        return after

    def sample(self, z: Tensor, macro: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self.drawn += len(z)
        return self.predict(z, macro)

    def sweep(self, z: Tensor, target: Tensor) -> Tensor:
        self.swept += len(z)
        macros = torch.arange(self.macro.size)
        pairs = zip(z, target.expand_as(z), strict=True)
        return torch.stack([self.distance(self.predict(a.repeat(len(macros), 1, 1), macros), b) for a, b in pairs])


class Parts:
    """The level above: a part of the goal by its symbol, and all of it."""

    index, stride, macro = 2, 12.0, MacroSpec("discrete", 7)
    capabilities = Capabilities(discrete=True)
    obstruction = None

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return ((z != other) & (other >= 0)).flatten(1).sum(1).float()


def test_what_washes_off_comes_first() -> None:
    below, level = Wash(), Parts()
    start = torch.zeros_like(GOAL)
    goal = NearLatent(level, GOAL, threshold=0.0)  # type: ignore[arg-type]
    found = Ordering(below).plan(level, start, goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    assert found.macros.tolist() == [WET, 6]  # and then all of it, which leaves the dry ones
    assert found.reached
    assert found.costs.tolist() == [CELLS * 3 / 12] * 2
    assert found.latents[1].tolist() == torch.where(GOAL == DRY, -1, GOAL).tolist()
    assert found.latents[-1].tolist() == GOAL.tolist()
    assert found.evaluations == below.swept + below.drawn


def test_what_is_right_is_no_part() -> None:
    below, level = Wash(), Parts()
    start = torch.where(GOAL == WET, WET, NOTHING)
    goal = NearLatent(level, GOAL, threshold=0.0)  # type: ignore[arg-type]
    found = Ordering(below).plan(level, start, goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    assert found.macros.tolist() == [6]
    assert found.costs.tolist() == [CELLS * 3 / 12]


def test_an_order_goes_on_from_where_its_last_part_was_over() -> None:
    below, level, patience = Wash(), Parts(), 8
    goal = NearLatent(level, GOAL, threshold=0.0)  # type: ignore[arg-type]
    plan = Ordering(below, samples=1, kept=1, patience=patience).plan
    plan(level, torch.zeros_like(GOAL), goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    stuck = CELLS + 2 * patience + 1  # all that is dry, and then nothing that leads nearer
    assert below.swept == below.drawn == stuck + (CELLS + CELLS) + stuck + CELLS  # none; wet; dry; wet and then dry


def test_scaffolding_is_where_the_goal_has_what_nothing_makes_beside_and_where_something_else_is() -> None:
    goal = torch.tensor([[0, 3, 2, 2, 0], [1, 1, 2, 2, 0], [0, 0, 2, 2, 0], [0, 3, 2, 2, 3]])
    level = Wash()
    level.makes, level.yields = torch.tensor([0, 1, 1, 0, 1]).bool(), torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    raised = torch.tensor([[1, 3, 2, 2, 0], [1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [1, 3, 2, 2, 3]])
    wrong = torch.zeros_like(goal, dtype=torch.bool)
    assert torch.equal(scaffolding(level, goal, 1, wrong), raised), "3 is a wall"  # type: ignore[arg-type]
    assert torch.equal(scaffolding(level, goal, 0, wrong), goal), "no word makes it"  # type: ignore[arg-type]
    assert torch.equal(scaffolding(level, goal, 4, wrong), goal), "it is beside nothing"  # type: ignore[arg-type]
    wrong[:, 3:] = True
    over = goal.clone()
    over[:3, 4] = 4
    assert torch.equal(scaffolding(level, goal, 4, wrong), over), "words make 2 as it should be"  # type: ignore[arg-type]
    assert torch.equal(scaffolding(level, goal, 1, wrong), raised), "the goal has 1"  # type: ignore[arg-type]


class Arch(Wash):
    """Maps (2, 12) of nothing, wood and stone. Words put wood into a column, or stone, or burn its wood. Both fall as
    far as they can, and nothing takes stone away."""

    macro = MacroSpec("discrete", 36)
    wood, stone, raised, every = 1, 2, 4, 6
    goal = torch.tensor([[2] * 12, [1, 1] + [0] * 8 + [1, 1]])

    def __init__(self) -> None:
        super().__init__()
        self.makes = torch.tensor([False, True, True])

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        after = z.clone()
        for k, (word, column) in enumerate(zip((macro // 12).tolist(), (macro % 12).tolist(), strict=True)):
            if word == 2:
                after[k, :, column] = torch.where(z[k, :, column] == self.wood, 0, z[k, :, column])
                continue
            free = [row for row in (1, 0) if z[k, row, column] == 0][:1]
            after[k, free, column] = word + 1
        return after


def test_an_arch_is_built_on_scaffolding_that_is_burnt_when_it_stands() -> None:
    below, level = Arch(), Parts()
    goal = NearLatent(level, Arch.goal, threshold=0.0)  # type: ignore[arg-type]
    start = torch.zeros_like(Arch.goal)
    found = Ordering(below).plan(level, start, goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    assert found.macros.tolist() == [Arch.raised, Arch.every]
    assert found.costs.tolist() == [12 * 3 / 12, (12 + 8) * 3 / 12]  # wood below all of it; the stone, then fire
    assert found.latents[1].tolist() == [[-1] * 12, [Arch.wood] * 12]
    below.makes[:] = True
    direct = Ordering(below).plan(level, start, goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    assert Arch.raised not in direct.macros.tolist(), "nothing is scaffolding where words make everything"


class Beam(Arch):
    """The same, where stone is the first word, and wood takes the place of what lies at the bottom of its column."""

    goal = torch.tensor([[2] * 12, [0] * 12])

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        after = super().predict(z, torch.where(macro < 24, (macro + 12) % 24, macro))
        wood = (macro >= 12) & (macro < 24)
        after[wood] = z[wood]
        after[wood, 1, macro[wood] % 12] = self.wood
        return after


def test_what_nothing_takes_away_is_painted_over_with_what_burns() -> None:
    below, level = Beam(), Parts()
    goal = NearLatent(level, Beam.goal, threshold=0.0)  # type: ignore[arg-type]
    fallen = torch.tensor([[2] * 12, [0, 0] + [2] * 8 + [0, 0]])
    found = Ordering(below, least=4).plan(level, fallen, goal, budget=Budget(evaluations=10_000, horizon=512))  # type: ignore[arg-type]
    assert found.macros.tolist() == [Arch.raised, Arch.every], "no wood is wanted, and yet it comes first"
