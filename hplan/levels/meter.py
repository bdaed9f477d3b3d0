"""What networks compute while an agent acts: rows through any of them, and floating-point operations.

    model evaluations  =  sum over networks of the rows that their busiest layer saw
    FLOPs              =  2 * inputs * outputs of a linear layer, a row; of a convolution also times cells and kernel

A network is a `torch.nn.Sequential`, or what layers a module has of its own. All count: encoders, predictors, priors,
policies and heads, of every level. What a level looks up, since it was asked the same before, costs nothing, and what
computes without layers (distances, searches, tables of counts) is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hplan.levels.encoders import MLP


@dataclass
class _Layer:
    """How often one layer was asked."""

    rows: int = 0
    flops: int = 0


class Meter:
    """Counts what these modules compute between entering and leaving it; nothing where they are not known. They begin
    without what they were asked before, so that a count depends on nothing that came earlier."""

    def __init__(self, modules: Iterable[nn.Module] | None) -> None:
        self._networks: dict[nn.Module, list[_Layer]] | None = None if modules is None else defaultdict(list)
        self._hooks: list[RemovableHandle] = []
        self._modules = tuple(modules or ())
        self._layers = dict(pair for module in self._modules for pair in layers_of(module))

    @classmethod
    def of(cls, stack: Any) -> Self:
        """Of a stack, some levels of which may be a user's own and no modules, or of none."""
        levels = getattr(stack, "levels", ())
        return cls(levels if levels and all(isinstance(level, nn.Module) for level in levels) else None)

    def __enter__(self) -> Self:
        for module in self._modules:
            module.train(module.training)  # which forgets what it was asked
        for layer, network in self._layers.items():
            count = _Layer()
            assert self._networks is not None
            self._networks[network].append(count)
            self._hooks.append(layer.register_forward_hook(counter(layer, count)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def evaluations(self) -> int | None:
        if self._networks is None:
            return None
        return sum(max(layer.rows for layer in layers) for layers in self._networks.values())

    @property
    def flops(self) -> int | None:
        if self._networks is None:
            return None
        return sum(layer.flops for layers in self._networks.values() for layer in layers)


def layers_of(module: nn.Module, network: nn.Module | None = None) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Every layer of a module with the network that it is part of. An `MLP` calls none of its layers, and is one."""
    for child in module.children():
        own = network if network is not None else child if isinstance(child, nn.Sequential) else None
        if isinstance(child, MLP | nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            yield child, module if own is None else own
        else:
            yield from layers_of(child, own)


def counter(layer: nn.Module, count: _Layer) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
    """A forward hook of a layer that `layers_of` knows, which adds what the layer computes to `count`."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        turned = isinstance(layer, nn.ConvTranspose2d)  # a number of the input, not of the output, meets the kernel
        cost = 2 * ((layer.out_channels if turned else layer.in_channels) // layer.groups) * prod(layer.kernel_size)

        def convolved(_: nn.Module, given: tuple[Any, ...], found: Tensor) -> None:
            count.rows += len(found) if found.ndim > 1 else 1
            count.flops += cost * (given[0] if turned else found).numel()

        return convolved
    linear = [layer] if isinstance(layer, nn.Linear) else [part for part in layer if isinstance(part, nn.Linear)]  # type: ignore[union-attr]
    row, width = 2 * sum(each.in_features * each.out_features for each in linear), linear[-1].out_features

    def multiplied(_: nn.Module, given: tuple[Any, ...], found: Tensor) -> None:
        count.rows += len(found) if found.ndim > 1 else 1
        count.flops += row * (found.numel() // width)

    return multiplied
