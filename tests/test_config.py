"""Task files: what is read, and that every mistake is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hplan.config import ChangeConfig, PlayConfig, TaskConfig, read_task, task_from_table
from hplan.types import UsageError


def test_a_whole_file(tmp_path):
    path = tmp_path / "task.toml"
    path.write_text(
        'environment = "X-v0"\nkwargs = { size = 3 }\nview = "spaces"\ngoal = "observation"\nsuccess = "terminated"\n'
        'layouts = "fixed"\nprobes = ["door"]\n[play]\nrecipe = "stitch"\nsteps = { quick = 10 }\nepisode_steps = 5\n'
        'restart_rare = 0.25\n[changes]\nkind = "closing-corridor"\nwhen = [0, 0.5]\n'
        "[training.quick]\ngradient_steps = 7\n"
    )
    assert read_task(path, "mine/task") == TaskConfig(
        name="mine/task",
        environment="X-v0",
        kwargs={"size": 3},
        view="spaces",
        goal="observation",
        success="terminated",
        layouts="fixed",
        changes=ChangeConfig("closing-corridor", when=(0, 0.5)),
        play=PlayConfig("stitch", {"quick": 10}, 5, 0.25),
        training={"quick": {"gradient_steps": 7}},
        probes=("door",),
    )


def test_several_environments_are_one_task():
    task = task_from_table({"environments": ["X-v0", "Y-v0"]}, "x")
    assert task == TaskConfig("x", environments=("X-v0", "Y-v0")) and task.where == "X-v0, Y-v0"


def test_one_line_is_enough():
    assert task_from_table({"environment": "X-v0"}, "x") == TaskConfig("x", "X-v0")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "environment is missing"),
        ({"envrionment": "X-v0", "environment": "X-v0"}, "unknown key 'envrionment', did you mean environment or"),
        (
            {"environment": "X-v0", "environments": ["X-v0", "Y-v0"]},
            "environments are X-v0, Y-v0; expected one of the two",
        ),
        ({"environments": []}, "environment is missing; expected a Gymnasium id"),
        ({"environments": "X-v0"}, "environments is 'X-v0'; expected a list"),
        ({"environments": ["X-v0"], "kwargs": {"size": 3}}, "kwargs are for the constructor of one environment"),
        ({"name": "x", "environment": "X-v0"}, "name is no key of a task file"),
        ({"ordinary_reward": 1.0, "environment": "X-v0"}, "ordinary_reward is no key of a task file"),
        ({"environment": 3}, "environment is 3; expected text"),
        ({"environment": "X-v0", "success": "terminate"}, "or 'terminated', did you mean 'terminated'?"),
        (
            {"environment": "X-v0", "play": {"speed": 1, "restart_rare": float("nan")}},
            "restart_rare is nan; expected a",
        ),
        (
            {"environment": "X-v0", "goal": "win"},
            "goal is 'win'; expected 'auto', 'success', 'observation' or 'reward'",
        ),
        ({"environment": "X-v0", "play": 3}, "play is 3; expected a table"),
        ({"environment": "X-v0", "changes": "slippery"}, "changes is 'slippery'; expected a table"),
        ({"environment": "X-v0", "play": {"speed": 1}}, "play: unknown key 'speed'"),
        ({"environment": "X-v0", "play": {"recipe": "chess"}}, "recipe is 'chess'"),
        ({"environment": "X-v0", "play": {"steps": {"quick": 0}}}, "play: steps.quick is 0; expected 1 or more"),
        (
            {"environment": "X-v0", "play": {"steps": {"quick": "many"}}},
            "play: steps.quick is 'many'; expected a whole number",
        ),
        ({"environment": "X-v0", "play": {"episode_steps": 0}}, "play: episode_steps is 0; expected 1 or more"),
        ({"environment": "X-v0", "play": {"episode_steps": True}}, "episode_steps is True"),
        ({"environment": "X-v0", "play": {"restart_rare": 1.0}}, "play: restart_rare is 1.0; expected less than 1"),
    ],
)
def test_mistakes_are_told(table, said):
    with pytest.raises(UsageError) as caught:
        task_from_table(table, "x", "x.toml")
    assert str(caught.value).startswith("x.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "ice"}, "changes: kind is 'ice'; expected 'none', 'slippery'"),
        ({"chance": 0.5}, "changes.chance means nothing where changes.kind is 'none'; it takes no number"),
        ({"kind": "slippery", "when": [0, 1]}, "changes.when means nothing where changes.kind is 'slippery'; it takes"),
        ({"kind": "slippery", "chance": 0}, "changes: chance is 0; expected more than 0"),
        ({"kind": "slippery", "chance": 1.5}, "changes: chance is 1.5; expected 1 at most"),
        ({"kind": "slippery", "chance": "often"}, "chance is 'often'"),
        ({"kind": "closing-corridor", "when": [0.4, 0.1]}, "expected [earliest, latest]"),
        ({"kind": "closing-corridor", "when": ["soon", 1]}, "expected [earliest, latest]"),
        ({"kind": "closing-corridor", "when": [0.4]}, "expected [earliest, latest]"),
    ],
)
def test_mistakes_about_changes_are_told(changes, said):
    with pytest.raises(UsageError) as caught:
        task_from_table({"environment": "X-v0", "changes": changes}, "x", "x.toml")
    assert str(caught.value).startswith("x.toml")
    assert said in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_text('environment = "Größe-v0"', encoding="utf-8-sig")
    assert read_task(path, "marked") == TaskConfig("marked", "Größe-v0")


def test_values_are_checked_wherever_they_are_made():
    with pytest.raises(UsageError, match=r"^episode_steps is 0; expected 1 or more$"):
        PlayConfig(episode_steps=0)
    with pytest.raises(UsageError, match=r"layouts is 'varied'; expected .*, did you mean 'vary'"):
        replace(TaskConfig("x", "X-v0"), layouts="varied")


def test_a_file_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("environment = ")
    with pytest.raises(UsageError, match=r"broken\.toml: not a TOML file"):
        read_task(path, "broken")
