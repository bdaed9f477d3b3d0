"""The command line as a user meets it: statuses, one line that says how to mend a call, and what is fast."""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path

import pytest

from hplan.cli import commands, main
from hplan.cli.parser import Parser, build
from hplan.types import CollapseWarning, HplanError


def leaves(parser: Parser) -> dict[str, Parser]:
    """Every command that can be run, by its full name."""
    groups = [action for action in parser._actions if hasattr(action, "choices") and isinstance(action.choices, dict)]
    subs = [sub for group in groups for sub in group.choices.values()]
    return {name: leaf for sub in subs for name, leaf in leaves(sub).items()} if subs else {parser.prog: parser}


LEAVES = leaves(build())
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
    options = {option for action in LEAVES[f"hplan {name}"]._actions for option in action.option_strings}
    assert set(CONTRACT[name].split()) <= options


@pytest.mark.parametrize("name", LEAVES)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name.split()[1:], "--help"])
    assert ended.value.code == 0
    assert f"usage: {name}" in capsys.readouterr().out


WRONG = {
    "": "COMMAND",
    "evla x": "eval",
    "eval": "AGENT",
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
    "data": "VERB",
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
    ],
)
def test_how_a_job_ends(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Namespace) -> None:
        raise error

    monkeypatch.setattr(commands, "doctor", fail)
    assert main(["doctor"]) == status
    assert said in capsys.readouterr().err


def test_a_collapse_is_one_line_every_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def collapse(_: Namespace) -> None:
        for _ in range(2):
            warnings.warn("level 1 collapsed: effective rank 1.2 of 16", CollapseWarning, stacklevel=1)

    monkeypatch.setattr(commands, "doctor", collapse)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "hplan: warning: level 1 collapsed: effective rank 1.2 of 16\n" * 2


def test_other_warnings_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(_: Namespace) -> None:
        warnings.warn("something else", UserWarning, stacklevel=1)

    monkeypatch.setattr(commands, "doctor", warn)
    with pytest.warns(UserWarning, match="something else"):
        main(["doctor"])


@pytest.mark.parametrize("argv", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_shows_the_traceback(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Namespace) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "doctor", fail)
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
    shard = next(folder.glob("*.npz"))
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
        ("above_steps=many", "above_steps is 'many'"),
        ("codes=1.5", "codes is 1.5"),
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
        ("patients=3", "patience"),
        ('patience="long"', "expected a value such as 4.0"),
        ("retries=2.5", "expected a value such as 8"),
        ("retries=true", "expected a value such as 8"),
    ],
)
def test_settings_of_controller_and_search_are_refused_where_there_are_none(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "minigrid/DoorKey-8x8", "--set", setting]) == 2
    assert said in capsys.readouterr().err


def test_play_of_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "play"
    assert main(["data", "make", "minigrid/DoorKey-5x5", "--out", str(folder), "--steps", "300"]) == 0
    call = ["train", "minigrid/DoorKey-6x6", "--out", str(tmp_path / "run"), "--play-from", str(folder)]
    assert main(call) == 2
    assert "that is play of minigrid/DoorKey-5x5" in capsys.readouterr().err
