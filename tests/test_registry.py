"""Names: every task that ships can be made and keeps to what hplan expects; wrong names are told with near ones."""

from __future__ import annotations

import importlib.util
import pickle
import tomllib
from dataclasses import fields
from types import SimpleNamespace

import pytest

from hplan.config import ChangeConfig, PlayConfig, TaskConfig
from hplan.registry import (
    agent_path,
    load_task,
    make_world,
    shipped_agents,
    task_for,
    task_from_factory,
    task_names,
    tasks_folder,
    trained_agents,
)
from hplan.testing import check_task
from hplan.types import UsageError

NO_KEYS = ("name", "factory", "ordinary_reward", "offset", "changes", "play", "training")  # or tables of their own


@pytest.mark.parametrize("name", task_names())
def test_every_task_can_be_made(name):
    if name.startswith(("ogbench/", "mazes/")) and importlib.util.find_spec("ogbench") is None:
        pytest.skip("OGBench is not installed")
    check_task(name)


def test_tasks_are_those_of_the_targets():
    names = set(task_names())
    assert "mazes/unseen" in names
    assert {"minigrid/DoorKey-8x8", "minigrid/KeyCorridorS6R3", "minigrid/MultiRoom-N6"} <= names
    assert {
        f"ogbench/pointmaze-{m}-{k}" for m in ("medium", "large", "giant", "teleport") for k in ("navigate", "stitch")
    } <= names


def test_readme_explains_every_key():
    text = (tasks_folder() / "README.md").read_text()
    keys = [f.name for f in fields(TaskConfig) if f.name not in NO_KEYS]
    keys += [
        f"{table}.{f.name}" for table, cls in (("changes", ChangeConfig), ("play", PlayConfig)) for f in fields(cls)
    ]
    for key in [*keys, "training.BUDGET"]:
        assert f"| `{key}` |" in text, key
    example = text.split("    environment =")[1].split("\n\n|")[0]
    assert tomllib.loads("environment =" + example)["layouts"] == "vary"


def test_wrong_names_are_told_with_near_ones():
    with pytest.raises(UsageError, match=r"unknown task 'minigrid/DoorKey8x8': did you mean .*minigrid/DoorKey-8x8"):
        load_task("minigrid/DoorKey8x8")
    with pytest.raises(UsageError, match="hplan list"):
        load_task("zzz")
    with pytest.raises(UsageError, match=r"split is 'test'; expected 'train' or 'eval'"):
        make_world(load_task("minigrid/DoorKey-5x5"), "test")


def test_unknown_view_is_told():
    from dataclasses import replace

    task = replace(load_task("minigrid/DoorKey-5x5"), view="pixels")
    with pytest.raises(UsageError, match="unknown view 'pixels'; expected auto, symbols, tiles, position, picture"):
        make_world(task)


def test_success_rule_of_the_call_is_kept():
    assert load_task("minigrid/DoorKey-5x5").success == "auto"
    assert load_task("minigrid/DoorKey-5x5", success="terminated").success == "terminated"


def test_success_of_an_agent_s_own_task_is_what_it_was_in_its_play():
    stack = SimpleNamespace(success_rule="terminated", ordinary_reward=2.5, offset=(1e9,))
    agent = SimpleNamespace(task="minigrid/DoorKey-5x5", stack=stack)
    own, other = task_for(agent), task_for(agent, "minigrid/DoorKey-6x6")
    assert own.offset == other.offset == (1e9,)
    assert (own.name, own.success, own.ordinary_reward) == ("minigrid/DoorKey-5x5", "terminated", 2.5)
    assert (other.success, other.ordinary_reward) == ("terminated", None)  # whose rewards are others
    assert task_for(agent, success="auto").success == "auto"


def test_tasks_travel_to_other_processes():
    task = load_task("minigrid/DoorKey-8x8")
    assert pickle.loads(pickle.dumps(task)) == task


def test_agents_are_found_by_name_and_by_folder(tmp_path):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    assert agent_path(folder) == folder
    assert trained_agents(tmp_path / "runs") == []
    (folder / "agent.toml").write_text("")
    assert trained_agents(tmp_path / "runs") == [folder]
    assert trained_agents(tmp_path / "none") == []
    for name, path in shipped_agents().items():
        assert agent_path(name) == path
        assert name in task_names()
    with pytest.raises(UsageError, match="neither a run directory nor a shipped agent"):
        agent_path("minigrid/Nothing")


def test_factories_are_named_after_themselves():
    import gymnasium

    def my_lake():
        return gymnasium.make("FrozenLake-v1")

    assert task_from_factory(my_lake).name == "my_lake"
    assert task_from_factory(lambda: my_lake()).name == "environment"
    assert task_from_factory(my_lake, "lake").name == "lake"
    assert make_world(task_from_factory(my_lake)).codec.observation_spec.shape == (1, 1, 1)
