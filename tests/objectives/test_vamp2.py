"""VAMP-2 on Markov chains whose singular values are known: from their transition matrix, or by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.objectives.vamp2 import slow_functions, vamp2


def chain(size: int, seed: int) -> Tensor:
    """(size, size): chances of going from each state to each other, all of them above 0."""
    rates = torch.rand(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 4 + 1e-3
    rates += 2 * torch.eye(size, dtype=torch.float64)
    return rates / rates.sum(1, keepdim=True)


def all_pairs(chances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One-hot features of both ends of every pair of states, and its weight."""
    states, size = torch.eye(len(chances), dtype=torch.float64), len(chances)
    return states.repeat_interleave(size, 0), states.repeat(size, 1), chances.flatten()


def exact(chances: Tensor) -> Tensor:
    return torch.linalg.svdvals(chances / chances.sum(0).sqrt())


CHAINS = st.builds(chain, st.integers(2, 7), st.integers(0, 1000))


@given(CHAINS)
def test_features_that_tell_all_states_apart_have_the_singular_values_of_the_chain(chances: Tensor) -> None:
    before, after, weight = all_pairs(chances)
    mix, singular = slow_functions(before, after, weight)
    assert torch.allclose(singular, exact(chances), atol=1e-5)
    assert torch.allclose(vamp2(before, after, weight), exact(chances).square().sum(), atol=1e-4)
    # Functions of variance one, uncorrelated, the slowest of them constant.
    assert torch.allclose(mix.T @ mix / len(chances), torch.eye(len(chances), dtype=torch.float64), atol=1e-4)
    assert torch.allclose(mix[:, 0].abs(), torch.ones(len(chances), dtype=torch.float64), atol=1e-4)


@given(CHAINS, st.integers(0, 100))
def test_fewer_features_score_less_and_a_linear_map_of_them_the_same(chances: Tensor, seed: int) -> None:
    before, after, weight = all_pairs(chances)
    whole = vamp2(before, after, weight)
    assert vamp2(before[:, 1:], after[:, 1:], weight) < whole + 1e-9
    mix = torch.randn(2, len(chances), len(chances), generator=torch.Generator().manual_seed(seed)).double()
    other = torch.linalg.qr(mix[0])[0] * (0.5 + torch.sigmoid(mix[1, 0]))
    assert vamp2(before @ other, after @ other, weight) == pytest.approx(float(whole), abs=1e-4)


def test_a_copy_of_a_feature_is_worth_nothing() -> None:
    before, after, weight = all_pairs(chain(5, 0))
    slow, following = before[:, :1] - 0.2, after[:, :1] - 0.2
    one = vamp2(slow, following, weight)
    assert vamp2(slow.expand(-1, 3), following.expand(-1, 3), weight) == pytest.approx(float(one), abs=1e-4)
    assert vamp2(torch.zeros(25, 2) + 1, torch.zeros(25, 2) + 1, weight) == pytest.approx(1.0, abs=1e-4)


def test_what_is_never_undone_is_slow_by_its_rate() -> None:
    """A door that is unlocked once in a hundred steps, and stays so: eigenvalues of this are 1 and 0.99."""
    chances = torch.tensor([[0.99, 0.01], [0.0, 1.0]], dtype=torch.float64)
    _, singular = slow_functions(*all_pairs(chances))
    assert singular.tolist() == pytest.approx([1.0, 0.99 / (1 - 0.01**2) ** 0.5], abs=1e-5)


def test_the_score_can_be_climbed() -> None:
    before, after, weight = all_pairs(chain(6, 3))
    mix = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mix], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-vamp2(before @ mix, after @ mix, weight)).backward()
        optimizer.step()
    best = exact(chain(6, 3))[:2].square().sum()
    assert vamp2(before @ mix, after @ mix, weight).item() == pytest.approx(float(best), abs=1e-2)
