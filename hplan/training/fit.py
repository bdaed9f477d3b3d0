"""One training loop for every network of hplan: Lightning Fabric, stateless batches, resumable to the same weights.

Batch number n depends on (seed, name, n) alone, so that a run which was killed and goes on from its last snapshot ends
with the weights of a run that was never disturbed. Snapshots are safetensors, written atomically; never pickle.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.stage import Curve, Stage, stage_seed
from hplan.levels.tensors import read_tensors, write_tensors
from hplan.training.device import Meeting
from hplan.types import HplanError

Progress = Callable[[str, int, int, dict[str, float]], None]  # stage, done, total, latest figures
CURVE_POINTS = 50  # points of the learning curve that a stage keeps


@dataclass(frozen=True)
class Run:
    """One training: its seed, the folder `out` of its snapshots, the device (cpu or cuda) that networks learn on, and
    who is told how it goes."""

    seed: int
    out: Path
    device: str = "cpu"
    progress: Progress | None = None


def fit(
    stage: Stage,
    run: Run,
    *,
    weight_decay: float = 1e-4,
    warmup: int = 50,
    clip: float = 1.0,
    snapshot_every: int = 200,
) -> Curve:
    """Minimise the loss of a stage over the parameters of its module, in place; returns the learning curve.

    AdamW with a linear warm-up and a cosine to a tenth of the stage's rate. The module is on the run's device while it
    learns and on the CPU afterwards; whatever else a loss reads may stay there (`Meeting`). `run.out` holds the stage's
    snapshot `NAME.safetensors`; where it exists, training goes on from it, and where it is finished, it is loaded and
    nothing is trained.

    Raises HplanError where a loss is not finite, or where a snapshot is damaged (it is named: delete it to go on).
    """
    module, name, steps, seed, progress = stage.module, stage.name, stage.steps, run.seed, run.progress
    from lightning.fabric import Fabric  # imports slowly; planning never needs it

    fabric = Fabric(accelerator=run.device, devices=1)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=stage.lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _learning_rate(s, steps, warmup))
    # One loss may use several sub-modules of `module`, so the module is placed, and its methods stay callable.
    fabric.to_device(module)
    path = run.out / f"{name}.safetensors"
    first, curve = _restore(path, module, optimizer, schedule) if path.exists() else (0, [])
    if first < steps:
        module.train()
        generator = torch.Generator(device="cpu")
        for step in range(first, steps):
            generator.manual_seed(stage_seed(seed, name, step))
            _seed(stage_seed(seed, name + "/global", step), fabric.device)
            with Meeting(fabric.device) if fabric.device.type != "cpu" else nullcontext():
                value, figures = stage.loss(step, generator)
            if not torch.isfinite(value):
                raise HplanError(
                    f"{name}: the loss is {value.item()} at step {step}; lower the learning rate or check the data"
                )
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(value)
            nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            schedule.step()
            done = step + 1
            if done % max(steps // CURVE_POINTS, 1) == 0 or done == steps:
                point = {"step": float(done), "loss": float(value.detach())} | {k: float(v) for k, v in figures.items()}
                curve.append(point)
                if progress:
                    progress(name, done, steps, point)
            if done % snapshot_every == 0 or done == steps:
                _snapshot(path, module, optimizer, schedule, done, curve)
    elif progress:
        progress(name, steps, steps, curve[-1] if curve else {})
    torch.manual_seed(stage_seed(seed, name + "/after"))  # what is made next begins alike, trained now or found trained
    module.to("cpu").eval()
    _round(module)
    return curve


def _seed(seed: int, device: torch.device) -> None:
    """As `torch.manual_seed`, which takes as long as a small step does: it notes for a GPU to come who asked."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


@torch.no_grad()
def _round(module: nn.Module) -> None:
    """Weights to what half precision holds, before anything is measured or trained on them: on disk they take half."""
    for weight in module.parameters():
        half = weight.half().float()
        weight.copy_(torch.where(half.isfinite(), half, weight))


def _learning_rate(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    part = (step - warmup) / max(steps - warmup, 1)
    return 0.1 + 0.45 * (1.0 + float(torch.cos(torch.tensor(torch.pi * part))))


def _snapshot(path: Path, module: nn.Module, optimizer: Any, schedule: Any, step: int, curve: Curve) -> None:
    tensors = {f"module/{k}": v for k, v in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
    write_tensors(path, tensors, {"step": str(step), "curve": json.dumps(curve)})


def _restore(path: Path, module: nn.Module, optimizer: Any, schedule: Any) -> tuple[int, Curve]:
    tensors, metadata = read_tensors(path)
    step = int(metadata["step"])
    try:
        module.load_state_dict({k.removeprefix("module/"): v for k, v in tensors.items() if k.startswith("module/")})
    except RuntimeError as error:
        raise HplanError(f"{path} belongs to another configuration; choose another --out or delete it") from error
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, field = key.split("/")
            state.setdefault(int(index), {})[field] = value
    # The schedule is a function of the step: replaying its counter also sets the optimizer's current rate.
    schedule.last_epoch = step
    for group, base in zip(optimizer.param_groups, schedule.base_lrs, strict=True):
        group["lr"] = base * schedule.lr_lambdas[0](step)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step, json.loads(metadata["curve"])
