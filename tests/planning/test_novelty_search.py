"""Search over possible events, against Dijkstra on all that can be, and its promises on width, places and budget."""

from __future__ import annotations

import math
from itertools import product

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from planning.test_search import Graph
from torch import Tensor
from torch.nn.functional import pad

from hplan.planning.novelty import NoveltySearch
from hplan.types import Budget, Capabilities, MacroSpec

ON, OFF = 0, 1


class Lamps(Graph):
    """Maps (1, n) of lamps that are on or off. A lamp that is off can be switched on, in `far` (n,) environment steps,
    and one that is on can be switched off in as many. `dim`: times as many while the lamp before it is off; never where
    that is infinite."""

    capabilities = Capabilities(discrete=True, events=True)

    def __init__(self, far: list[float], *, stride: float = 1.0, dim: float = 1.0) -> None:
        super().__init__(torch.zeros(1, 2, dtype=torch.long))
        self.index, self.stride, self.macro = 1, stride, MacroSpec("discrete", 2, pointed=True)
        self.far, self.dim = torch.tensor(far), dim

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.evaluations += len(z)
        kind, cell = macro // z[0].numel(), macro % z[0].numel()
        following = z.clone()
        following[torch.arange(len(z)), 0, cell] = (kind == ON).long()
        return following

    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        lamps = z[:, 0]
        steps = self.far * torch.where(pad(lamps[:, :-1], (1, 0), value=1) > 0, 1.0, self.dim)
        rows, cells = torch.nonzero(steps.isfinite(), as_tuple=True)
        return rows, lamps[rows, cells] * len(self.far) + cells, steps[rows, cells]

    def prior(self, z: Tensor) -> Tensor:
        rows, macros, _ = self.possible(z)
        return torch.full((len(z), 2 * len(self.far)), -1e4).index_put((rows, macros), torch.tensor(-1.0))

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z != other).flatten(1).sum(1).float()

    def keys(self, z: Tensor) -> Tensor:
        return z.flatten(1)


class Shows:
    """These lamps on (1) or off (0), the others however they are (-1)."""

    threshold = 0.0

    def __init__(self, wanted: tuple[int, ...]) -> None:
        self.wanted = torch.tensor(wanted)

    def __call__(self, z: Tensor) -> Tensor:
        return ((z[:, 0] != self.wanted) & (self.wanted >= 0)).sum(1).float()


class Any:
    """Some lamp is on."""

    threshold = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return 1.0 - z[:, 0].amax(1)


def dark(count: int) -> Tensor:
    return torch.zeros(1, count, dtype=torch.long)


def everything(level: Lamps, weight: float) -> nx.DiGraph:
    """All latents and steps. A place costs more the more of its type are nearer, and of equals the first is."""
    graph = nx.DiGraph()
    for lamps in product((0, 1), repeat=len(level.far)):
        _, macros, steps = level.possible(torch.tensor(lamps)[None, None])
        for kind in (ON, OFF):
            own = sorted(
                (float(steps[i]), int(macros[i]) % len(lamps))
                for i in range(len(macros))
                if int(macros[i]) // len(lamps) == kind
            )
            for rank, (far, cell) in enumerate(own):
                following = (*lamps[:cell], int(kind == ON), *lamps[cell + 1 :])
                cost = (far + weight * math.log2(1 + rank)) / max(level.stride, 1.0)
                graph.add_edge(lamps, following, weight=cost)
    return graph


@example(far=[1.0, 1.0], stride=7.5, dim=5.0, seed=34, weight=0.0, batch=1)
@example(far=[1.0, 1.0], stride=7.5, dim=5.0, seed=34, weight=0.0, batch=16)
@given(
    st.lists(st.integers(1, 20).map(float), min_size=2, max_size=5),
    st.sampled_from([1.0, 7.5]),
    st.sampled_from([1.0, 5.0, math.inf]),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 10.0]),
    st.sampled_from([1, 16]),
)
def test_plans_cost_what_dijkstra_says(
    far: list[float], stride: float, dim: float, seed: int, weight: float, batch: int
) -> None:
    level, rng = Lamps(far, stride=stride, dim=dim), np.random.default_rng(seed)
    start, wanted = torch.from_numpy(rng.integers(0, 2, (1, len(far)))), tuple(rng.integers(-1, 2, len(far)).tolist())
    goal, graph = Shows(wanted), everything(level, weight)
    away = nx.single_source_dijkstra_path_length(graph, tuple(start[0].tolist()))
    least = min((cost for lamps, cost in away.items() if float(goal(torch.tensor(lamps)[None, None])) == 0), default=-1)
    search = NoveltySearch(widths=(0,), rank_weight=weight, batch=batch)
    found = search.plan(level, start, goal, budget=Budget(10_000, 100))
    assert found.reached == (least >= 0) and found.evaluations == level.evaluations
    if found.reached:
        assert float(found.costs.sum()) == pytest.approx(least, abs=1e-4)
        z = start[None]
        for macro, following in zip(found.macros, found.latents[1:], strict=True):
            assert int(macro) in level.possible(z)[1].tolist()
            z = level.predict(z, macro[None])
            assert torch.equal(z[0], following)


def test_of_the_places_for_one_type_the_nearest_is_tried_first_and_alone() -> None:
    level = Lamps([5.0, 9.0, 2.0, 3.0, 8.0])
    found = NoveltySearch().plan(level, dark(5), Any(), budget=Budget(1000, 10))
    assert found.reached and found.macros.tolist() == [2]
    assert found.evaluations == level.evaluations == 1
    assert float(found.costs[0]) == 2.0


def test_a_place_costs_ten_steps_more_with_every_doubling_of_its_rank() -> None:
    level = Lamps([5.0, 9.0, 2.0, 3.0, 8.0], stride=4.0)
    for cell, rank in ((2, 1), (3, 2), (0, 3), (4, 4), (1, 5)):
        wanted = tuple(1 if i == cell else 0 for i in range(5))
        found = NoveltySearch(widths=(0,)).plan(level, dark(5), Shows(wanted), budget=Budget(1000, 1))
        assert found.macros.tolist() == [cell]
        assert float(found.costs[0]) == pytest.approx((float(level.far[cell]) + 10 * math.log2(rank)) / 4)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_width_keeps_what_shows_so_many_facts_together_for_the_first_time(width: int) -> None:
    """Of more lamps all of these have been seen together before."""
    level = Lamps([1.0] * 6)
    search = NoveltySearch(widths=(width,), rank_weight=0.0)
    for count in range(1, 5):
        wanted = (1,) * count + (0,) * (6 - count)
        found = search.plan(level, dark(6), Shows(wanted), budget=Budget(100_000, 10))
        assert found.reached == (count <= width), f"{count} lamps"
    kept = sum(math.comb(6, size) for size in range(width + 1))
    level.evaluations = 0
    found = search.plan(level, dark(6), Shows((1,) * 6), budget=Budget(100_000, 10))
    assert found.evaluations == level.evaluations == 6 * kept, "every latent that is kept goes on by all of its events"


def test_facts_are_counted_from_the_start() -> None:
    """With five lamps on at the start, to switch off the sixth and no other is one fact."""
    level, start = Lamps([1.0] * 6), torch.ones(1, 6, dtype=torch.long)
    search = NoveltySearch(widths=(1,), rank_weight=0.0)
    assert search.plan(level, start, Shows((1, 1, 1, 1, 1, 0)), budget=Budget(1000, 10)).reached
    assert not search.plan(level, start, Shows((1, 1, 1, 1, 0, 0)), budget=Budget(1000, 10)).reached


def test_along_a_wire_one_fact_at_a_time_is_enough() -> None:
    level = Lamps([1.0] * 8, dim=math.inf)
    found = NoveltySearch(widths=(1,)).plan(level, dark(8), Shows((1,) * 8), budget=Budget(1000, 10))
    assert found.macros.tolist() == list(range(8))
    assert found.evaluations <= 8 * 8 / 2 + 8


def test_a_wider_search_follows_where_a_narrow_one_dropped_anything() -> None:
    level, wanted = Lamps([1.0] * 4), Shows((1, 1, 1, -1))
    narrow = NoveltySearch(widths=(1,), rank_weight=0.0).plan(level, dark(4), wanted, budget=Budget(1000, 10))
    assert not narrow.reached
    level.evaluations = 0
    found = NoveltySearch(widths=(1, 0), rank_weight=0.0).plan(level, dark(4), wanted, budget=Budget(1000, 10))
    assert found.reached and found.evaluations == level.evaluations > narrow.evaluations, "both are counted"
    nothing = Lamps([1.0], dim=math.inf)
    found = NoveltySearch(widths=(1, 2, 0)).plan(nothing, dark(1), Shows((5,)), budget=Budget(1000, 10))
    assert not found.reached and found.evaluations == 2, "nothing was dropped: on, and off again, once"


@pytest.mark.parametrize("evaluations", [0, 1, 5, 17, 40])
def test_the_budget_is_that_of_all_widths_together(evaluations: int) -> None:
    level = Lamps([1.0] * 6)
    search = NoveltySearch(rank_weight=0.0)
    found = search.plan(level, dark(6), Shows((1,) * 6), budget=Budget(evaluations, 10))
    assert found.evaluations == level.evaluations <= evaluations
    assert not found.reached


def test_no_plan_is_longer_than_the_horizon() -> None:
    level = Lamps([1.0] * 4, dim=math.inf)
    assert not NoveltySearch().plan(level, dark(4), Shows((1,) * 4), budget=Budget(1000, 3)).reached
    assert len(NoveltySearch().plan(level, dark(4), Shows((1,) * 4), budget=Budget(1000, 4))) == 4


def test_the_same_call_has_the_same_plan() -> None:
    level, goal, search = Lamps([2.0, 2.0, 1.0, 3.0, 2.0]), Shows((1, 1, -1, -1, 1)), NoveltySearch()
    first, second = (search.plan(level, dark(5), goal, budget=Budget(1000, 10)) for _ in range(2))
    assert first.reached and first.evaluations == second.evaluations
    assert torch.equal(first.macros, second.macros) and torch.equal(first.latents, second.latents)
    assert torch.equal(first.costs, second.costs)


def test_what_failed_costs_more_and_another_way_is_taken() -> None:
    level = Lamps([1.0, 2.0])

    def cost(z: Tensor, following: Tensor) -> Tensor:
        return 50.0 * following[:, 0, 0]

    found = NoveltySearch(rank_weight=0.0).plan(level, dark(2), Any(), budget=Budget(100, 10), step_cost=cost)
    assert found.macros.tolist() == [1]
