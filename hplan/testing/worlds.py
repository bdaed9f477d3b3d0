"""A user's own environment or task, held against what hplan expects of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from hplan.codec import OutsideSpace
from hplan.play.explore import permitted

STEPS = 30  # of random actions, enough to meet a wrong dtype or a NaN


def check_task(task: str | gymnasium.Env | Callable[[], gymnasium.Env], *, seed: int = 0, steps: int = STEPS) -> None:
    """A task does what hplan expects: observations of their space, determinism by seed, finite rewards, text to draw.

    `task`: a name as in `hplan list`, a function that makes an environment (of both, both splits are checked, and that
    they share no layout), or an environment as `hplan.make` returns them.
    """
    from hplan.registry import make_world, task_of

    if isinstance(task, gymnasium.Env):
        _check_env(task, seed, steps)
        return
    config = task_of(task)
    first: dict[str, set[bytes]] = {}
    for split in ("train", "eval"):
        env = make_world(config, split=split)
        _check_env(env, seed, steps)
        first[split] = {_layout(env, *env.reset(seed=number)) for number in range(seed, seed + 8)}
        env.close()
    if config.layouts == "vary":
        assert not first["train"] & first["eval"], (
            f"{task}: a training and an evaluation episode start in the same layout"
        )


def _layout(env: Any, observation: Any, info: dict[str, Any]) -> bytes:
    """What must not be of both splits: the context where there is one."""
    return np.asarray(info.get("context", env.codec.encode(observation))).tobytes()


def _check_env(env: Any, seed: int, steps: int) -> None:
    for member in ("name", "codec", "max_steps"):
        assert hasattr(env, member), f"{type(env).__name__} lacks {member}; pass what hplan.make returns"
    name = env.name
    assert env.max_steps > 0, f"{name}: max_steps is {env.max_steps}; an episode needs a limit above 0"
    (observation, info), (again, same_info) = env.reset(seed=seed), env.reset(seed=seed)
    same = np.array_equal(_seen(env, observation, f"{name}: reset"), _seen(env, again, f"{name}: reset"))
    assert same, f"{name}: reset(seed={seed}) twice gave two observations; take all randomness from the seed"
    if not isinstance(info.get("goal", ""), str):  # a mission is words, and not seen
        _seen(env, info["goal"], f"{name}: goal")
    _check_context(env, info, same_info)
    text = env.render()
    assert isinstance(text, str) and text.strip(), f"{name}: render() must return the environment as text, got {text!r}"
    runs = [_roll(env, seed, steps) for _ in range(2)]
    for index, (one, other) in enumerate(zip(*runs, strict=True)):
        equal = np.array_equal(one[0], other[0]) and one[1:] == other[1:]
        assert equal, f"{name}: same seed and actions, but step {index} differs; a step must use only seeded randomness"


def _roll(env: Any, seed: int, steps: int) -> list[tuple[np.ndarray, float, bool, bool]]:
    generator, rows = np.random.default_rng(seed), []
    env.reset(seed=seed)
    for index in range(steps):
        action = env.codec.decode(permitted(env, env.codec.random_action(generator), generator))
        observation, reward, terminated, truncated, info = env.step(action)
        where = f"{env.name}: step {index}"
        assert np.isfinite(reward), f"{where}: reward is {reward}, expected a finite number"
        flags = {"terminated": terminated, "truncated": truncated}
        flags |= {key: info.get(key) for key in ("success", "violation")}
        for flag, value in flags.items():
            assert type(value) is bool, f"{where}: {flag} is {value!r}; wrap it in bool(...)"
        rows.append((_seen(env, observation, where), float(reward), bool(terminated), info["success"]))
        if terminated or truncated:
            env.reset(seed=seed + index + 1)
    return rows


def _check_context(env: Any, info: dict[str, Any], again: dict[str, Any]) -> None:
    spec, where = env.codec.observation_spec, f"{env.name}: reset"
    context = info.get("context")
    shown = None if context is None else (context.dtype, context.shape)
    expected = (np.dtype(np.uint8), tuple(spec.context)) if spec.context else None
    assert shown == expected, f"{where}: info's context is {shown}, the codec says {expected}"
    if spec.context:
        assert spec.kind == "vector", f"{where}: a context goes with a vector observation, not with {spec.kind}"
        assert len(spec.context_frame) == 3 and spec.context_frame[2] > 0, (
            f"{where}: context_frame is {spec.context_frame}, expected x and y of the middle of the first pixel, and "
            "the units across a pixel"
        )
        assert np.array_equal(info["context"], again["context"]), f"{where}: the same seed gave two contexts"


def _seen(env: Any, observation: Any, where: str) -> np.ndarray:
    """An observation in canonical form, which it has if it is of its space."""
    try:
        seen = env.codec.encode(observation)
    except OutsideSpace as error:
        raise AssertionError(f"{where}: {error}") from error
    expected = env.codec.observation_spec.shape
    assert seen.shape == expected, f"{where}: an observation of shape {seen.shape}, the space says {expected}"
    return seen
