"""Networks on one device that learn from play on another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Meeting(TorchFunctionMode):
    """While it is entered, what tensors of two devices meet in is done on `device`, where the networks are, or, in
    place, where what is written lies. Play stays on the CPU with all that is drawn from it: the same batches on every
    device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if len({tensor.device for tensor in _tensors((args, kwargs))}) > 1:
            name = func.__name__
            in_place = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
            args, kwargs = _placed((args, kwargs), args[0].device if in_place else self.device)
        return func(*args, **(kwargs or {}))


def _tensors(of: Any) -> Iterator[Tensor]:
    if isinstance(of, Tensor):
        yield of
    elif isinstance(of, tuple | list | dict):
        for part in of.values() if isinstance(of, dict) else of:
            yield from _tensors(part)


def _placed(of: Any, device: torch.device) -> Any:
    if isinstance(of, Tensor):
        return of.to(device)
    if isinstance(of, dict):
        return {key: _placed(part, device) for key, part in of.items()}
    return type(of)(_placed(part, device) for part in of) if isinstance(of, tuple | list) else of
