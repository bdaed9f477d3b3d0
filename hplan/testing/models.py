"""A user's own world model or encoder, held against types.WorldModel and what `hplan.levels.encoders` says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hplan.parts import found
from hplan.types import Capabilities, MacroSpec, WorldModel

SAME = 1e-4  # absolute difference of floats that rounding in a batch of another size explains
MEMBERS = (
    *("index", "stride", "macro", "capabilities", "encode", "predict", "prior", "distance", "uncertainty", "keys"),
    *("compatibility", "obstruction", "outcomes", "process", "policy", "returns", "landmarks", "possible", "approach"),
)
NEVER = -100.0  # log probability of a macro-action that the prior rules out


def check_model(level: WorldModel, below: Tensor, *, seed: int = 0) -> None:
    """A world model keeps to types.WorldModel: shapes, batches, determinism, no side effects, latents of symbols that
    are at distance 0 exactly where their keys are equal, and parts that it has or that are None.

    below: (B, *below), B of at least 2: latents of the level below, for level 0 canonical observations. seed: of the
    macro-actions that are tried. Raises AssertionError with what is wrong, and the fix.
    """
    name = type(level).__name__
    missing = [member for member in MEMBERS if not hasattr(level, member)]
    assert not missing, f"{name} lacks {', '.join(missing)}; what it does not know has to be None"
    assert isinstance(level.index, int) and level.index >= 0, f"{name}: index is {level.index!r}, expected 0 or more"
    assert 0 < float(level.stride) < float("inf"), f"{name}: stride is {level.stride}, expected a number above 0"
    with torch.no_grad():
        z = _pure(level.encode, name + ".encode", below)
        _check_declared(level, z, name)
        _check_shape(z, (len(below), *z.shape[1:]), name + ".encode")
        macro = _macros(level, z, torch.Generator().manual_seed(seed))
        following = _pure(level.predict, name + ".predict", z, macro)
        _check_shape(following, z.shape, name + ".predict")
        assert following.dtype == z.dtype, (
            f"{name}.predict gives {following.dtype}, and encode {z.dtype}; make them one"
        )
        _check_numbers(_pure(level.uncertainty, name + ".uncertainty", z, macro), len(z), name + ".uncertainty")
        _check_distance(level, z, following, name)
        _check_keys(level, z, following, name)
        _check_optional(level, below, z, following, macro, name)


def _check_declared(level: WorldModel, z: Tensor, name: str) -> None:
    able, macro = level.capabilities, level.macro
    assert isinstance(able, Capabilities), f"{name}: capabilities is {able!r}, expected types.Capabilities"
    assert isinstance(macro, MacroSpec), f"{name}: macro is {macro!r}, expected types.MacroSpec"
    assert macro.size > 0, f"{name}: macro.size is {macro.size}, expected 1 or more"
    assert able.discrete != z.is_floating_point(), (
        f"{name}: capabilities say discrete={able.discrete}, and latents are {z.dtype}; symbols are whole numbers"
    )
    assert not able.events or macro.pointed, (
        f"{name}: capabilities say events, and macro-actions have no cell (pointed)"
    )
    assert list(able.prior_floors) == sorted(able.prior_floors, reverse=True), (
        f"{name}: prior_floors {able.prior_floors} must fall, since a search widens"
    )
    if macro.kind == "continuous":
        assert len(macro.low) == len(macro.high) == macro.size, (
            f"{name}: macro has {macro.size} dimensions, {len(macro.low)} low and {len(macro.high)} high bounds"
        )
        assert not macro.pointed, f"{name}: continuous macro-actions cannot be pointed"


def _macros(level: WorldModel, z: Tensor, generator: torch.Generator) -> Tensor:
    """A macro-action for each latent: a possible one by the prior, or any between the bounds."""
    spec, name = level.macro, type(level).__name__
    if spec.kind == "continuous":
        low, high = torch.tensor(spec.low), torch.tensor(spec.high)
        return low + torch.rand(len(z), spec.size, generator=generator) * (high - low)
    log_p = _pure(level.prior, name + ".prior", z)
    count = spec.size * (z.shape[-2] * z.shape[-1] if spec.pointed else 1)
    _check_shape(log_p, (len(z), count), name + ".prior")
    assert torch.isfinite(log_p).all(), f"{name}.prior: NaN or infinity; {NEVER:g} says never"
    assert (log_p <= SAME).all(), f"{name}.prior: {float(log_p.max()):.3g} is above 0; it has to be a log probability"
    return log_p.exp().add(1e-12).multinomial(1, generator=generator)[:, 0]


def _check_distance(level: WorldModel, z: Tensor, following: Tensor, name: str) -> None:
    where = name + ".distance"
    away = _pure(level.distance, where, z, following)
    _check_numbers(away, len(z), where)
    assert (level.distance(z, z).abs() <= SAME).all(), f"{where}: a latent is not at distance 0 from itself"
    assert torch.allclose(away, level.distance(following, z).to(away.dtype), atol=SAME), (
        f"{where}: there and back differ; it has to be symmetric"
    )


def _check_keys(level: WorldModel, z: Tensor, following: Tensor, name: str) -> None:
    latents = torch.cat([z, z, following])
    keys, where = _pure(level.keys, name + ".keys", latents), name + ".keys"
    assert keys.ndim == 2 and keys.dtype == torch.int64, (
        f"{where}: {keys.dtype} of shape {tuple(keys.shape)}, expected int64 (B, N)"
    )
    assert torch.equal(keys[: len(z)], keys[len(z) : 2 * len(z)]), f"{where}: the same latent has two keys"
    if level.capabilities.discrete:
        count = len(latents)
        other = latents.repeat(count, *(1,) * (latents.ndim - 1))
        same = (level.distance(latents.repeat_interleave(count, 0), other) == 0).view(count, count)
        merged = (keys[:, None] == keys).all(-1)
        assert not (merged & ~same).any(), f"{where}: symbols that differ share a key, so a search would merge them"
        assert torch.equal(same, merged), f"{where}: latents at distance 0 have two keys, so a search would keep both"


def _check_optional(level: WorldModel, below: Tensor, z: Tensor, following: Tensor, macro: Tensor, name: str) -> None:
    """What a level may not have: it is None, or it answers."""
    for part in ("compatibility", "obstruction"):
        if (pairwise := getattr(level, part)) is not None:
            _check_shape(_pure(pairwise, f"{name}.{part}", z, following), (len(z),), f"{name}.{part}")
    if level.outcomes is not None:
        where = name + ".outcomes"
        ends, chances = level.outcomes(z, macro)
        _check_shape(ends, (len(z), chances.shape[1], *z.shape[1:]), where)
        total = torch.allclose(chances.sum(1), torch.ones(len(z)), atol=1e-3)
        assert total and (chances >= 0).all(), f"{where}: chances of a row must add up to 1"
    if level.policy is not None:
        where = name + ".policy"
        mean, deviation = level.policy(below, z)
        assert mean.shape == deviation.shape and len(mean) == len(z), (
            f"{where}: mean {tuple(mean.shape)} and deviation {tuple(deviation.shape)}, expected (B, A) each"
        )
        assert (deviation > 0).all(), f"{where}: a deviation is not above 0"
    if level.landmarks is not None:
        _check_shape(level.landmarks, (len(level.landmarks), *z.shape[1:]), name + ".landmarks")
    if level.possible is not None:
        _check_possible(level, below, z, name)


def _check_possible(level: WorldModel, below: Tensor, z: Tensor, name: str) -> None:
    """What can come next is what the prior allows, and can be done from here by steps of the level below."""
    where, able = name + ".possible", level.possible
    assert able is not None
    rows, macros, steps = able(z)
    assert rows.shape == macros.shape == steps.shape == (len(rows),), (
        f"{where}: rows {tuple(rows.shape)}, macros {tuple(macros.shape)} and steps {tuple(steps.shape)}, expected (N,)"
    )
    assert rows.dtype == macros.dtype == torch.int64, f"{where}: rows {rows.dtype}, macros {macros.dtype}; int64 both"
    log_p = level.prior(z)
    assert ((rows >= 0) & (rows < len(z))).all(), f"{where}: rows beyond the {len(z)} latents that it was asked of"
    assert ((macros >= 0) & (macros < log_p.shape[1])).all(), f"{where}: macro-actions beyond {log_p.shape[1]}"
    assert torch.isfinite(steps).all() and (steps >= 1).all(), f"{where}: a step takes less than one step, or no number"
    assert (log_p[rows, macros] > NEVER).all(), f"{where}: the prior rules out what is said to be possible"
    alone = [torch.stack([each.double() for each in able(z[i : i + 1])[1:]], 1) for i in range(len(z))]
    for i, other in enumerate(alone):
        one = torch.stack([each[rows == i].double() for each in (macros, steps)], 1)
        assert torch.equal(*(each[each[:, 0].argsort()] for each in (one, other))), (
            f"{where}: a row's answer depends on the others in its batch"
        )
    if level.approach is None:
        return
    where = name + ".approach"
    for row, macro in zip(rows.tolist(), macros, strict=True):
        left = level.approach(z[row], macro)(below)
        _check_shape(left, (len(below),), where)
        assert not torch.isnan(left).any() and (left >= 0).all(), f"{where}: NaN, or less than no step is left"
        assert 1 <= float(left[row]) < float("inf"), (
            f"{where}: {float(left[row]):g} steps to what is possible; expected 1 or more, and an end"
        )


def _check_numbers(values: Tensor, count: int, where: str) -> None:
    _check_shape(values, (count,), where)
    assert torch.isfinite(values).all(), f"{where}: NaN or infinity; a planner must be able to compare"
    assert (values >= 0).all(), f"{where}: {float(values.min()):.3g} is below 0"


def _check_shape(value: Tensor, expected: tuple[int, ...], where: str) -> None:
    assert tuple(value.shape) == tuple(expected), f"{where}: shape {tuple(value.shape)}, expected {tuple(expected)}"


def _pure(function: Any, where: str, *inputs: Tensor) -> Tensor:
    """What it answers, the same when asked again and for each row alone, with nothing written into its inputs."""
    before = [each.clone() for each in inputs]
    answer = function(*inputs)
    assert all(torch.equal(each, copy) for each, copy in zip(inputs, before, strict=True)), (
        f"{where} wrote into its input; clone it first"
    )
    shape = tuple(answer.shape)
    assert shape[:1] == (len(inputs[0]),), f"{where}: shape {shape} for {len(inputs[0])} rows, expected one answer each"
    assert torch.equal(answer, function(*inputs)), f"{where}: same input, two answers; take no randomness"
    rows = [function(*(each[i : i + 1] for each in inputs)) for i in range(len(inputs[0]))]
    alone = torch.cat(rows)
    assert alone.shape == answer.shape and torch.allclose(alone.to(answer.dtype), answer, atol=SAME), (
        f"{where}: a row's answer depends on the others in its batch"
    )
    return answer


def check_encoder(
    encoder: Any,
    *,
    inputs: tuple[int, ...] = (4,),
    latent: int = 16,
    hidden: int = 32,
    cardinalities: tuple[int, ...] = (),
    seed: int = 0,
    **options: Any,
) -> None:
    """An encoder is made by keyword arguments, and gives latents of the right shape whatever the leading dimensions;
    finite, deterministic, differentiable and the same after its weights were saved and loaded.

    encoder: a class, a function that makes one, or a name of `hplan.parts`. inputs: shape of an observation: (D,) of
    numbers, (H, W, F) of symbols where `cardinalities` has F numbers, or (H, W, C) of bytes. options: more arguments
    of the encoder. Raises AssertionError with what is wrong, and the fix.
    """
    make, arguments = found("encoder", encoder), {"inputs": inputs, "latent": latent, "hidden": hidden, **options}
    arguments |= {"cardinalities": cardinalities} if cardinalities else {}
    name, generator = getattr(make, "__name__", repr(make)), torch.Generator().manual_seed(seed)
    try:
        module, other = make(**arguments), make(**arguments)
    except TypeError as error:
        raise AssertionError(
            f"{name}: {error}; take inputs, latent and hidden by name, and **_ for the rest"
        ) from error
    if cardinalities:
        rows = torch.stack([torch.randint(n, (6, *inputs[:-1]), generator=generator) for n in cardinalities], -1)
    elif len(inputs) == 3:
        rows = torch.randint(256, (6, *inputs), generator=generator, dtype=torch.uint8)
    else:
        rows = torch.randn(6, *inputs, generator=generator)
    if hasattr(module, "measure"):
        module.measure(rows)
    z = _pure(lambda batch: module(batch).detach(), name, rows)
    _check_shape(z, (6, latent), name)
    assert torch.isfinite(z).all(), f"{name}: NaN or infinity among its latents"
    for leading in ((), (2, 3)):
        one = rows[0] if leading == () else rows.unflatten(0, leading)
        expected = z[0] if leading == () else z.unflatten(0, leading)
        try:
            shown = module(one).detach()
        except (RuntimeError, IndexError, ValueError) as error:
            raise AssertionError(
                f"{name} fails on shape {tuple(one.shape)}: {error}; allow any leading dims"
            ) from error
        assert shown.shape == expected.shape and torch.allclose(shown, expected, atol=SAME), (
            f"{name}: {tuple(shown.shape)} of shape {tuple(one.shape)}, expected the latents of its rows"
        )
    _check_gradients(module, rows, name)
    other.load_state_dict(module.state_dict())
    assert torch.allclose(other(rows).detach(), z, atol=SAME), (
        f"{name} differs after load_state_dict; keep what it measured in buffers"
    )


def _check_gradients(module: torch.nn.Module, rows: Tensor, name: str) -> None:
    """Every parameter that is to be learned has a finite gradient."""
    learned = {key: each for key, each in module.named_parameters() if each.requires_grad}
    if not learned:
        return
    z = module(rows)
    assert z.requires_grad, f"{name}: no gradient reaches its parameters; do not detach what it computes"
    z.square().sum().backward()
    for key, each in learned.items():
        assert each.grad is not None and torch.isfinite(each.grad).all(), f"{name}: no finite gradient reaches {key}"
