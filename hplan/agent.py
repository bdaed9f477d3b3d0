"""The agent: a stack, planners and a controller behind one stateful interface, for any Gymnasium environment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from hplan.action_spaces import stacked
from hplan.control.controller import Controller, Replan
from hplan.control.experience import Experience
from hplan.control.plan_tree import PlanTree
from hplan.control.plans import ControlConfig
from hplan.goals import aim, asks, first_goal, follows, goal_of, said
from hplan.levels.stack import Stack
from hplan.parts import found
from hplan.planning.choice import PlannerFor, Planning, check_planner_settings, chosen_planner, planner_settings
from hplan.planning.constraints import NOTHING, Guard, guard_of
from hplan.planning.energy import Goal
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.play.store import observation_dtype
from hplan.reading import mission_of
from hplan.registry import agent_path, load_task, task_names
from hplan.session import Session, broken
from hplan.types import Energy, Repair, UsageError
from hplan.validation import Count, build, checked, near

if TYPE_CHECKING:
    import gymnasium

GoalLike = Any  # an observation, as the environment gives them, an Energy, a mission in words, or None


@checked
def load(
    path: str | Path,
    *,
    levels: Count | None = None,
    method: Literal["hierarchical", "flat"] = "hierarchical",
    replan: Replan = "surprise",
    planner: Any = "auto",
    proposal: Any = "prior",
    energy: Any = None,
    forbid: Any = (),
    settings: Mapping[str, Any] | None = None,
) -> Agent:
    """An agent from a run directory or by the name of a shipped one. `levels`: keep this many of the lowest; `method`
    "flat" keeps one. planner, proposal, energy: who plans, what a search tries, and what `reset()` aims for instead of
    the task's success; names of `hplan.parts`, MODULE:NAME, or objects; the class of an energy is made with the levels
    of the agent (docs/extending.md). forbid: a constraint, or several, of every episode, as in `Agent.reset`;
    MODULE:NAME, or objects. `settings`: fields of `ControlConfig` and of `planner_settings` to change, `remember` and
    `guard` (`Agent`).
    Raises UsageError for an unknown name or setting, HplanError for a damaged agent."""
    stack = Stack.load(agent_path(path))
    control = {field.name for field in fields(ControlConfig)}
    chosen = dict(settings or {})
    known = {*control, *planner_settings(), "remember", "guard"}
    for name in chosen.keys() - known:
        raise UsageError(f"settings: unknown key {name!r}{near(name, sorted(known))}")
    config = build(ControlConfig, {name: chosen.pop(name) for name in control & chosen.keys()}, "settings")
    remember, guard = chosen.pop("remember", False), chosen.pop("guard", True)
    for name, value in (("remember", remember), ("guard", guard)):
        if not isinstance(value, bool):
            raise UsageError(f"settings: {name} is {value!r}; expected true or false")
    if method == "flat":
        if levels not in (None, 1):
            raise UsageError(f"method 'flat' is one level, and levels is {levels}: leave one of them out")
        levels = 1
    stack = stack.lowest(levels) if levels else stack
    who = _planner_for(stack, planner, proposal, **check_planner_settings(chosen))
    what = found("energy", energy)
    what = what(stack.levels) if isinstance(what, type) else what
    several = forbid if isinstance(forbid, list | tuple) else (forbid,)
    rules = tuple(found("constraint", one) for one in several)
    return Agent(
        stack,
        replan=replan,
        planner=who,
        config=config,
        remember=remember,
        energy=what,
        forbid=rules,
        guard=guard,
        name=str(path),
    )


class Agent:
    """Plans, executes and repairs towards one goal per episode: `reset` begins one, `act` gives its actions.

    `stack` holds all that was learned; `planner` makes the planner of each level, by default as
    `hplan.planning.choice.chosen_planner` does; `config`: the controller's settings. `remember`: what landmark graphs
    learn in an episode lasts from the next `reset` on, and in `save`; without, every episode begins with what training
    left. `energy`: over level-0 latents, what `reset()` aims for. `forbid`: constraints of every episode, as those of
    `reset`. `guard`: False keeps to no constraint, neither given nor learned, for comparison; `breaks` tells
    of them all the same. Raises UsageError where there is no landmark graph to
    remember anything.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        replan: Replan = "surprise",
        planner: PlannerFor | None = None,
        config: ControlConfig | None = None,
        remember: bool = False,
        energy: Energy | None = None,
        forbid: Sequence[Any] = (),
        guard: bool = True,
        name: str = "",
    ) -> None:
        self.energy, self.forbid, self.guard = energy, tuple(forbid), guard
        self.stack, self.config, self.name = stack, config or ControlConfig(), name or stack.task
        self.replan: Replan = replan
        planner = planner or _planner_for(stack)
        self.planners = tuple(planner(level) for level in stack.levels)
        self.remembers, self._experience = remember, Experience()
        if remember and not any(isinstance(each, LandmarkGraph) for each in self.planners):
            raise UsageError("remember: only landmark graphs learn while acting; plan by them (planner 'graph')")
        self._episode: Session | None = None
        self._here, self._seed = stack, 0  # in the layout of the episode, and asked for what it asks for
        self._asked: GoalLike = energy
        self._said: Any = None  # a mission, by `reset`
        self._goal = goal_of(stack, energy)
        self._constraints: tuple[Any, ...] = self.forbid
        self._rules: Guard | None = None  # of `breaks`, made when it is asked
        self.plan_ms = 0.0

    # ------------------------------------------------------------------------------------------------------- acting

    def reset(
        self,
        goal: GoalLike = None,
        seed: int = 0,
        context: np.ndarray | None = None,
        constraints: Sequence[Any] = (),
        mission: Any = None,
    ) -> None:
        """Begin an episode. goal: an observation, an energy over level-0 latents, a mission in words (`info["goal"]` of
        MiniGrid; the agent's own `energy` takes its place), or None: what observations of a GoalEnv ask for, else the
        task's own success. mission: what success is in this episode, in words, symbols, numbers or an image
        (`info["mission"]`); None: what observations say, where it is a part of them. Where they come to ask for
        something else, the agent aims for that, unless another goal or mission is said here. context: the image of
        where it is, for agents that see one (`info["context"]`). constraints: what no step of any plan may do, beside
        the agent's own `forbid`: functions of observations in canonical form, (B, ...) tensors -> (B,), above 0 (or
        True) where it is forbidden; or energies over level-0 latents, kept where they are at most their `threshold`
        (`hplan.planning.constraints`).

        Raises UsageError for a goal or a context of another space, for a mission of which play met nothing, and in the
        first `act` where a constraint forbids what the episode begins with. Warns (`MissionWarning`) of a mission that
        is unlike those of play. A goal that can only be had by breaking a constraint is refused with a
        ForbiddenWarning, and the plan tree says so."""
        self._learn()
        self._constraints, self._rules = (*self.forbid, *constraints), None
        goal, mission = aim(self.stack, goal, mission)
        own = self.energy is not None and goal is None
        here = self.stack.conditioned(context)
        self._here, self._seed = here if own else here.asked(mission_of(mission)), seed
        self._asked, self._said = (self.energy if own else goal), mission
        self._goal, self._episode = goal_of(self._here, self._asked), None
        if self._goal is not None:
            begun = Session(self._here, self._controller(self._here, self._goal, seed))
            self._episode = None if self.stack.beginning else begun  # which waits for the first observation

    def act(self, observation: Any) -> Any:
        """The next action for an observation, both as the environment has them. Plans where a level has no plan, and
        repairs what went wrong. Raises UsageError for an observation that is outside its space."""
        return self._to_action(self.choose(self.stack.codec.encode(observation), observation))

    def choose(self, observation: np.ndarray, shown: Any = None) -> Tensor:
        """As `act`, with both in canonical form. shown: the observation as the environment has it, which is asked for
        the goal where neither `reset` nor the task says one."""
        if self._episode is None:
            self._episode = self._begin(observation, self._seed, shown=shown)
        self._episode = self._followed(self._episode, observation, self._seed, shown)
        started = time.perf_counter()
        latents, macro = self._episode.act(observation)
        if self.remembers:
            self._experience.add(latents, macro)
        self.plan_ms += 1000 * (time.perf_counter() - started)
        return macro

    def plan(self, observation: Any, goal: GoalLike = None) -> PlanTree:
        """What the agent would do from here: every level's plan, each refined for its first step. Changes nothing.
        Where it sees several observations at once, those before this one are known if it was the last to be acted on;
        else it is the first of an episode."""
        last, known = self.stack.codec.encode(observation), self._episode
        again = known is not None and bool(known.seen) and np.array_equal(last, known.seen[0])
        episode = self._begin(last, 0, goal, known if again else None, shown=observation)
        if known is not None and again:
            episode.controller.knows_as(known.controller)
        episode.act(last)
        return episode.controller.execution.tree

    def breaks(self, observation: Any) -> bool:
        """Whether an observation breaks a constraint that was given, by `forbid` or in the last `reset`."""
        if not self._constraints:
            return False
        if self._rules is None:
            self._rules = self._guard(self._here, learned=False)
        return bool(broken(self._rules, self._here, self.stack.codec.encode(observation)))

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Stable-Baselines3's protocol: (action, state). Batched observations (n, ...), or a Dict of them, get one
        controller each; goal, context and seed are those of the last `reset`.

        `state` is what the call before returned; `episode_start` (n,) marks the observations that begin an episode.
        Planning has no sampling to switch off: `deterministic` changes nothing.
        """
        batch = self.stack.codec.rows(observation, batched=True if np.ndim(episode_start) == 1 else None)
        rows = [observation] if batch is None else batch
        states: list[Session | None] = list(state) if state is not None else [None] * len(rows)
        starts = np.broadcast_to(np.asarray(False if episode_start is None else episode_start, bool), len(rows))
        actions = []
        for i, row in enumerate(rows):
            episode, seen = states[i], self.stack.codec.encode(row)
            if episode is None or starts[i]:
                episode = self._begin(seen, self._seed + i, shown=row)
            episode = states[i] = self._followed(episode, seen, self._seed + i, row)
            actions.append(self._to_action(episode.act(seen)[1]))
        if batch is None:
            return actions[0], tuple(states)
        return stacked(self.stack.codec.action_space, actions), tuple(states)

    def wrap(self, env: gymnasium.Env) -> gymnasium.Env:
        """`env` with the view that the agent was trained with, and with what its task tells in `info`: `success`,
        `violation`, and where there are any `goal`, `goal_name` and `context`. Raises UsageError for other spaces."""
        from hplan.worlds.views import wrap

        stack = self.stack
        view = load_task(stack.task).view if stack.task in task_names() else "auto"
        rules = {"ending_succeeds": stack.success_rule == "terminated", "ordinary_reward": stack.ordinary_reward}
        return wrap(env, stack.codec, view=view, **rules)

    def save(self, folder: str | Path) -> None:
        graphs = {k: each.edges for k, each in enumerate(self.planners) if isinstance(each, LandmarkGraph)}
        replace(self.stack, edges={**self.stack.edges, **graphs}).save(Path(folder))

    # ------------------------------------------------------------------------------------------------------ reading

    @property
    def last_repair(self) -> Repair | None:
        """What the latest `act` repaired: level, cause, surprise, threshold; None if nothing."""
        return self._session.execution.last_repair if self._session else None

    @property
    def tree(self) -> PlanTree:
        if self._session is None:
            return PlanTree.empty(self._goal.label if self._goal else "goal", levels=len(self.stack.levels))
        return self._session.execution.tree

    @property
    def subgoals(self) -> dict[int, Tensor]:
        """By level, the latent (*z) that the step of its plan under way leads to; none of a level without a plan."""
        plans = self._session.execution.plans.plans if self._session else ()
        return {k: plan.target() for k, plan in enumerate(plans) if plan is not None and len(plan.result)}

    @property
    def surprise(self) -> dict[int, float]:
        return dict(self._session.surprise.now) if self._session else {}

    @property
    def thresholds(self) -> dict[int, float]:
        """Of each level, for the prediction that it is being compared with now."""
        if self._session:
            return dict(self._session.surprise.threshold)
        return {k: each.thresholds(self.config.alpha)[0] for k, each in enumerate(self.stack.calibration)}

    @property
    def evaluations(self) -> int:
        """Predictor evaluations of this episode so far."""
        return self._session.execution.ledger.evaluations if self._session else 0

    @property
    def planner_calls(self) -> dict[int, int]:
        return dict.fromkeys(self.thresholds, 0) | (
            self._session.execution.ledger.planner_calls if self._session else {}
        )

    @property
    def repairs(self) -> dict[int, int]:
        return dict.fromkeys(self.thresholds, 0) | (self._session.execution.ledger.repairs if self._session else {})

    @property
    def levels_info(self) -> list[dict[str, Any]]:
        spec = self.stack.observation_spec
        zeros = np.zeros(spec.shape, observation_dtype(spec))
        return self.stack.info(self.stack.encode(zeros))

    @property
    def train_info(self) -> dict[str, Any]:
        return self.stack.train

    @property
    def versions(self) -> dict[str, str]:
        return self.stack.versions

    @property
    def task(self) -> str:
        return self.stack.task

    # ------------------------------------------------------------------------------------------------------ private

    @property
    def _session(self) -> Controller | None:
        return self._episode.controller if self._episode else None

    def _begin(
        self,
        first: np.ndarray,
        seed: int,
        goal: GoalLike = None,
        like: Session | None = None,
        *,
        shown: Any = None,
    ) -> Session:
        """An episode that begins with this observation, or in the midst of one that is `like` it. Its goal is that
        one, or the one of the last reset; or else what the observation asks for, as it was `shown`."""
        here = like.here if like else self._here.begun(first)
        goal, mission = aim(here, goal)
        if mission is not None:
            here, asked = here.asked(mission_of(mission)), None
        else:
            asked = self._asked if goal is None else goal
            if not self._here.mission:
                here = here.asked(said(here, first, shown))
        known = self._goal if goal is None and here is self._here else goal_of(here, asked)
        known = known or first_goal(here, shown)
        return Session(here, self._controller(here, known, seed), like.seen[1:] if like else ())

    def _followed(self, episode: Session, seen: np.ndarray, seed: int, shown: Any) -> Session:
        """An episode that goes on; as another one, for something else, where observations ask for that from now on."""
        if not episode.seen and follows(self._here, self._asked, self._said, seen, shown):
            episode.asks = asks(self._here, seen, shown)
        before = episode.asks
        now = None if before is None else asks(episode.here, seen, shown)
        if before is None or now is None or np.array_equal(now, before):
            return episode
        here = episode.here.asked(said(episode.here, seen, shown))
        goal = goal_of(here, None) or first_goal(here, shown)
        after = Session(here, self._controller(here, goal, seed), episode.seen)
        after.asks = now
        after.controller.goes_on(episode.controller)
        return after

    def _controller(self, here: Stack, goal: Goal, seed: int) -> Controller:
        if all(goal.at(k) is None for k in range(len(self.stack.levels))):
            raise UsageError(
                f"{self.name} has seen no success in play, or only levels that are left out here know of it: give it a "
                "goal (an observation or an energy), load all its levels, or play more"
            )
        levels, calibration, generator = here.levels, self.stack.calibration, torch.Generator().manual_seed(seed)
        return Controller(
            levels,
            self.planners,
            calibration,
            goal,
            replan=self.replan,
            config=self.config,
            generator=generator,
            guard=self._guard(here) if self.guard else NOTHING,
        )

    def _guard(self, here: Stack, *, learned: bool = True) -> Guard:
        """The constraints of an episode in that layout."""
        spec = self.stack.observation_spec
        newest = None if spec.kind == "image" else spec.shape[-1]
        return guard_of(
            here.levels,
            self.stack.calibration,
            self._constraints,
            learned=learned,
            alpha=self.config.alpha,
            keeps_away=self.config.margin,
            newest=newest,
        )

    def _learn(self) -> None:
        """What the episode so far taught the landmark graphs."""
        if self._session is not None and self.remembers:
            self.planners = self._experience.taught(self.stack.levels, self.planners, self._session.execution.memories)
            self._experience = Experience()

    def _to_action(self, macro: Tensor) -> Any:
        return self.stack.codec.decode(macro.numpy(force=True))


def _planner_for(stack: Stack, one: Any = "auto", proposal: Any = "prior", **settings: Any) -> PlannerFor:
    steps = round(stack.levels[1].stride) if len(stack.levels) > 1 else 0
    chance = bool(stack.train.get("chances"))
    return chosen_planner(one, Planning(stack.edges, chance, steps, proposal, stack.levels, settings))
