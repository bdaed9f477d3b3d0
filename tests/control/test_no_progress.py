"""Level 0 gets nowhere: by how far it moved where latents change by and by, by whether it moved at all over symbols."""

from __future__ import annotations

import torch
from control.corridor import Corridor, Gradual
from torch import Tensor

from hplan.control.no_progress import NoProgress


def at(cell: float) -> Tensor:
    return torch.tensor([cell])


def test_a_gradual_level_makes_no_progress_where_it_moves_less_than_its_share() -> None:
    progress = NoProgress(Gradual(0), share=0.5, limit=2)
    assert progress.failed_step((at(0), at(4)), at(0)) is None, "nothing to compare with yet"
    assert progress.failed_step((at(0), at(4)), at(3)) is None
    assert progress.failed_step((at(3), at(7)), at(4)) == (at(3), at(7))
    assert not progress.is_over()
    assert progress.failed_step((at(4), at(8)), at(5)) is not None
    assert progress.is_over() and not progress.is_over(), "asked so, it counts anew"


def test_where_a_sensor_is_off_it_takes_several_steps_to_tell() -> None:
    progress = NoProgress(Gradual(0), share=0.5, limit=2, error=2.0)
    assert progress.failed_step(None, at(0)) is None
    for _ in range(2):
        for _ in range(4):
            assert progress.failed_step((at(0), at(1)), at(0)) is None, "four steps may be two short by noise alone"
        assert progress.failed_step((at(0), at(1)), at(0)) == (at(0), at(1))
    assert progress.is_over()


def test_steps_that_lead_on_behind_noise_are_progress() -> None:
    progress = NoProgress(Gradual(0), share=0.5, limit=1, error=2.0)
    progress.failed_step(None, at(0))
    for step in range(1, 40):
        seen = step + (-0.9 if step % 2 else 0.9)  # as much apart as predictions may be off
        assert progress.failed_step((at(step - 1), at(step)), at(seen)) is None
    assert not progress.is_over()


def test_symbols_make_no_progress_where_nothing_changes_though_something_should() -> None:
    progress = NoProgress(Corridor(0), share=0.5, limit=2)
    before = 0
    for expected, z in ((1, 0), (4, 0), (4, 1)):  # the last is short of it by far, but not nothing
        step = at(before), at(expected)
        assert progress.failed_step(step, at(z)) is None, "to be elsewhere than expected is a surprise anyway"
        before = z
    assert not progress.is_over()
    progress.failed_step((at(1), at(1)), at(1))  # to stay was the plan
    assert not progress.is_over()
    progress.failed_step((at(1), at(2)), at(1))
    progress.failed_step((at(1), at(2)), at(1))
    assert progress.is_over()
