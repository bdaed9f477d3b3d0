"""A batch split over two processes: loss, gradient and running statistics are those of the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from levels.small_levels import CELLS, PLANE, PUSH, cells_level
from torch import Tensor, nn

from hplan.levels.dynamics import prediction_loss
from hplan.objectives.criterion import Criterion
from hplan.objectives.whole_batch import agreed, own_rows, whole_batch
from hplan.parts import BUILT_IN
from hplan.training.vectors import base_level, joint_loss, level_above

BATCH, STEPS, STRIDE = 16, 3, 4


def test_on_one_device_the_batch_is_whole() -> None:
    z = torch.randn(4, 2)
    assert whole_batch(z) is z is agreed(z)
    assert own_rows(z).tolist() == [0, 1, 2, 3]


def figures(name: str, kind: str, rows: slice) -> Tensor:
    """Loss, gradient and statistics of one training step of a small level on some rows of a batch."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    if kind == "spatial":
        level = cells_level().train().requires_grad_(True)
        criterion = Criterion(name, 8, level.encoder)
        before, after = torch.randint(len(CELLS), (2, BATCH, 2, 3), generator=generator)
        after = torch.where(torch.rand(after.shape, generator=generator) < 0.3, after, before)
        macro = torch.randint(3, (BATCH,), generator=generator)
        codes = level.encoder.codes()
        loss, _, _ = prediction_loss(level, before[rows], macro[rows], after[rows], codes, criterion, rare=True)
    else:
        level = base_level(PLANE, PUSH, latent=6, hidden=16)
        shape = (BATCH, STEPS, 2)
        if kind == "codes":
            level, shape = level_above(level, stride=STRIDE, codes=4, latent=6, hidden=16), (BATCH, STEPS, STRIDE, 2)
        criterion = Criterion(name, 6, level.encoder)
        below = torch.randn(BATCH, STEPS + 1, 2 if kind == "actions" else 6, generator=generator)
        actions = torch.randn(*shape, generator=generator)
        torch.manual_seed(100 + rows.start)  # two devices need not draw the same random numbers
        loss, _ = joint_loss(level, below[rows], actions[rows], generator, criterion)
    loss.backward()
    trained = nn.ModuleList([level, criterion])
    gradients = [p.grad.flatten() for p in trained.parameters() if p.grad is not None]
    statistics = [b.flatten() for n, b in trained.named_buffers() if "lattice" not in n and b.is_floating_point()]
    return torch.cat([loss.detach()[None], *gradients, *statistics])


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    half = BATCH // 2
    for kind in ("actions", "codes", "spatial"):
        for name in BUILT_IN["objective"]:
            found = figures(name, kind, slice(rank * half, rank * half + half))
            dist.all_reduce(found)  # gradients are averaged as data-parallel training does it
            if rank == 0:
                torch.save(found / 2, f"{folder}/{kind}-{name}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    mp.spawn(one_of_two, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("kind", ["actions", "codes", "spatial"])
@pytest.mark.parametrize("name", BUILT_IN["objective"])
def test_splitting_a_batch_changes_neither_loss_nor_gradient_nor_statistics(name: str, kind: str, split: Path) -> None:
    whole = figures(name, kind, slice(0, BATCH))
    assert torch.allclose(torch.load(split / f"{kind}-{name}.pt"), whole, atol=1e-4, rtol=1e-4)
