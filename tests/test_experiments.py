from __future__ import annotations

from pathlib import Path

import pytest

from hplan import experiments
from hplan.cli import main
from hplan.experiments import find_experiments, run_experiment
from hplan.types import HplanError, UsageError

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


def test_shipped_experiments_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list"]) == 0
    assert "main" in capsys.readouterr().out
