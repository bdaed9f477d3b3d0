"""Commands that learn and measure. Each calls one function of the library and shows what came back.

The library is imported inside the commands, so that `hplan --help` and `hplan list` do not wait for torch.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import Annotated, Any, Literal

import typer

from hplan.cli import options
from hplan.cli.progress import Bars
from hplan.files import check_writable, is_device
from hplan.types import UsageError


def train(
    task: options.Task,
    out: Annotated[str, options.folder("Run directory: play data, checkpoints and the agent")],
    steps: Annotated[int | None, options.number("Environment steps of play (default: the task's own)")] = None,
    seed: Annotated[int, options.seeds("Of play and training; same seed, same weights")] = 0,
    levels: Annotated[
        str, typer.Option(metavar="auto|N", parser=options.depth, help="Depth; auto: from the data")
    ] = "auto",
    budget: options.Budget = "quick",
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(
            help="auto is the CPU: networks are small, and on a GPU they learned slower; levels over symbols have not "
            "been seen to learn there"
        ),
    ] = "auto",
    resume: options.Resume = False,
    play_from: Annotated[
        str | None, options.folder("Episodes of this task that exist already, instead of playing (`hplan data`)")
    ] = None,
    settings: Annotated[
        list[Any] | None, options.keys("A setting of training, such as above_steps=800; see tasks/README.md")
    ] = None,
    success: Annotated[
        Literal["auto", "terminated"],
        typer.Option(help="terminated: a gym: task counts as solved when its episode ends"),
    ] = "auto",
    goal: Annotated[
        Literal["auto", "success", "observation", "reward"],
        typer.Option(
            help="What the agent aims for; auto: success where play saw any, an observation where the task hands out "
            "one, else reward"
        ),
    ] = "auto",
    encoder: Annotated[str, options.part("encoder", "What level 0 reads observations by")] = "auto",
    objective: Annotated[
        str | None, options.part("objective", "What keeps latents apart", eyes="eye_objective")
    ] = None,
    abstraction: Annotated[str, options.part("abstraction", "How levels are cut out of play")] = "auto",
    history: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N", parser=options.depth, help="Observations that level 0 sees at once; auto: from the data"
        ),
    ] = None,
    track: options.Track = None,
) -> None:
    """Play a task without reward, and learn a stack of world models from it."""
    from hplan.report.tensorboard import check
    from hplan.training.learn import learn

    check(track)
    with Bars() as progress:
        agent = learn(
            task,
            out,
            steps=steps,
            seed=seed,
            levels=levels,  # type: ignore[arg-type]  # parsed
            budget=budget,
            device=device,
            resume=resume,
            success=success,
            goal=goal,
            settings=dict(settings or ()),
            play_from=play_from,
            encoder=encoder,
            objective=objective,
            abstraction=abstraction,
            history=history,  # type: ignore[arg-type]  # parsed
            progress=progress,
        )
    if track:
        from hplan.report.tensorboard import write_training
        from hplan.training.learn import read_curves

        write_training(track, read_curves(out))
    count = len(agent.levels_info)
    print(f"{out}: an agent of {count} level{'s' * (count > 1)}; `hplan eval {shlex.quote(out)}` measures it")


def adapt(
    agent: options.AgentName,
    out: Annotated[str, options.folder("Where the adapted agent goes, with what it played")],
    steps: Annotated[int, options.number("Environment steps to play")] = 10_000,
    seed: Annotated[int, options.seeds("Of play, training and the episodes before and after")] = 0,
    task: options.OtherTask = None,
    episodes: Annotated[int, options.number("Of evaluation, before and after")] = 20,
    rounds: Annotated[int, options.number("Of playing and learning, between which the steps are shared")] = 4,
    world_model: Annotated[
        bool,
        typer.Option(
            "--world-model",
            help="Learn the world model anew, too, in each round; agents that aim for success always do",
        ),
    ] = False,
    play_from: Annotated[
        str | None, options.folder("The play that the agent was trained on, where it does not lie beside it")
    ] = None,
) -> None:
    """Tune what an agent knows in the world itself: of reward, or its world model where it aims for success."""
    from hplan.report.table import number
    from hplan.training.adapt import adapt as run

    with Bars() as progress:
        found = run(
            agent,
            out,
            task=task,
            steps=steps,
            seed=seed,
            episodes=episodes,
            rounds=rounds,
            world_model=world_model,
            play_from=play_from,
            progress=progress,
        )
    results = found.before, found.after
    if found.agent.stack.paid:
        what, (before, after) = "mean return", (number(one.return_mean, 2) for one in results)
    else:
        what, (before, after) = "success", (f"{one.success_rate:.0%}" for one in results)
    print(f"{out}: {what} {after} of {episodes} episodes, and {before} before; {steps:,} steps were played")


def evaluate(
    agent: options.AgentName,
    task: options.OtherTask = None,
    method: Annotated[
        Literal["hierarchical", "flat", "random", "oracle"] | None,
        typer.Option(
            help="hierarchical: the whole stack (default); flat: level 0 alone, same planner; random: random actions; "
            "oracle: the scripted expert, a ceiling"
        ),
    ] = None,
    levels: options.Levels = None,
    replan: options.Replan = "surprise",
    episodes: options.Episodes = 100,
    seed: Annotated[int, options.seeds("Fixes the episodes: same agent, same seed, same result")] = 0,
    json: options.Json = None,
    records: Annotated[
        str | None, options.file("Write one JSON line per episode there, with the length of its best way")
    ] = None,
    settings: Annotated[
        list[Any] | None,
        options.keys("A setting of the controller or of a planner, such as horizon=256; see docs/replanning.md"),
    ] = None,
    workers: options.Workers = 1,
    success: options.Success = None,
    planner: options.Planner = "auto",
    proposal: Annotated[str, options.part("proposal", "What a search tries at a latent")] = "prior",
    energy: Annotated[str | None, options.part("energy", "What episodes aim for instead of their own goal")] = None,
    forbid: options.Forbid = None,
    track: options.Track = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same call with --json was interrupted (FILE.part)")
    ] = False,
) -> None:
    """An agent's success and planning compute on episodes it never saw."""
    from hplan.agent import load
    from hplan.evaluation.records import EpisodeLog, code_digest, digest_of, write_records
    from hplan.evaluation.result import versions, write_result
    from hplan.evaluation.run import evaluate as run
    from hplan.registry import agent_path
    from hplan.report.table import result_lines
    from hplan.report.tensorboard import check

    check_writable(json, records)
    check(track)
    if resume and not json:
        raise UsageError("--resume goes on with the episodes beside --json FILE: name one")
    player = load(
        agent,
        levels=levels,
        method="flat" if method == "flat" else "hierarchical",
        replan=replan,
        planner=planner,
        proposal=proposal,
        energy=energy,
        forbid=forbid or (),
        settings=dict(settings or ()),
    )
    where = options.task_of(player, task, success)
    log = None
    if json and not player.remembers and not is_device(json):
        call = {"agent": digest_of(agent_path(agent)), "task": where.name, "success": where.success, "method": method}
        call |= {"levels": levels, "replan": replan, "seed": seed, "settings": dict(settings or ()), "planner": planner}
        call |= {
            "proposal": proposal,
            "energy": energy,
            "forbid": forbid,
            "versions": versions(),
            "code": code_digest(),
        }
        log = EpisodeLog(f"{json}.part", call, resume=resume)
    played = {"episodes": episodes, "seed": seed, "method": method, "workers": workers}
    with Bars() as progress:
        result = run(player, where, **played, progress=progress, log=log)
    print("\n".join(result_lines(result, paid=player.stack.paid and energy is None)))
    if records:
        write_records(records, result, where)
    if track:
        from hplan.report.tensorboard import write_evaluation

        write_evaluation(track, result)
    if json:  # last: where it lies, all the rest does
        write_result(result, json)
    if log:
        log.remove()


def inspect(
    agent: options.AgentName,
    task: options.OtherTask = None,
    steps: Annotated[int, options.number("Of fresh play to measure on")] = 20_000,
    seed: Annotated[int, options.seeds("Of that play; same agent, same seed, same figures")] = 0,
    json_: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write all figures there")] = None,
    report: Annotated[str | None, options.file("Write a page with plots there")] = None,
) -> None:
    """What each level learned: collapse, time scales, errors, thresholds."""
    from rich.console import Console

    from hplan.agent import load
    from hplan.evaluation.inspection import inspect as look
    from hplan.evaluation.inspection import write_inspection
    from hplan.registry import agent_path
    from hplan.report.inspection_page import write_inspection_page
    from hplan.report.inspection_table import inspection_lines, inspection_table, verdict_lines
    from hplan.threads import one_thread
    from hplan.training.learn import CURVES

    check_writable(json_, report)
    player = load(agent)
    with Bars() as progress, one_thread():
        found = look(player, options.task_of(player, task), steps=steps, seed=seed, progress=progress)
    print("\n".join(inspection_lines(found)))
    Console(width=None if sys.stdout.isatty() else 132).print(inspection_table(found))
    print("\n".join(verdict_lines(found)))
    file = agent_path(agent) / CURVES
    curves = json.loads(file.read_text(encoding="utf-8-sig")) if file.exists() else {}
    for stage, curve in curves.items():
        last = "  ".join(f"{name} {value:.4g}" for name, value in curve[-1].items())
        print(f"{stage}: at the end of training {last}")
    if json_:
        write_inspection(found, json_)
    if report:
        write_inspection_page(report, found, curves)


def surprise(
    agent: options.AgentName,
    task: options.OtherTask = None,
    episodes: Annotated[
        int, options.number("Of fresh play, undisturbed and disturbed; of films: quadruplets of each law")
    ] = 20,
    seed: Annotated[int, options.seeds("Of that play; same agent, same seed, same figures")] = 0,
    json_: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write all figures there")] = None,
    draw: Annotated[
        str | None, options.file("Draw a quadruplet of films there as SVG, with the errors of level 0 below")
    ] = None,
    law: Annotated[
        str, typer.Option(metavar="NAME", help="Which law the films that are drawn keep or break")
    ] = "permanence",
) -> None:
    """How far each level's predictions are off, and whether that tells what is impossible from what is not."""
    from rich.console import Console

    from hplan.agent import load
    from hplan.evaluation.disturbances import write_surprise
    from hplan.evaluation.quadruplets import measure, strips
    from hplan.files import write_atomically
    from hplan.report.film_figure import films_figure
    from hplan.report.surprise_table import surprise_table
    from hplan.threads import one_thread

    check_writable(json_, draw)
    player = load(agent)
    where = options.task_of(player, task)
    with Bars() as progress, one_thread():
        if draw:
            films = strips(player, where, law, seed=seed)
            write_atomically(draw, films_figure(films, f"{agent}: errors of level 0, and its threshold"))
        found = measure(player, where, episodes=episodes, seed=seed, progress=progress)
    Console(width=None if sys.stdout.isatty() else 132).print(surprise_table(found))
    if json_:
        write_surprise(found, json_)
