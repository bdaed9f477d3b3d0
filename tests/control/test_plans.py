"""A plan under way: what is left of it where something else has changed, and whether a step came about."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.control.plans import LevelPlan, imagine_rest
from hplan.types import Capabilities, MacroSpec, PlanResult

RIGHT, USE = 0, 1


class Row:
    """Symbols in a row, (B, N): 2 goes right where that is 0; who uses what is right of it makes 1 of 3."""

    index, capabilities = 0, Capabilities(discrete=True)
    macro = MacroSpec("discrete", 2)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.asked.append(len(z))
        following = z.clone()
        for row, action in enumerate(macro.tolist()):
            at = int((z[row] == 2).long().argmax())  # of a guess, nobody may be anywhere
            there = int(z[row, at + 1]) if at + 1 < z.shape[1] and z[row, at] == 2 else -1
            if action == RIGHT and there == 0:
                following[row, at], following[row, at + 1] = 0, 2
            elif action == USE and there == 3:
                following[row, at + 1] = 1
        return following

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 2)


class AtTheEnd:
    threshold = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, -1] != 2).float()


def plan_of(level: Row, z: Tensor, macros: Tensor) -> LevelPlan:
    path = [z]
    for macro in macros:
        path.append(level.predict(path[-1][None], macro[None])[0])
    latents = torch.stack(path)
    result = PlanResult(macros, latents, AtTheEnd()(latents), torch.ones(len(macros)), True, len(macros))
    return LevelPlan(AtTheEnd(), result, tuple(range(len(macros))), False, z, 0, torch.zeros(len(macros)))


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=6, max_size=6),
    st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=6, max_size=6),
    st.lists(st.sampled_from([RIGHT, RIGHT, USE]), min_size=1, max_size=7),
)
def test_the_rest_of_a_plan_is_imagined_as_it_will_be(before: list[int], now: list[int], macros: list[int]) -> None:
    level = Row()
    plan = plan_of(level, torch.tensor([2, *before]), torch.tensor(macros))
    other = plan_of(level, torch.tensor([2, *now]), torch.tensor(macros))
    level.asked.clear()
    rest = imagine_rest(level, plan, 0, other.start)  # type: ignore[arg-type]
    assert torch.equal(rest.latents, other.result.latents)
    assert rest.evaluations == sum(level.asked)


def test_what_changed_beside_the_way_costs_one_call() -> None:
    """Of four steps, and where the third no longer works, of what comes after it alone as well."""
    level, macros = Row(), torch.tensor([RIGHT, RIGHT, RIGHT, USE])
    plan = plan_of(level, torch.tensor([2, 0, 0, 0, 3, 0]), macros)
    for beside, asked in (([2, 0, 0, 0, 3, 1], [4]), ([2, 0, 0, 1, 3, 0], [4, 1])):
        level.asked.clear()
        imagine_rest(level, plan, 0, torch.tensor(beside))  # type: ignore[arg-type]
        assert level.asked == asked


def test_a_step_came_about_whatever_else_changed() -> None:
    plan = plan_of(Row(), torch.tensor([2, 0, 3, 0]), torch.tensor([RIGHT]))
    assert plan.came_about(torch.tensor([0, 2, 3, 1]))
    assert not plan.came_about(torch.tensor([2, 0, 3, 0]))


def test_a_plan_is_renewed_from_its_current_step_on() -> None:
    level, macros = Row(), torch.tensor([RIGHT, RIGHT, USE])
    plan = plan_of(level, torch.tensor([2, 0, 0, 3, 0]), macros)
    first = plan.result.latents[:1]
    plan.go_on(1, plan.target())
    rest = imagine_rest(level, plan, 1, torch.tensor([0, 2, 0, 3, 1]))  # type: ignore[arg-type]
    plan.renew(rest)
    assert torch.equal(plan.result.latents, torch.cat([first, rest.latents]))
    assert len(plan.result.energies) == len(plan.result.latents) and torch.equal(plan.result.macros, macros)
    assert plan.target().tolist() == [0, 0, 2, 3, 1]
