"""Every command that takes an agent, on a small one that is trained here in seconds, and on those that are shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hplan.agent import load
from hplan.cli import main
from hplan.control.plan_tree import PlanTree
from hplan.evaluation.episode import Record, run_episode
from hplan.evaluation.records import read_records
from hplan.registry import shipped_agents
from hplan.report.trace import read_trace
from hplan.testing import check_agent
from hplan.training.learn import learn

TASK = "minigrid/DoorKey-5x5"
STEPS = 10_000
LIGHT = ("--set", "evaluations=500", "--set", "allowance=50")  # an agent that learned this little searches all day
SETTINGS = {"base_steps": 400, "above_steps": 50, "batch": 128}
CONTRACT = """task agent method levels replan seed episodes successes success_rate ci95 per_goal steps_mean
steps_success_mean return_mean predictor_evals_per_step plan_ms_per_step planner_calls repairs constraint_violations
levels_info train versions"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run directory."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    learn(TASK, folder, steps=STEPS, seed=0, budget="quick", settings=SETTINGS)
    return folder


def evaluated(run: Path, tmp_path: Path, *options: str) -> dict:
    file = tmp_path / "result.json"
    assert main(["eval", str(run), "--episodes", "2", "--json", str(file), *LIGHT, *options]) == 0
    return json.loads(file.read_text())


@pytest.mark.training
def test_eval_goes_on_where_it_was_interrupted(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = evaluated(run, tmp_path), tmp_path / "result.json.part"
    assert not part.exists()
    played: list[int] = []

    def once(actor: Any, env: Any, seed: int) -> Record:
        if len(played) == 1:
            raise KeyboardInterrupt
        played.append(seed)
        return run_episode(actor, env, seed)

    call = ["eval", str(run), "--episodes", "2", "--json", str(tmp_path / "result.json"), *LIGHT]
    with monkeypatch.context() as patch:
        patch.setattr("hplan.evaluation.run.run_episode", once)
        assert main(call) == 1
    assert "with --resume goes on" in capsys.readouterr().err and part.exists()
    assert main([*call, "--seed", "1", "--resume"]) == 2
    assert "holds episodes of another seed" in capsys.readouterr().err
    again = evaluated(run, tmp_path, "--resume")
    assert [{**each, "ms": 0} for each in again["records"]] == [{**each, "ms": 0} for each in whole["records"]]
    assert not part.exists()
    assert main(["eval", str(run), "--resume"]) == 2


@pytest.mark.training
def test_eval_writes_the_json_of_the_contract(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluated(run, tmp_path, "--records", str(tmp_path / "records.jsonl"))
    assert set(CONTRACT.split()) <= result.keys()
    assert {"env_steps", "gradient_steps", "wall_s", "device", "seed"} <= result["train"].keys()
    assert {"level", "stride", "latent_shape", "macro"} == result["levels_info"][0].keys()
    assert result["task"] == TASK
    assert result["agent"] == str(run)
    assert result["episodes"] == 2
    for line, record in zip(read_records(tmp_path / "records.jsonl"), result["records"], strict=True):
        assert record.items() <= line.items()
        assert line["optimal_steps"] > 0
    assert "2 (" in capsys.readouterr().out


@pytest.mark.training
@pytest.mark.parametrize("options", [[], ["--method", "random"]])
def test_same_seed_same_digits_and_another_seed_others(run: Path, tmp_path: Path, options: list[str]) -> None:
    def digits(seed: str) -> str:
        result = evaluated(run, tmp_path, "--seed", seed, *options)
        records = [{key: value for key, value in record.items() if key != "ms"} for record in result["records"]]
        return json.dumps(records, sort_keys=True)

    assert digits("3") == digits("3")
    assert digits("3") != digits("4")


@pytest.mark.training
def test_flat_is_one_level(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluated(run, tmp_path, "--method", "flat")["levels"] == 1
    assert evaluated(run, tmp_path, "--levels", "1")["method"] == "flat"
    assert main(["eval", str(run), "--levels", "9"]) == 2
    assert main(["eval", str(run), "--method", "flat", "--levels", "2"]) == 2
    assert main(["eval", str(run), "--method", "oracle", "--episodes", "1"]) == 2
    assert capsys.readouterr().err.count("hplan: ") == 3


@pytest.mark.training
def test_an_episode_is_watched_recorded_and_replayed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trace.jsonl"
    assert main(["watch", str(run), "--seed", "1", "--trace", str(file)]) == 0
    watched = capsys.readouterr().out
    assert main(["replay", str(file)]) == 0
    replayed = capsys.readouterr().out
    assert watched.splitlines()[1:] == replayed.splitlines()[1:], "the title alone differs"
    assert "level 0" in watched
    steps = read_trace(file).steps
    assert [step.step for step in steps] == list(range(len(steps)))


@pytest.mark.parametrize(
    ("out", "said"), [("ways.svg", "DoorKey-8x8 has no map"), ("", "is a folder; name a file, such as")]
)
def test_a_picture_of_ways_wants_a_maze_and_a_file(
    out: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", "minigrid/DoorKey-8x8", "--out", str(tmp_path / out)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ways_through_a_maze_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ogbench")
    file = tmp_path / "new" / "ways.svg"
    assert main(["draw", "ogbench/pointmaze-medium-navigate", "--episodes", "1", "--out", str(file)]) == 0
    assert "of 1 episodes solved" in capsys.readouterr().out
    assert "goal 1: " in file.read_text()


@pytest.mark.training
def test_a_plan_is_printed_and_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    assert main(["plan", str(run), "--seed", "1", "--json", str(file)]) == 0
    tree = PlanTree.from_dict(json.loads(file.read_text()))
    assert str(tree) in capsys.readouterr().out


@pytest.mark.training
def test_inspect_tells_what_each_level_learned(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = run.parent / "page.html"
    assert main(["inspect", str(run), "--steps", "1000", "--report", str(page)]) == 0
    written = capsys.readouterr().out
    for word in (TASK, "level 0", "effective rank", "macro-action sensitivity", "surprise threshold"):
        assert word in written
    assert "Learning curves" in page.read_text()


@pytest.mark.training
def test_a_finished_run_is_left_alone_and_another_call_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    call = ["train", TASK, "--out", str(run), "--steps", str(STEPS), *settings]
    assert main([*call, "--resume"]) == 0
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before
    assert main(call) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*call, "--seed", "1", "--resume"]) == 2
    assert "seed 0 there and 1 here" in capsys.readouterr().err


@pytest.mark.training
@pytest.mark.parametrize(
    ("file", "change", "status", "said"),
    [
        ("agent.toml", lambda file: file.unlink(), 2, "--resume"),
        ("agent.toml", lambda file: file.write_bytes(file.read_bytes()[:200]), 1, "agent.toml"),
        ("agent.toml", lambda file: file.write_text(file.read_text().replace("format = ", "format = 9")), 1, "format"),
        ("levels.safetensors", lambda file: file.write_bytes(file.read_bytes()[:-1000]), 1, "levels.safetensors"),
        ("levels.safetensors", lambda file: file.unlink(), 1, "levels.safetensors"),
    ],
    ids=["half trained", "card cut", "other version", "weights cut", "no weights"],
)
def test_a_damaged_agent_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, change, status: int, said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    change(copy / file)
    assert main(["plan", str(copy)]) == status
    written = capsys.readouterr().err
    assert written.startswith("hplan: ")
    assert written.count("\n") == 1
    assert said in written


@pytest.mark.training
def test_the_small_agent_passes_the_check(run: Path) -> None:
    check_agent(load(run))


@pytest.mark.parametrize("name", shipped_agents())
def test_every_shipped_agent_passes_the_check_and_is_small(name: str) -> None:
    check_agent(load(name))
    size = sum(file.stat().st_size for file in shipped_agents()[name].rglob("*"))
    assert size <= 2_000_000, f"{name} has {size / 1e6:.1f} MB"


@pytest.mark.training
def test_settings_reach_the_controller(run: Path, tmp_path: Path) -> None:
    alone = evaluated(run, tmp_path, "--set", "subgoals=false", "--set", "evaluations=50")
    assert set(alone["planner_calls"]) == {"0"} or alone["planner_calls"].get("1", 0) == 0
    assert alone["predictor_evals_per_step"] <= 50


@pytest.mark.training
def test_another_run_learns_from_the_same_play(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    call = ["train", TASK, "--out", str(out), "--seed", "0", *settings, "--play-from", str(run / "play")]
    assert main(call) == 0
    assert not (out / "play").exists()
    assert (out / "levels.safetensors").read_bytes() == (run / "levels.safetensors").read_bytes()
