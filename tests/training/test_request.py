"""What makes two runs the same run, and what does not."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from hplan.registry import load_task, make_world, task_from_factory
from hplan.training.request import claim, describe, differences, fingerprint
from hplan.types import UsageError

SIZE = 3
OPTIONS: dict[str, Any] = {"steps": 10, "seed": 0, "levels": "auto", "settings": {}, "abstraction": "auto"}


class Lane(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 5) -> None:
        self.length = length


class Longer(Lane):
    observation_space = gymnasium.spaces.Discrete(6)


@dataclass
class Maker:
    length: int

    def __call__(self) -> Lane:
        return Lane(self.length)


def closing_over(length: Any) -> Callable[[], Any]:
    return lambda: Lane(length)


def compiled(text: str) -> Any:
    names: dict[str, Any] = {"__name__": "mine"}
    exec(text, names)
    return names["make"]


def asked(factory: Callable[[], Any], **changes: Any) -> dict[str, Any]:
    task = task_from_factory(factory, "environment")
    world = make_world(task)
    specs = world.codec.observation_spec, world.codec.action_spec
    return describe(task, specs, None, **OPTIONS | changes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Lane, Longer),
        (lambda: Lane(), lambda: Longer()),
        (lambda: Lane(3), lambda: Lane(4)),
        (closing_over(3), closing_over(4)),
        (closing_over({"a": 1}), closing_over({"a": 2})),
        (functools.partial(Lane, 3), functools.partial(Lane, 4)),
        (Maker(3), Maker(4)),
        (Maker(3).__call__, Maker(4).__call__),
        (compiled("N = 3\ndef make(): return N"), compiled("N = 4\ndef make(): return N")),
        (compiled("def make(n=3): return n"), compiled("def make(n=4): return n")),
        (
            compiled("class E:\n  def f(self): return 1\ndef make(): return E()"),
            compiled("class E:\n  def f(self): return 2\ndef make(): return E()"),
        ),
    ],
)
def test_other_code_is_another_run(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (closing_over(3), closing_over(3)),
        (compiled("def make(): return 3"), compiled("# a comment\n\ndef make():\n    return 3  # another")),
        (closing_over([]), closing_over([object()])),  # a list that grows as environments are made
        (Maker(3), Maker(3)),
    ],
)
def test_the_same_code_is_the_same_run(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other)


def test_a_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gymnasium\nclass E(gymnasium.Env):\n  kinds = {'a', 'b', 'c'}\n"
        "  def f(self, x): return x in {'left', 'right', 'up'}\ndef make(): return E()\n"
    )
    code = "import mine; from hplan.training.request import fingerprint; print(fingerprint(mine.make))"
    call = [sys.executable, "-c", code]
    told = {subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(told) == 1


def test_two_environments_of_one_name_do_not_share_a_run(tmp_path: Path) -> None:
    claim(tmp_path, asked(lambda: Lane()), resume=True)
    claim(tmp_path, asked(lambda: Lane()), resume=True)
    with pytest.raises(UsageError, match=r"code '\w+' there and '\w+' here"):
        claim(tmp_path, asked(lambda: Lane(4)), resume=True)
    with pytest.raises(UsageError, match=r"observations.cardinalities \[5\] there and \[6\] here"):
        claim(tmp_path, asked(lambda: Longer()), resume=True)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"environment": "MiniGrid-DoorKey-6x6-v0"}, "environment 'MiniGrid-DoorKey-5x5-v0' there and"),
        ({"success": "terminated"}, "success 'auto' there and 'terminated' here"),
        ({"kwargs": {"max_steps": 9}}, "kwargs.max_steps None there and 9 here"),
        ({"play": {"episode_steps": 9}}, "episode_steps 1000 there and 9 here"),
        ({"play": {"restart_rare": 0.25}}, "restart_rare .* there and 0.25 here"),
        ({"changes": {"kind": "slippery"}}, "changes.kind 'none' there and 'slippery' here"),
    ],
)
def test_an_edited_task_file_is_another_run(edit: dict[str, Any], said: str, tmp_path: Path) -> None:
    task = load_task("minigrid/DoorKey-5x5")
    world = make_world(task)
    specs = world.codec.observation_spec, world.codec.action_spec
    claim(tmp_path, describe(task, specs, None, **OPTIONS), resume=True)
    parts = {k: replace(getattr(task, k), **v) if k in ("play", "changes") else v for k, v in edit.items()}
    with pytest.raises(UsageError, match=said):
        claim(tmp_path, describe(replace(task, **parts), specs, None, **OPTIONS), resume=True)
    claim(tmp_path, describe(replace(task, probes=("door",)), specs, None, **OPTIONS), resume=True)  # reports alone


def test_differences_name_the_key() -> None:
    there, here = {"a": 1, "b": {"c": 2, "d": 3}, "e": 0}, {"a": 1, "b": {"c": 4, "d": 3}}
    assert differences(there, here) == "b.c 2 there and 4 here, e 0 there and None here"
    assert differences(there, there) == ""
