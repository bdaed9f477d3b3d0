"""One JSON line per episode: what `records` holds, and how long the best way was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from by_name import begin
from toy_agent import CORRIDOR, ToyAgent

from hplan.evaluation.records import episode_lines, read_records, write_records
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
