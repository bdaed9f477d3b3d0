"""Names to things: tasks, worlds and agents. Nothing heavy is imported before a world is made."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hplan.config import EnvFactory, SuccessRule, Task, TaskConfig, read_task
from hplan.types import UsageError
from hplan.validation import checked

if TYPE_CHECKING:  # Gymnasium takes a while, and `hplan list` needs none of it
    from hplan.worlds.split import Split, SplitEnv

_PACKAGE = Path(__file__).resolve().parent
GYM = "gym:"


def tasks_folder() -> Path:
    """Where the task files lie: beside the package in a checkout, inside it where a wheel was installed."""
    checkout = _PACKAGE.parent / "tasks"
    return (
        checkout if (_PACKAGE.parent / "pyproject.toml").exists() and checkout.is_dir() else _PACKAGE / "_bundled/tasks"
    )


def task_names() -> list[str]:
    """The names that `hplan list` shows, such as minigrid/DoorKey-8x8."""
    folder = tasks_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def load_task(name: str, success: SuccessRule = "auto") -> TaskConfig:
    """The task of that name, from `task_names()` or `gym:ENV-ID`. Raises UsageError with near matches for others."""
    if name.startswith(GYM):
        from hplan.worlds.gym import gym_task
        from hplan.worlds.views import with_goal_kind

        return with_goal_kind(gym_task(name, success))
    names = task_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`hplan list` shows all"
        raise UsageError(f"unknown task {name!r}: {hint} (any Gymnasium environment is gym:ENV-ID)")
    task = read_task(tasks_folder() / f"{name}.toml", name)
    return task if success == "auto" else replace(task, success=success)


@checked
def task_of(task: Task, success: SuccessRule = "auto") -> TaskConfig:
    """The task that a caller names: itself, its name, or a function that makes a Gymnasium environment. Raises
    UsageError for anything else."""
    if isinstance(task, TaskConfig):
        return task
    return load_task(task, success) if isinstance(task, str) else task_from_factory(task, success=success)


def task_for(agent: Any, task: Task | None = None, success: SuccessRule | None = None) -> TaskConfig:
    """The task that an agent acts in: its own where none is named. Success is what it was in its play, unless a rule is
    given, and so are the numbers that it sees."""
    stack = agent.stack
    found = task_of(agent.task if task is None else task, success or stack.success_rule)
    own = stack.ordinary_reward if found.name == agent.task else found.ordinary_reward
    return replace(found, ordinary_reward=own, offset=stack.offset)


def task_from_factory(factory: EnvFactory, name: str = "", success: SuccessRule = "auto") -> TaskConfig:
    """A task whose environment `factory()` returns, for environments that are registered nowhere.

    `name`: if empty, the function's or the class's own. Raises UsageError where it returns anything but a new
    gymnasium.Env each time, HplanError where it fails.
    """
    from hplan.worlds.gym import GYM_PLAY
    from hplan.worlds.views import with_goal_kind

    if not name:
        given = getattr(factory, "__name__", "")
        name = given if given.isidentifier() else "environment"  # a lambda is called <lambda>, a partial nothing
    task = TaskConfig(name, environment=name, success=success, play=GYM_PLAY, factory=factory)
    return with_goal_kind(task)


def make(task: Task) -> SplitEnv:
    """A task's environment as it is evaluated: its view, limit and success, on evaluation layouts. Success ends an
    episode; `info` has `success` and `violation`, after `reset` also `goal`, `goal_name`, `context` or `mission` where
    there are any (a goal in words is the mission). Raises UsageError for an unknown task, or one whose environment
    cannot be made."""
    return make_world(task_of(task), "eval")


def make_world(task: TaskConfig, split: Split = "train") -> SplitEnv:
    """The running environment of a task. `split` decides which layouts and seeds its `reset` gives.

    Raises UsageError where the environment is not installed, or has a space that no view supports.
    """
    if split not in ("train", "eval"):
        raise UsageError(f"split is {split!r}; expected 'train' or 'eval'")
    from hplan.worlds import views

    return views.make(task, split)


def shipped_agents() -> dict[str, Path]:
    """Agents that come with hplan: the task that each was trained on, and its folder."""
    return _agents(_PACKAGE / "_bundled/agents")


def trained_agents(runs: Path = Path("runs")) -> list[Path]:
    """Run directories below `runs` that hold an agent."""
    return sorted(_agents(runs).values())


def agent_path(name_or_dir: str | Path) -> Path:
    """The folder of an agent: a run directory, or the name of a shipped one. Raises UsageError for anything else."""
    if (folder := Path(name_or_dir)).is_dir():
        return folder
    shipped = shipped_agents()
    if str(name_or_dir) in shipped:
        return shipped[str(name_or_dir)]
    near = difflib.get_close_matches(str(name_or_dir), shipped, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"shipped agents: {', '.join(shipped) or 'none'}"
    raise UsageError(f"{name_or_dir}: neither a run directory nor a shipped agent; {hint}")


def _agents(folder: Path) -> dict[str, Path]:
    """An agent is a folder with an agent.toml; its name is where it lies below `folder`."""
    found = sorted(path.parent for path in folder.rglob("agent.toml")) if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): path for path in found}
