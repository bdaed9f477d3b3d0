"""A user's own world or task, held against types.World."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hplan.types import ActionSpec, ObservationSpec, Start, World

STEPS = 30  # of random actions, enough to meet a wrong dtype or a NaN


def check_task(task: str | World | Callable[[], World], *, seed: int = 0, steps: int = STEPS) -> None:
    """A task keeps to types.World: canonical observations, determinism by seed, finite rewards, text to draw.

    `task`: a name as in `hplan list` (then both its splits are checked, and that they share no layout), a World, or a
    function that makes one.
    """
    if not isinstance(task, str):
        _check_world(task if isinstance(task, World) else task(), seed, steps)
        return
    from hplan.registry import load_task, make_world

    config = load_task(task)
    first: dict[str, set[bytes]] = {}
    for split in ("train", "eval"):
        world = make_world(config, split=split)
        _check_world(world, seed, steps)
        first[split] = {_layout(world.reset(seed=number)) for number in range(seed, seed + 8)}
        world.close()
    if config.layouts == "vary":
        assert not first["train"] & first["eval"], (
            f"{task}: a training and an evaluation episode start in the same layout"
        )


def _layout(start: Start) -> bytes:
    """What must not be of both splits: the context where there is one."""
    return (start.observation if start.context is None else start.context).tobytes()


def _check_world(world: World, seed: int, steps: int) -> None:
    assert isinstance(world, World), f"{type(world).__name__} lacks a member of hplan.types.World; see its docstring"
    name = world.name
    assert world.max_steps > 0, f"{name}: max_steps is {world.max_steps}; an episode needs a limit above 0"
    start, again = world.reset(seed=seed), world.reset(seed=seed)
    _check_observation(start.observation, world.observation_spec, f"{name}: reset")
    same = np.array_equal(start.observation, again.observation)
    assert same, f"{name}: reset(seed={seed}) twice gave two observations; take all randomness from the seed"
    if start.goal is not None:
        _check_observation(start.goal, world.observation_spec, f"{name}: goal")
    _check_context(start, again, world.observation_spec, f"{name}: reset")
    text = world.draw()
    assert isinstance(text, str) and text.strip(), f"{name}: draw() must return the world as text, got {text!r}"
    runs = [_roll(world, seed, steps) for _ in range(2)]
    for index, (one, other) in enumerate(zip(*runs, strict=True)):
        equal = np.array_equal(one[0], other[0]) and one[1:] == other[1:]
        assert equal, f"{name}: same seed and actions, but step {index} differs; a step must use only seeded randomness"


def _roll(world: World, seed: int, steps: int) -> list[tuple[np.ndarray, float, bool, bool]]:
    generator, rows = np.random.default_rng(seed), []
    world.reset(seed=seed)
    for index in range(steps):
        done = world.step(random_action(world.action_spec, generator))
        where = f"{world.name}: step {index}"
        _check_observation(done.observation, world.observation_spec, where)
        assert np.isfinite(done.reward), f"{where}: reward is {done.reward}, expected a finite number"
        for field in ("terminated", "truncated", "success", "violation"):
            value = getattr(done, field)
            assert type(value) is bool, f"{where}: {field} is {value!r}; wrap it in bool(...)"
        rows.append((done.observation.copy(), float(done.reward), done.terminated, done.success))
        if done.terminated or done.truncated:
            world.reset(seed=seed + index + 1)
    return rows


def random_action(spec: ActionSpec, generator: np.random.Generator) -> int | np.ndarray:
    """A uniform action: an int, or (size,) float32 within the bounds."""
    if spec.kind == "discrete":
        return int(generator.integers(spec.size))
    return generator.uniform(spec.low, spec.high).astype(np.float32)


def _check_context(start: Start, again: Start, spec: ObservationSpec, where: str) -> None:
    shown = None if start.context is None else (start.context.dtype, start.context.shape)
    expected = (np.dtype(np.uint8), tuple(spec.context)) if spec.context else None
    assert shown == expected, f"{where}: the start's context is {shown}, the spec asks for {expected}"
    if spec.context:
        assert spec.kind == "vector", f"{where}: a context goes with a vector observation, not with {spec.kind}"
        assert len(spec.context_frame) == 3 and spec.context_frame[2] > 0, (
            f"{where}: context_frame is {spec.context_frame}, expected x and y of the middle of the first pixel, and "
            "the units across a pixel"
        )
        assert _layout(start) == _layout(again), f"{where}: the same seed gave two contexts"


def _check_observation(value: Any, spec: ObservationSpec, where: str) -> None:
    assert isinstance(value, np.ndarray), (
        f"{where}: the observation is a {type(value).__name__}, expected a numpy array"
    )
    assert value.shape == tuple(spec.shape), f"{where}: observation of shape {value.shape}, the spec says {spec.shape}"
    if spec.kind == "vector":
        assert value.dtype == np.float32, f"{where}: {value.dtype} observation, a vector must be float32"
        assert np.isfinite(value).all(), f"{where}: the observation holds NaN or infinity"
        return
    assert value.dtype in (np.uint8, np.int64), f"{where}: {value.dtype} observation, symbols must be uint8 or int64"
    assert len(spec.cardinalities) == spec.shape[-1], f"{where}: the spec needs one cardinality a feature"
    over = value.reshape(-1, spec.shape[-1]).max(axis=0)
    fits = all(int(top) < size for top, size in zip(over, spec.cardinalities, strict=True))
    assert fits, f"{where}: features reach {over.tolist()}, but the spec allows values below {spec.cardinalities}"
