"""What decides a run. It is kept in the run's folder, so that a call which asks for something else is refused there."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from gymnasium.envs.registration import load_env_creator

from hplan.config import TaskConfig
from hplan.files import is_unused, write_atomically
from hplan.levels.stack import FORMAT
from hplan.play.manifest import Manifest
from hplan.types import ActionSpec, HplanError, ObservationSpec, UsageError

REQUEST = "request.json"
_PLAIN = (str, bytes, bool, int, float, complex, type(None), type(...))
_INSTALLED = ("site-packages", "dist-packages")


def describe(
    task: TaskConfig,
    specs: tuple[ObservationSpec, ActionSpec],
    play: Manifest | None,
    *,
    steps: int | None,
    seed: int,
    levels: str | int,
    settings: Mapping[str, Any],
    abstraction: str,
) -> dict[str, Any]:
    """Everything that the weights depend on, as JSON has it. Names alone do not tell two tasks apart: beside the name
    stand what its file says, its spaces, and the code that makes it. `play`: episodes that exist already."""
    of_task = ("environment", "kwargs", "view", "goal", "success", "layouts", "changes")
    of_play = () if play else ("recipe", "episode_steps", "restart_rare")
    request = {
        "format": FORMAT,  # stages of another one would be taken for finished
        "task": task.name,
        **{key: getattr(task, key) for key in of_task},
        **{key: getattr(task.play, key) for key in of_play},
        **({"environments": task.environments} if task.environments else {}),
        "observations": specs[0],
        "actions": specs[1],
        "code": fingerprint(_makers(task)),
        "play_from": play and hashlib.sha256(repr(play).encode()).hexdigest()[:12],
        "steps": steps,
        "seed": seed,
        "levels": levels,
        "abstraction": abstraction,
        "settings": dict(settings),
    }
    return json.loads(json.dumps(request, default=_as_json))


def _as_json(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else fingerprint(value)


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The keys of `here` that are not the same `there`, with both values; of tables, their keys."""
    return ", ".join(f"{key} {old!r} there and {new!r} here" for key, old, new in _different(there, here))


def _different(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in (*here, *(key for key in there if key not in here)):
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from ((f"{key}.{part}", *values) for part, *values in _different(old, new))
        elif old != new:
            yield key, old, new


def claim(out: Path, request: dict[str, Any], resume: bool) -> None:
    """Note what `out` is for, or see that it is for the same. Raises UsageError where it is not."""
    path = out / REQUEST
    if not path.exists():
        if not is_unused(out):
            raise UsageError(f"{out} is not empty and no run directory: choose another --out")
        write_atomically(path, json.dumps(request))
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError) as error:
        raise HplanError(f"{path} is damaged ({error}): choose another --out") from error
    if found.get("format") != FORMAT:
        raise UsageError(
            f"{out} holds a run of format {found.get('format')}, this hplan writes {FORMAT}: train it again in another "
            "--out"
        )
    if what := differences(found, request):
        raise UsageError(f"{out} holds another run ({what}): choose another --out")
    if not resume:
        raise UsageError(f"{out} already holds a run: add --resume to go on, or choose another --out")


# --------------------------------------------------------------------------------------------- what a function will do


def _makers(task: TaskConfig) -> Any:
    """What makes the environment: the function, or the registration; of several, each."""
    if task.factory is not None:
        return task.factory
    return tuple(map(_registration, task.environments)) or _registration(task.environment)


def _registration(environment: str) -> Any:
    from hplan.worlds.gym import find_spec

    spec = find_spec(environment)
    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return (creator, spec.kwargs, spec.max_episode_steps)


def fingerprint(value: Any) -> str:
    """Of what a function or a class does: its code, its defaults, what it closes over, and whatever it names that is
    not installed. Comments and blank lines do not count; lists that grow and objects that change do not either."""
    return hashlib.sha256(repr(_content(value, {})).encode()).hexdigest()[:12]


def _content(value: Any, seen: dict[int, int]) -> Any:
    """Nested tuples of plain values. `seen`: number by identity of what is being looked at, or has been."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple | list | set | frozenset):
        if isinstance(value, list) and not (value and all(isinstance(one, _PLAIN) for one in value)):
            return "list"
        parts = [_content(one, seen) for one in value]
        return tuple(sorted(parts, key=repr) if isinstance(value, set | frozenset) else parts)
    if isinstance(value, Mapping):
        return tuple(sorted(((_content(k, seen), _content(v, seen)) for k, v in value.items()), key=repr))
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, CodeType):
        return (value.co_code, value.co_names, value.co_varnames, _content(value.co_consts, seen))
    if id(value) in seen:
        return ("seen", seen[id(value)])
    seen[id(value)] = len(seen)
    if isinstance(value, FunctionType):
        return (value.__qualname__, *(() if _installed(value) else _function(value, seen)))
    if isinstance(value, MethodType):
        return (_content(value.__func__, seen), _content(value.__self__, seen))
    if isinstance(value, functools.partial):
        return (_content(value.func, seen), _content(value.args, seen), _content(value.keywords, seen))
    if isinstance(value, staticmethod | classmethod | property):
        return _content(value.fget if isinstance(value, property) else value.__func__, seen)
    if isinstance(value, type):
        name = f"{value.__module__}.{value.__qualname__}"
        own = {} if _installed(value) else {k: v for k, v in vars(value).items() if k not in ("__doc__", "__module__")}
        return (name, _content(value.__bases__, seen) if own else (), _content(own, seen))
    of = type(value)
    values = {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}
    return (_content(of, seen), _content(values, seen))


def _function(function: FunctionType, seen: dict[int, int]) -> Iterator[Any]:
    yield _content(function.__code__, seen)
    yield _content((function.__defaults__, function.__kwdefaults__), seen)
    yield tuple(_content(_inside(cell), seen) for cell in function.__closure__ or ())
    for name in sorted(_names(function.__code__)):
        named = function.__globals__.get(name)
        if isinstance(named, (*_PLAIN, tuple, FunctionType, type, functools.partial)):
            yield (name, _content(named, seen))


def _names(code: CodeType) -> set[str]:
    """Also those that functions within it use."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


def _inside(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _installed(value: Any) -> bool:
    """Whether it comes with Python, with a package or with hplan, whose versions are another matter."""
    root = (getattr(value, "__module__", None) or "").partition(".")[0]
    file = str(getattr(sys.modules.get(root), "__file__", None) or "")
    return root == "hplan" or root in sys.stdlib_module_names - {"__main__"} or any(one in file for one in _INSTALLED)
