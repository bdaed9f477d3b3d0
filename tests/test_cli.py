"""The command line as a user meets it: statuses, one line that says how to mend a call, and what is fast."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import typer

import hplan.doctor
from hplan.cli import app, main
from hplan.types import CollapseWarning, HplanError


def leaves(command: Any, name: str = "hplan") -> dict[str, Any]:
    """Every command that can be run, by its full name."""
    subs = getattr(command, "commands", None)
    if subs is None:
        return {name: command}
    return {full: leaf for part, sub in subs.items() for full, leaf in leaves(sub, f"{name} {part}").items()}


LEAVES = leaves(typer.main.get_command(app))
CONTRACT = {
    "list": "",
    "train": "--out --seed --levels --budget --device --resume --success",
    "eval": "--task --method --levels --replan --episodes --seed --json --success",
    "watch": "--task --seed --trace",
    "replay": "",
    "plan": "--task --seed --json",
    "data make": "",
    "data inspect": "",
    "data import": "",
    "data export": "",
    "experiment list": "",
    "experiment run": "--quick",
    "inspect": "--task --steps --seed --json --report",
    "doctor": "",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_is_there(name: str) -> None:
    options = {option for one in LEAVES[f"hplan {name}"].params for option in one.opts}
    assert set(CONTRACT[name].split()) <= options


@pytest.mark.parametrize("name", LEAVES)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split()[1:], "--help"]) == 0
    assert f"Usage: {name}" in capsys.readouterr().out


WRONG = {
    "": "Missing command",
    "evla x": "no command 'evla', did you mean eval",
    "eval": "AGENT is missing; see `hplan eval --help`",
    "eval x y": "unexpected extra argument",
    "eval x --episodes": "'--episodes' requires an argument",
    "eval x --device tpu": "no option --device",
    "eval x --workers 0": "--workers: '0' is not a whole number above 0",
    "eval x --replan suprise": "--replan: 'suprise' is unknown, did you mean surprise?",
    "eval x --seed 100000000000000000000": "is not a seed: a whole number, 0 or above",
    "eval minigrid/DoorKey-8x8 --levels 9": "choose 1 to",
    "eval minigrid/DoorKey-8x8 --method flat --levels 2": "leave one of them out",
    "eval minigrid/DoorKey-8x8 --json {out}": "is a folder; name a file",
    "eval minigrid/DoorKey-8x8 --records {out}": "is a folder; name a file",
    "plan minigrid/DoorKey-8x8 --json {out}": "is a folder; name a file",
    "inspect minigrid/DoorKey-8x8 --report {out}": "is a folder; name a file",
    "watch minigrid/DoorKey-8x8 --trace {out}": "is a folder; name a file",
    "train minigrid/DoorKey-8x8 --out {out} --steps 0": "--steps: '0' is not a whole number above 0",
    "train minigrid/DoorKey-8x8 --out {out} --budget qick": "--budget: 'qick' is unknown, did you mean quick?",
    "train minigrid/DoorKey-8x8 --out {out} --device tpu": "--device: 'tpu' is unknown, did you mean cpu?",
    "train minigrid/DoorKey-8x8 --out {out} --levels -3": "'-3' is not a whole number above 0",
    "train minigrid/DoorKey-8x8 --out {out} --set ratio=1": "ratio is 1; expected 0 or 2 or more",
    "train minigrid/DoorKey-8x8 --out {out} --set objective=vicrex": "vicreg",
    "eval x --methd flat": "--method",
    "eval x --method flt": "flat",
    "eval x --episodes 0": "above 0",
    "eval x --seed -1": "0 or above",
    "eval minigrid/DoorKey-8x9": "DoorKey-8x8",
    "train minigrid/DoorKey-8x8": "--out",
    "train minigrid/DoorKey8x8 --out {out}": "minigrid/DoorKey-8x8",
    "train gym:NoSuch-v0 --out {out}": "NoSuch",
    "train minigrid/DoorKey-8x8 --out {out} --levels two": "two",
    "data make minigrid/DorKey-8x8 --out {out}": "minigrid/DoorKey-8x8",
    "data inspect {out}": "hplan data make",
    "data": "Missing command",
    "data mkae": "did you mean make?",
    "experiment run mian": "main",
    "replay {out}/none.jsonl": "--trace",
    "watch {out}/none": "none",
    "plan {out}": "{out}",
    "inspect {out}": "{out}",
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_call_is_one_line_that_says_how_to_mend_it(
    call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call.format(out=tmp_path).split()) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("hplan: ")
    assert written.err.count("\n") == 1
    assert WRONG[call].format(out=tmp_path) in written.err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (HplanError("the shard is damaged"), 1, "the shard is damaged"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (ZeroDivisionError("oops"), 1, "--debug"),
        (KeyboardInterrupt(), 1, "--resume"),
        (SystemExit("licence"), 1, "SystemExit('licence')"),
    ],
)
def test_how_a_job_ends(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(hplan.doctor, "examine", fail)
    assert main(["doctor"]) == status
    assert said in capsys.readouterr().err


def test_a_collapse_is_one_line_every_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def collapse() -> list[str]:
        for _ in range(2):
            warnings.warn("level 1 collapsed: effective rank 1.2 of 16", CollapseWarning, stacklevel=1)
        return []

    monkeypatch.setattr(hplan.doctor, "examine", collapse)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "hplan: warning: level 1 collapsed: effective rank 1.2 of 16\n" * 2


def test_other_warnings_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> list[str]:
        warnings.warn("something else", UserWarning, stacklevel=1)
        return []

    monkeypatch.setattr(hplan.doctor, "examine", warn)
    with pytest.warns(UserWarning, match="something else"):
        main(["doctor"])


@pytest.mark.parametrize("argv", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_shows_the_traceback(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hplan.doctor, "examine", fail)
    with pytest.raises(ZeroDivisionError):
        main(argv)


def test_list_names_tasks_and_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    written = capsys.readouterr().out
    assert "minigrid/DoorKey-8x8" in written
    assert "main: " in written


def test_doctor_finds_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    written = capsys.readouterr().out
    assert "torch 2" in written
    assert "MISSING" not in written


def test_data_is_made_looked_at_and_found_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "play"
    make = ["data", "make", "minigrid/DoorKey-5x5", "--out", str(folder), "--steps", "300"]
    assert main(make) == 0
    assert main(["data", "inspect", str(folder)]) == 0
    assert "300 of 300 steps" in capsys.readouterr().out
    assert main(make) == 2, "without --resume a folder that holds play is not touched"
    assert "resume" in capsys.readouterr().err
    shard = next(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert main(["data", "inspect", str(folder)]) == 1
    assert f"DAMAGED {shard.name}" in capsys.readouterr().out
    assert main([*make, "--resume"]) == 0
    assert main(["data", "inspect", str(folder)]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("above_steps", "KEY=VALUE"),
        ("above_stepz=3", "above_stepz"),
        ("above_steps=many", "above_steps is 'many'; expected a whole number"),
        ("above_steps=1.5", "above_steps is 1.5; expected a whole number"),
        ("above_steps=0", "above_steps is 0; expected 1 or more"),
        ("codes=64", "unknown key 'codes'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_played(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "minigrid/DoorKey-5x5", "--out", str(out), "--set", text]) == 2
    assert said in capsys.readouterr().err
    assert not (out / "play").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("overrun_facter=3", "did you mean overrun_factor"),
        ('overrun_factor="long"', "overrun_factor is 'long'; expected a number"),
        ("overrun_factor=-1", "overrun_factor is -1; expected more than 0"),
        ("alpha=5", "alpha is 5; expected less than 1"),
        ("alpha=nan", "alpha is nan; expected a finite number"),
        ("repairs_per_step=2.5", "repairs_per_step is 2.5; expected a whole number"),
        ("repairs_per_step=true", "repairs_per_step is True; expected a whole number"),
        ("candidates=0", "candidates is 0; expected 1 or more"),
        ("floors=[2]", "floors is 2; expected 1 at most"),
        ("remember=1", "remember is 1; expected true or false"),
    ],
)
def test_settings_of_controller_and_search_are_refused_where_there_are_none(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "minigrid/DoorKey-8x8", "--set", setting]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval", "watch"])
@pytest.mark.parametrize(
    ("planner", "said"),
    [
        ("grph", "planner 'grph' is not known: did you mean graph?"),
        ("nowhere:Planner", "planner 'nowhere:Planner' cannot be imported"),
        ("math:pie", "planner 'math:pie' cannot be imported"),
    ],
)
def test_planners_that_are_not_there_are_told(
    command: str, planner: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "minigrid/DoorKey-8x8", "--planner", planner]) == 2
    assert said in capsys.readouterr().err


def test_play_of_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "play"
    assert main(["data", "make", "minigrid/DoorKey-5x5", "--out", str(folder), "--steps", "300"]) == 0
    call = ["train", "minigrid/DoorKey-6x6", "--out", str(tmp_path / "run"), "--play-from", str(folder)]
    assert main(call) == 2
    assert "that is play of minigrid/DoorKey-5x5" in capsys.readouterr().err


def test_nobody_has_to_read_to_the_end() -> None:
    """As `hplan watch AGENT | head -1` does not."""
    call = f"{sys.executable} -m hplan watch minigrid/DoorKey-8x8 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


@pytest.mark.parametrize("call", ["eval", "watch", "train"])
def test_curves_that_cannot_be_written_are_told_before_anything_else(
    call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    which = ["gym:FrozenLake-v1", "--out", str(tmp_path / "run")] if call == "train" else ["minigrid/DoorKey-8x8"]
    assert main([call, *which, "--track", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"hplan: {tmp_path}/file is a file: name a folder\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", ["mine", "mine_as_folder"])
def test_a_module_of_this_folder_is_found_by_python_alone(module: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "mine_as_folder").mkdir()
    code = "import sys; sys.path.remove(''); from hplan.cli import main; sys.exit(main())"
    call = [sys.executable, "-c", code, "train", f"gym:{module}.part:X-v0", "--out", "run"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "call `python -m hplan` instead" in done.stderr


def test_a_module_that_is_nowhere_is_no_matter_of_how_python_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "gym:nowhere_at_all:X-v0", "--out", "run"]) == 2
    assert "python -m" not in capsys.readouterr().err


def test_experiments_need_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hplan.cli import experiments

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, "__file__", str(tmp_path / "site-packages" / "hplan" / "cli" / "experiments.py"))
    assert main(["experiment", "list"]) == 2
    assert "experiments need a checkout of hplan" in capsys.readouterr().err
    assert main(["list"]) == 0


def test_a_letter_that_the_terminal_lacks_stops_nothing(tmp_path: Path) -> None:
    locale = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    call = [sys.executable, "-m", "hplan", "plan", "minigrid/DoorKey-8x8"]
    done = subprocess.run(call, capture_output=True, text=True, env=locale, check=False)
    assert (done.returncode, done.stderr) == (0, "")
