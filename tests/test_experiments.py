from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from experiments import engine as experiments
from experiments.engine import Step, find_experiments, published, run_experiment
from experiments.speed.against import interval, seconds
from hplan.cli import main
from hplan.evaluation.episode import Record
from hplan.evaluation.records import read_records, write_records
from hplan.evaluation.result import summarise, write_result
from hplan.registry import load_task
from hplan.types import HplanError, UsageError

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
question = "Does it run?"
[full]
steps = 200
[quick]
steps = 100

[[step]]
name = "play-{seed}"
each = { seed = [0, 1] }
run = ["data", "make", "minigrid/DoorKey-5x5", "--out", "{runs}/{seed}", "--seed", "{seed}", "--steps", "{steps}"]
output = "{runs}/{seed}/manifest.json"

[[step]]
name = "bad"
needs = ["play-0", "play-1"]
run = ["data", "inspect", "{runs}/none"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments" / "one"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    return folder


def test_steps_are_multiplied_out_and_filled_in(folder: Path) -> None:
    full, quick = (find_experiments()["one"].steps(quick) for quick in (False, True))
    assert [step.name for step in full] == ["play-0", "play-1", "bad"]
    assert full[1].run[-3:] == ("1", "--steps", "200")
    assert quick[1].run[-3:] == ("1", "--steps", "100")
    assert full[1].output == Path("runs/one/1/manifest.json")
    assert full[2].output == Path("experiments/one/results/bad.json")
    assert quick[2].output == Path("runs/one-quick/results/bad.json")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{steps}", "{stepz}", "stepz"),
        ('"play-0", "play-1"', '"play-7"', "play-7"),
        ("needs =", "need =", "need"),
        ("question =", "question", "cannot be read"),
    ],
)
def test_a_bad_config_is_refused(folder: Path, old: str, new: str, said: str) -> None:
    (folder / "config.toml").write_text(CONFIG.replace(old, new))
    with pytest.raises(UsageError, match=said):
        run_experiment("one")


def test_what_can_run_runs_and_a_failure_is_named(folder: Path) -> None:
    with pytest.raises(HplanError, match=r"bad: .*data inspect.* status 2"):
        run_experiment("one", quick=True)
    assert Path("runs/one-quick/0/manifest.json").exists()
    assert Path("runs/one-quick/1/manifest.json").exists()


SCRIPT = """
import sys
from hplan.evaluation.episode import Record
from hplan.evaluation.result import summarise, write_result
record = Record(0, "", True, 7, 1.0, 0, 0, {}, {}, {}, 1.0)
found = summarise([record], task="minigrid/DoorKey-5x5", agent="", method=sys.argv[1], replan="never", seed=0)
write_result(found, sys.argv[2])
"""


def test_what_a_script_evaluates_is_a_row_of_the_table(folder: Path) -> None:
    (folder / "theirs.py").write_text(SCRIPT)
    run = 'run = ["experiments/one/theirs.py", "theirs", "{output}"]'
    (folder / "config.toml").write_text(f'question = "?"\n[full]\n[quick]\n[[step]]\nname = "theirs"\n{run}\n')
    assert "| minigrid/DoorKey-5x5 | theirs |" in run_experiment("one")


MEASURES = """
question = "?"
[full]
[quick]
[[step]]
name = "{name}-{seed}"
each = { name = ["a", "b"], seed = [1, 3] }
run = ["experiments/one/ours.py", "{name}", "{seed}", "{output}"]
figures = ["seen", "lost"]
"""
OURS = """
import json, sys
name, seed, output = sys.argv[1:]
open(output, "w").write(json.dumps({"seen": 0.5 * int(seed), "lost": 7 if name == "a" else None, "rest": "words"}))
"""


def test_what_a_script_measures_is_a_table_of_its_own(folder: Path) -> None:
    (folder / "ours.py").write_text(OURS)
    (folder / "config.toml").write_text(MEASURES)
    (folder / "results").mkdir()
    run_experiment("one")
    lines = (folder / "results/figures.md").read_text().splitlines()
    assert lines[0] == "| name | seeds | seen | lost |"
    assert lines[2:] == ["| a | 2 | 1 (0.5 to 1.5) | 7 (7 to 7) |", "| b | 2 | 1 (0.5 to 1.5) | – |"]
    (folder / "config.toml").write_text(MEASURES.replace('"lost"', '"found"'))
    with pytest.raises(UsageError, match=r"has no figure \['found'\]"):
        run_experiment("one")


def test_what_is_done_is_not_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(experiments, "_run_one", lambda step: ran.append(step.name))
    find_experiments()["one"].steps()[0].output.parent.mkdir(parents=True)
    find_experiments()["one"].steps()[0].output.touch()
    run_experiment("one", workers=1)
    assert ran == ["play-1", "bad"]


def test_nothing_is_made_anew_for_results_that_are_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(experiments, "_run_one", lambda step: ran.append(step.name))
    find_experiments()["one"].results().mkdir()
    (find_experiments()["one"].results() / "bad.json").touch()
    run_experiment("one")
    assert ran == []


EPISODES = """
question = "Do longer ways cost more?"
plot = ["optimal_steps", "evaluations"]

[[step]]
name = "door-{levels}"
each = { levels = [1, 2] }
run = ["eval", "nobody", "--records", "{records}", "--json", "{output}"]
"""


def evaluated(step: Step, costs: list[int]) -> None:
    """What the step would have written, had each of its episodes cost that much."""
    counts: dict[str, Any] = {"planner_calls": {}, "repairs": {}, "causes": {}, "violations": 0, "reward": 1.0}
    records = [
        Record(seed=50_000_000 + i, goal="", success=True, steps=20, evaluations=cost, ms=1.0, **counts)
        for i, cost in enumerate(costs)
    ]
    levels = int(dict(step.cell)["levels"])
    info = [{"level": k, "stride": 1.0, "latent_shape": (1,), "macro": ""} for k in range(levels)]
    task = load_task("minigrid/DoorKey-5x5")
    result = summarise(records, task=task.name, agent="a", method="flat", replan="surprise", seed=50, levels_info=info)
    write_records(step.records, result, task)
    write_result(result, step.output)


def test_episodes_are_plotted_by_depth_and_correlated(folder: Path) -> None:
    (folder / "config.toml").write_text(EPISODES)
    one, two = find_experiments()["one"].steps()
    assert one.run == ("eval", "nobody", "--records", "experiments/one/results/door-1.jsonl", "--json", str(one.output))
    evaluated(one, [7] * 6)
    evaluated(two, [7] * 6)
    best = [line["optimal_steps"] for line in read_records(one.records)]
    assert len(set(best)) > 2
    evaluated(one, [-10 * steps for steps in best])
    evaluated(two, [steps**3 for steps in best])
    text = run_experiment("one")
    written = (folder / "results/correlation.md").read_text()
    assert text.endswith(written)
    assert [row.split("|")[-3].strip() for row in written.splitlines()[2:]] == ["-1.00", "1.00"]
    figure = ElementTree.parse(folder / "results/plot.svg")
    assert {"1 level", "2 levels"} <= {text.text for text in figure.findall(".//{*}text")}


@pytest.mark.parametrize(
    ("plot", "said"), [('["steps"]', r"expected \[x, y\]"), ('["steps", "goal"]', "'goal'.*'optimal_steps'")]
)
def test_a_plot_of_what_no_episode_has_is_refused(folder: Path, plot: str, said: str) -> None:
    (folder / "config.toml").write_text(EPISODES.replace('["optimal_steps", "evaluations"]', plot))
    for step in find_experiments()["one"].steps():
        evaluated(step, [1, 2])
    with pytest.raises(UsageError, match=said):
        run_experiment("one")


def test_success_stands_against_compute(folder: Path) -> None:
    (folder / "config.toml").write_text(EPISODES.replace("plot = ", 'frontier = "levels"\nplot = '))
    for step in find_experiments()["one"].steps():
        evaluated(step, [1] * 6)
    run_experiment("one")
    figure = ElementTree.parse(folder / "results/frontier.svg")
    said = {text.text for text in figure.findall(".//{*}text")}
    assert {"DoorKey-5x5", "best with one level", "1", "2"} <= said


PUBLISHED = """
[published]
where = { levels = 2 }
experience = 2e6
best = { "minigrid/DoorKey-5x5" = [40, "somebody", 1e6], "minigrid/Empty-8x8" = [1, "nobody has run it"] }
"""


def test_results_stand_beside_what_was_published(folder: Path) -> None:
    (folder / "config.toml").write_text(EPISODES.replace("[[step]]", PUBLISHED + "[[step]]"))
    one, two = find_experiments()["one"].steps()
    evaluated(one, [1] * 3)
    assert published(find_experiments()["one"]) == []
    evaluated(two, [1] * 6)
    text = run_experiment("one")
    written = (folder / "results/published.md").read_text()
    assert text.endswith(written)
    assert written.splitlines()[2:] == [
        "| minigrid/DoorKey-5x5 | 1 | 6 | 100.0 % | 61.0–100.0 | 100.0 | 40.0 | somebody |"
    ]
    for name in ("published", "experience"):
        ElementTree.parse(folder / f"results/{name}.svg")


@pytest.mark.parametrize("bad", ["where = { levels = 2 }\n", '[40, "somebody", 1e6]'])
def test_a_comparison_that_lacks_something_is_refused(folder: Path, bad: str) -> None:
    lacking = PUBLISHED.replace(bad, "40" if bad.startswith("[") else "")
    (folder / "config.toml").write_text(EPISODES.replace("[[step]]", lacking + "[[step]]"))
    with pytest.raises(UsageError, match="published needs `where`"):
        run_experiment("one")


def test_shipped_experiments_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list"]) == 0
    assert "main" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("what", ["planning", "training"])
def test_what_measures_speed_runs(what: str) -> None:
    """Once, without a clock; status 5 would be that there is nothing to measure."""
    bench = ROOT / "experiments" / "speed" / f"bench_{what}.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable", str(bench)]
    subprocess.run([*command, "-k", "minigrid and DoorKey-8x8"], check=True, cwd=ROOT, capture_output=True)


def test_another_commit_is_timed_with_its_own_hplan(tmp_path: Path) -> None:
    """Though the benchmark lies in this checkout, whose configuration puts its own first."""
    tree, now = tmp_path / "before", tmp_path / "now"
    for folder in (tree, now):
        folder.mkdir()
        (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
        (folder / "hplan.py").write_text(f"BEFORE = {folder == tree}")
    bench = now / "speed" / "bench_it.py"
    bench.parent.mkdir()
    bench.write_text(
        "import hplan\n\ndef test_it(benchmark):\n    assert hplan.BEFORE\n    benchmark.pedantic(dict, rounds=2)\n"
    )
    assert [*seconds(tree, bench, "", tmp_path / "times.json")] == ["test_it"]


def test_what_is_faster_by_more_than_chance_is_told() -> None:
    assert interval([1.0, 1.0, 1.0]) == (1.0, 1.0)
    middle, off = interval([0.5, 0.5, 0.5, 0.6])
    assert 0.5 < middle < 0.6
    assert middle * off < 1 < interval([0.5, 1.5, 2.0])[0] * interval([0.5, 1.5, 2.0])[1]
