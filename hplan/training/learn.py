"""Learn an agent: play, train the levels bottom up, calibrate, save. Every part goes on where it stopped."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hplan.agent import Agent
from hplan.codec import Codec
from hplan.config import GoalKind, SuccessRule, Task, TaskConfig
from hplan.files import locked, sweep, write_atomically
from hplan.gym_spaces import is_goal_space
from hplan.levels.pixels import PixelEncoder
from hplan.levels.stack import METADATA, WEIGHTS, Stack
from hplan.levels.stage import Curve
from hplan.parts import find, found, name_of, names
from hplan.play.manifest import Manifest, check_same_spaces
from hplan.play.play import Play
from hplan.play.record import play
from hplan.play.store import EpisodeStore, observation_dtype, versions
from hplan.reading import text_of
from hplan.registry import make_world, task_of
from hplan.threads import reproducible
from hplan.training.abstractions import abstraction_of, learns_rewards
from hplan.training.aims import NO_REWARDS, aimed
from hplan.training.asking import asking
from hplan.training.counting import are_variables
from hplan.training.fit import Progress, Run
from hplan.training.request import claim, describe
from hplan.training.spent import Spent
from hplan.training.train import HELD_OUT, History, Trained, train_stack
from hplan.types import (
    ActionSpec,
    HplanError,
    MissionWarning,
    NoSuccessWarning,
    ObservationSpec,
    UsageError,
)
from hplan.validation import Count, Seed, build, checked, near

Levels = Literal["auto"] | Count
Device = Literal["auto", "cpu", "cuda"]
CURVES = "curves.json"
KEPT = 64  # missions that an agent which reads none remembers


@checked
def learn(
    task: Task,
    out: str | Path,
    *,
    steps: Count | None = None,
    seed: Seed = 0,
    levels: Levels = "auto",
    budget: str = "quick",
    device: Device = "auto",
    resume: bool = True,
    success: SuccessRule = "auto",
    goal: GoalKind = "auto",
    workers: Count = 1,
    settings: Mapping[str, Any] | None = None,
    play_from: str | Path | None = None,
    encoder: Any = "auto",
    objective: Any = None,
    abstraction: Any = "auto",
    history: History | None = None,
    progress: Progress | None = None,
) -> Agent:
    """Play `task` without reward, learn a stack from it, and return the agent, which is also saved in `out`.

    task: a name as in `hplan list`, `gym:ENV-ID`, or a function that makes a Gymnasium environment. steps: of play
    (default: the task's, by budget). settings: of training, over those of the task's file (tasks/README.md). play_from:
    a folder of this task's play that exists already (`hplan data make` or `import`), instead of playing. encoder,
    objective, abstraction: what level 0 reads observations by, what keeps latents apart, and how levels are cut out of
    play, each a name of `hplan.parts`, MODULE:NAME, or the class itself (docs/extending.md). Where observations are
    images, an objective that eyes have is the eye's, and one that eyes and levels have is for both. goal: what the
    agent aims for of its own accord; "auto": success where play saw any, an observation where the task hands out one,
    else reward. history: observations that level 0 sees at once, where one does not say how things move; "auto", the
    setting's default, finds out from play.

    `out` keeps play, snapshots and the agent: called again with the same arguments it goes on where it stopped, and
    does nothing where it is finished. progress(stage, done, total, figures) is told how it goes. Same arguments, same
    weights: torch computes on one thread meanwhile, and its global generator is left as it was.

    Raises UsageError for a wrong call or an `out` that holds something else or that another process works in, and
    HplanError where play or training fails. Warns (`NoSuccessWarning`) where no step of play succeeded.
    """
    config = task_of(task, success)
    config = config if goal == "auto" else replace(config, goal=goal)
    if budget not in config.play.steps:
        raise UsageError(f"budget is {budget!r}{near(budget, config.play.steps)}")
    networks_on, out = _device(device), Path(out)
    codec = _codec(config)
    hands_out = is_goal_space(codec.observation_space)
    specs = codec.observation_spec, codec.action_spec
    cutting = abstraction_of(config, specs, abstraction, encoder)
    paid = learns_rewards(cutting, specs[0])
    if config.goal == "reward" and not paid:
        raise UsageError(f"--goal reward: {NO_REWARDS}")
    own = {**config.training.get(budget, {}), **(settings or {})}
    own |= {} if encoder == "auto" else {"encoder": name_of("encoder", encoder)}
    own |= {} if history is None else {"history": history}
    own |= {} if objective is None else _objectives(objective, specs[0], cutting, config.name)
    chosen = settings_of(config, specs, cutting, own)
    recorded = None if play_from is None else Manifest.load(Path(play_from))
    if recorded is not None:
        _check_play(recorded, config, specs)
    elif workers > 1:
        _check_travels(config, workers)
    steps = None if recorded else steps or config.play.steps[budget]
    with locked(out), reproducible():
        options = {"steps": steps, "seed": seed, "levels": levels, "settings": asdict(chosen)}
        options["abstraction"] = name_of("abstraction", cutting)
        claim(out, describe(config, specs, recorded, **options), resume)
        if (out / METADATA).exists() and (out / WEIGHTS).exists():
            return Agent(Stack.load(out), name=str(out))
        sweep(out)
        spent = Spent(out, progress)
        if steps is not None:
            told = partial(spent, "play", figures={})
            play(config, out / "play", steps=steps, seed=seed, progress=told, workers=workers)
        source = out / "play" if play_from is None else Path(play_from)
        data = aimed(source, config, paid, hands_out)
        ordinary = EpisodeStore.open(source).ordinary_reward
        run = Run(seed, out / "stages", networks_on, spent)
        trained = train(data, cutting, chosen, levels=levels, run=run)
        if hands_out:
            data, trained = _goals(data, trained, config.goal)
        if data.rewards.any() and not any(level.returns for level in trained.levels):
            if are_variables(data):
                why = "shows too many combinations to solve for rewards in one table"
            elif "rewards_explained" in trained.facts:  # over maps, events alone pay
                share = trained.facts["rewards_explained"]
                why = f"pays for something else than events on its map, which tell {share:.0%} of how much"
            else:
                why = f"is learned by {len(trained.levels)} level(s) none of which knows what a mover can reach"
            learned = f"{config.name} {why}: the agent learns no goal of its own."
            learned += " --encoder one-hot makes vectors of it, which learn rewards"
            warnings.warn(learned, NoSuccessWarning, stacklevel=2)
        stack = Stack(
            task=config.name,
            codec=replace(codec, offset=Manifest.load(source).codec.offset),  # others may have recorded in other spaces
            levels=trained.levels,
            calibration=trained.calibration,
            tolerance=trained.tolerance,
            success_rule=config.success,
            ordinary_reward=ordinary if math.isfinite(ordinary) else None,
            train={
                "env_steps": data.steps,
                "gradient_steps": sum(int(curve[-1]["step"]) for curve in trained.curves.values() if curve),
                "wall_s": round(spent.seconds, 1),
                "peak_memory_mb": spent.memory,
                "device": networks_on,
                "seed": seed,
                "settings": own,
                **trained.facts,
                **({} if trained.reading else _missions(data, config)),
            },
            versions=versions(),
            edges=trained.edges,
            history=trained.history,
            beginning=trained.beginning,
            reading=trained.reading,
            asking=trained.asking,
        )
        write_atomically(out / CURVES, _short(trained.curves))
        stack = stack.with_gallery(data)
        stack.save(out)
        spent.path.unlink(missing_ok=True)
    return Agent(stack, name=str(out))


def train(data: Play, abstraction: Any, settings: Any, *, levels: Levels, run: Run) -> Trained:
    """The levels of a stack from play, apart from some that they are calibrated on. `reading`: what they read of its
    missions."""
    if getattr(settings, "encoder", None) in getattr(abstraction, "asks", ()):
        data = data.asked_by(asking(data, run.seed))
    data = data.read()
    fitted, held = data.split(HELD_OUT, run.seed)
    count = None if levels == "auto" else levels
    trained = train_stack(abstraction(settings, fitted, held, count=count, seed=run.seed), run)
    read = any(getattr(level, "reads", False) for level in trained.levels)
    return replace(trained, reading=data.reading if read else None, asking=data.asking)


def _goals(data: Play, trained: Trained, goal: GoalKind) -> tuple[Play, Trained]:
    """Of a GoalEnv: its goals are missions where play tells which numbers have to be where for each, or that is what
    was asked for; else they are observations to make."""
    targets = trained.levels[0].parts.get("success", {}).get("kind") == "target"
    if (targets and trained.reading is not None) or goal in ("success", "reward"):
        return data, trained
    for level in trained.levels:
        level.success_head = None
    return replace(data, missions=()), replace(trained, reading=None)


def _device(name: Device) -> str:
    if name == "auto":  # networks are small: a GPU waits for the next batch
        return "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda', and there is none here; use 'auto' or 'cpu'")
    return name


def _codec(task: TaskConfig) -> Codec:
    world = make_world(task)
    world.close()
    return world.codec


def _objectives(one: Any, spec: ObservationSpec, abstraction: Any, task: str) -> dict[str, str]:
    """The settings that it is for: of levels, of an eye, or both, by the names that there are and by what a class has.
    Raises UsageError where there is none of that name, or no eye to train by it."""
    eye = spec.kind == "image" and hasattr(abstraction.Settings, "eye_objective")
    kinds = {"objective": "agreement", "eye_objective": "loss"}
    if isinstance(one, str) and ":" not in one:
        if not any(one in names(kind) for kind in kinds):
            find("eye_objective" if eye else "objective", one)  # raises UsageError
        known = [kind for kind in kinds if one in names(kind)]
    else:
        made = found("objective", one)
        known = [kind for kind, method in kinds.items() if hasattr(made, method)] or ["objective"]
    chosen = {kind: name_of(kind, one) for kind in known if eye or kind == "objective"}
    if not chosen:
        raise UsageError(
            f"objective {one!r} is what an eye learns by, and {task} has no eye, since it shows {spec.kind} or is made "
            f"of tiles: expected one of {', '.join(names('objective'))}"
        )
    return chosen


def settings_of(
    task: TaskConfig, specs: tuple[ObservationSpec, ActionSpec], abstraction: Any, values: Mapping[str, Any]
) -> Any:
    """Those of the abstraction, checked before anything is played."""
    settings = build(abstraction.Settings, values, f"settings of {task.name}")
    for kind in ("objective", "eye_objective"):
        if hasattr(settings, kind):
            find(kind, getattr(settings, kind))  # raises UsageError where there is none of that name
    if (encoder := getattr(settings, "encoder", "auto")) != "auto":
        _check_encoder(encoder, settings, specs[0])
    if specs[0].kind == "image" and hasattr(settings, "eye_objective"):
        _check_eye(encoder, settings, specs[0])
    return settings


def _check_eye(encoder: str, settings: Any, spec: ObservationSpec) -> None:
    """Raises UsageError where its objective needs another kind of eye."""
    check = getattr(find("eye_objective", settings.eye_objective), "check", None)
    if check is not None:
        eye: dict[str, Any] = {} if encoder == "auto" else {"eye": encoder}
        sizes: dict[str, Any] = {"inputs": spec.shape, "latent": settings.latent, "hidden": settings.hidden}
        check(PixelEncoder(**sizes, numbers=spec.numbers, **eye).eye)


def _check_encoder(name: str, settings: Any, spec: ObservationSpec) -> None:
    """One of it is made, and asked for a latent. Raises UsageError where it makes none of the right size."""
    make = find("encoder", name)
    latent = prod(spec.picture) if name == "standard" else settings.latent
    sizes = {"inputs": spec.picture, "latent": latent, "hidden": settings.hidden}
    try:
        encoder = make(**sizes, **({"cardinalities": spec.cardinalities} if spec.cardinalities else {}))
        two = torch.from_numpy(np.zeros((2, *spec.picture), observation_dtype(spec)))
        shape = tuple(encoder(two).shape)
    except Exception as error:  # whatever a user's class may raise
        raise UsageError(f"encoder {name!r} reads no {spec.kind} of shape {spec.picture}: {error!r}") from error
    if shape != (2, latent):
        raise UsageError(f"encoder {name!r} makes {shape} of two observations; expected (2, {latent})")


def _check_play(play: Manifest, task: TaskConfig, specs: tuple[ObservationSpec, ActionSpec]) -> None:
    """What others recorded goes by their names (Minari's); what hplan played goes by its own."""
    if play.source == "regenerated" and play.task != task.name:
        raise UsageError(f"that is play of {play.task}, not of {task.name}: choose another --play-from")
    check_same_spaces(play, *specs, task.name)


def _check_travels(task: TaskConfig, workers: int) -> None:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(f"{task.name} cannot be sent to {workers} workers ({error}); use workers=1") from error


def _missions(data: Play, task: TaskConfig) -> dict[str, list[str]]:
    """What play asked for, where the agent does not read missions: for `Stack.asked` to tell what is another one. Warns
    (`MissionWarning`) where play asked for several."""
    asked = sorted({text_of(mission) for mission in data.missions})
    if len(asked) > 1 and (data.success.any() or data.rewards.any()):
        aim = "what any of them counted as success" if data.success.any() else "reward, whatever was asked"
        warnings.warn(
            f"play of {task.name} asked for {len(asked)} missions, such as {asked[0]!r} and {asked[-1]!r}, and these "
            f"levels read none: the agent aims for {aim}",
            MissionWarning,
            stacklevel=3,
        )
    return {"missions": asked[:KEPT]} if asked else {}


def read_curves(folder: str | Path) -> dict[str, Curve]:
    """Learning curves by stage of the agent in a run directory; none where it has none. Raises HplanError where the
    file is damaged."""
    file = Path(folder) / CURVES
    try:
        return json.loads(file.read_text(encoding="utf-8-sig")) if file.exists() else {}
    except ValueError as error:
        raise HplanError(f"{file} is damaged ({error}); delete it and run again with --resume") from error


def _short(curves: Mapping[str, Curve]) -> str:
    """As JSON; four digits are more than a chart shows."""
    points = {
        stage: [{k: float(f"{v:.4g}") for k, v in one.items()} for one in curve] for stage, curve in curves.items()
    }
    return json.dumps(points, separators=(",", ":"))
