"""One JSON line per episode: what `records` holds, and how long the best way was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from by_name import begin
from toy_agent import CORRIDOR, ToyAgent

from hplan.evaluation.records import EpisodeLog, episode_lines, read_records, write_records
from hplan.evaluation.run import SEEDS, evaluate
from hplan.registry import load_task, make_world
from hplan.types import UsageError
from hplan.worlds.optimal import optimal_steps

DOORKEY = load_task("minigrid/DoorKey-5x5")


def test_a_line_is_the_record_and_where_it_belongs() -> None:
    result = evaluate(ToyAgent(), CORRIDOR, episodes=3, seed=50)
    lines = episode_lines(result, CORRIDOR)
    assert [line["episode"] for line in lines] == [0, 1, 2]
    assert [line["seed"] for line in lines] == [50 * SEEDS + i for i in range(3)]
    for line, record in zip(lines, result.records, strict=True):
        assert record.items() <= line.items()
        assert line.keys() - record.keys() == {"task", "method", "levels", "episode", "optimal_steps"}
        assert (line["task"], line["method"], line["levels"]) == ("toy/Corridor", "hierarchical", 2)
        assert line["causes"].keys() <= {"surprise"}
        assert line["optimal_steps"] is None, "nobody knows the way through a toy"


def test_the_best_way_is_that_of_the_episode_played() -> None:
    result = evaluate(ToyAgent(), DOORKEY, episodes=4, seed=50, method="random")
    world = make_world(DOORKEY, split="eval")
    best = [optimal_steps(world, begin(world, record["seed"])) for record in result.records]
    assert [line["optimal_steps"] for line in episode_lines(result, DOORKEY)] == best
    assert len(set(best)) > 1


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    result = evaluate(ToyAgent(), CORRIDOR, episodes=3, seed=50)
    path = write_records(tmp_path / "deep" / "records.jsonl", result, CORRIDOR)
    assert [json.loads(line) for line in path.read_text().splitlines()] == read_records(path)
    assert read_records(path) == episode_lines(result, CORRIDOR)


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text('{"episode": 0}\n{"epis')
    with pytest.raises(UsageError, match=r"cut\.jsonl: not written by"):
        read_records(tmp_path / "cut.jsonl")


CALL = {"seed": 50, "task": "toy"}


def without_times(records: Any) -> list[dict[str, Any]]:
    return [{**record, "ms": None} for record in records]


@pytest.mark.parametrize("cut", ["", '{"seed": 50, "go'], ids=["between episodes", "within a line"])
def test_an_evaluation_that_was_killed_goes_on(cut: str, tmp_path: Path) -> None:
    whole = evaluate(ToyAgent(), CORRIDOR, episodes=5, seed=50)
    path = tmp_path / "result.json.part"

    def killed(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        if done == 3:
            raise KeyboardInterrupt

    log = EpisodeLog(path, CALL, resume=True)
    with pytest.raises(KeyboardInterrupt):
        evaluate(ToyAgent(), CORRIDOR, episodes=5, seed=50, log=log, progress=killed)
    with open(path, "a") as file:
        file.write(cut)
    log, played = EpisodeLog(path, CALL, resume=True), []
    assert len(log.records) == 3
    again = evaluate(ToyAgent(), CORRIDOR, episodes=5, seed=50, log=log, progress=lambda *told: played.append(told[1]))
    assert played == [4, 5]
    assert without_times(again.records) == without_times(whole.records)
    log = EpisodeLog(path, CALL, resume=True)
    assert without_times(evaluate(ToyAgent(), CORRIDOR, episodes=2, seed=50, log=log).records) == without_times(
        whole.records[:2]
    )
    assert EpisodeLog(path, CALL, resume=False).records == [], "it begins anew"


def test_a_log_of_another_call_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.part"
    EpisodeLog(path, CALL, resume=False)
    with pytest.raises(UsageError, match=r"log\.part holds episodes of another seed; remove it, or leave --resume out"):
        EpisodeLog(path, {**CALL, "seed": 51}, resume=True)
    path.write_text("something else\n")
    with pytest.raises(UsageError, match=r"log\.part is no log of episodes"):
        EpisodeLog(path, CALL, resume=True)
    EpisodeLog(path, CALL, resume=False)
    with open(path, "a") as file:
        file.write('{"seed": 1}\n')
    with pytest.raises(UsageError, match=r"log\.part is damaged"):
        EpisodeLog(path, CALL, resume=True)


class Remembering(ToyAgent):
    remembers = True


def test_an_agent_that_remembers_begins_with_its_first_episode(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in turn, from the first"):
        evaluate(Remembering(), CORRIDOR, episodes=2, log=EpisodeLog(tmp_path / "log.part", CALL, resume=True))
