"""Codes that follow what they stand for, and events of maps."""

from __future__ import annotations

import pytest
import torch
from levels.small_levels import EDITS

from hplan.levels.macros import Actions, Codes, event_of


def test_a_codebook_finds_the_clusters_of_what_it_follows() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    book = Codes(size=6, width=2)
    for _ in range(400):
        x = centres[torch.randint(3, (64,), generator=generator)] + 0.1 * torch.randn(64, 2, generator=generator)
        book.follow(x, book.nearest(x), generator)
    assert float(torch.cdist(centres, book.codes).min(1).values.max()) < 0.3


def test_quantisation_passes_the_gradient_straight_through() -> None:
    torch.manual_seed(0)
    book = Codes(size=4, width=2)
    x = torch.randn(8, 2, requires_grad=True)
    index, vectors, commitment = book.quantise(x)
    assert torch.allclose(vectors, book.codes[index], atol=1e-6)  # x + (code - x) rounds
    vectors.sum().backward()
    assert torch.equal(x.grad, torch.ones(8, 2))
    assert float(commitment.detach()) > 0


def test_an_unknown_change_is_no_event() -> None:
    before, after = torch.tensor([[[2, 0]]]), torch.tensor([[[0, 0]]])
    assert not bool(event_of(before, after, EDITS)[1])


def test_of_several_changes_the_first_kind_and_then_the_first_cell_is_the_event() -> None:
    before, after = torch.tensor([[[3, 1, 0], [1, 1, 2]]]), torch.tensor([[[0, 4, 0], [2, 2, 5]]])
    edits = torch.tensor([[2, 1], [1, 2], [1, 4]])
    macro, known = event_of(before, after, edits)
    assert (macro.tolist(), known.tolist()) == ([1 * 6 + 3], [True])
    none = event_of(before[:0], after[:0], edits)
    assert [len(part) for part in none] == [0, 0]


def test_choices_among_numbers_are_read_as_choices() -> None:
    actions = Actions(
        action="continuous", size=3, low=(-1.0, -2.0, -1.0), high=(1.0, 2.0, 1.0), choices=(3, 0, 2), inverse=4
    )
    embedded = actions.embed(torch.tensor([[-1.0, 1.0, 1.0], [0.1, -2.0, -0.1]]))
    assert actions.width == embedded.shape[1] == 3 + 3 + 2
    assert embedded[:, :3].tolist() == [[-1.0, 0.5, 1.0], [pytest.approx(0.1), -1.0, pytest.approx(-0.1)]]
    assert embedded[:, 3:].tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0]]
    assert actions.inverse is not None and actions.inverse(torch.zeros(1, 8)).shape == (1, 3)
