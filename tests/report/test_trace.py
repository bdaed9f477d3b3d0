"""Traces: what was recorded is read back, and a recording cut off at any byte loses its last step at most."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_episode import episode

from hplan.report.trace import Trace, TraceStep, read_trace, record
from hplan.types import HplanError, UsageError

STEPS = episode()
RECORDED = b"".join(step.to_json().encode() + b"\n" for step in STEPS)


def test_recording_passes_steps_through_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "trace.jsonl"
    assert list(record(STEPS, path)) == STEPS
    assert read_trace(path) == Trace(tuple(STEPS))


def test_each_step_is_written_before_the_next_is_made(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    for count, _ in enumerate(record(STEPS, path), 1):
        assert len(read_trace(path).steps) == count


@given(st.text(max_size=20), st.floats(allow_infinity=False, allow_nan=False), st.integers(0, 10**9), st.booleans())
def test_every_step_survives_its_line(world: str, number: float, count: int, success: bool) -> None:
    step = replace(
        STEPS[2], world=world, surprise={0: number, 3: -number}, ms=number, evaluations=count, success=success
    )
    line = step.to_json()
    assert "\n" not in line
    assert TraceStep.from_json(line) == step


def test_unknown_numbers_survive_as_unknown() -> None:
    back = TraceStep.from_json(replace(STEPS[0], surprise={0: math.nan, 1: math.inf}).to_json())
    assert math.isnan(back.surprise[0])
    assert math.isnan(back.surprise[1])


@given(st.integers(0, len(RECORDED)))
def test_a_recording_cut_anywhere_keeps_its_whole_steps(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "trace.jsonl"
    path.write_bytes(RECORDED[:cut])
    whole = RECORDED[:cut].count(b"\n")
    complete = RECORDED[:cut].endswith(b"}") and RECORDED[cut : cut + 1] == b"\n"
    if whole + complete == 0:
        with pytest.raises(UsageError, match="holds no step"):
            read_trace(path)
        return
    trace = read_trace(path)
    assert list(trace.steps) == STEPS[: whole + complete]
    named = f"line {whole + 1} of {whole + 1}" in trace.damage
    assert named == (not RECORDED[:cut].endswith(b"\n") and not complete)


def test_a_recording_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(RECORDED[:-40])
    list(record(STEPS[-1:], path))
    assert read_trace(path) == Trace(tuple(STEPS[-1:]))


def test_a_mark_that_an_editor_put_before_the_text_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + RECORDED)
    assert read_trace(path) == Trace(tuple(STEPS))


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = RECORDED.split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b'{"step": 1}', *lines[2:]]))
    with pytest.raises(HplanError, match=r"line 2 of 4: not a step of a trace \(KeyError"):
        read_trace(path)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n", b"[1, 2]\n", b"null\n"])
def test_what_is_no_trace_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "trace.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="no trace at" if content is None else "holds no step of a trace"):
        read_trace(path)


def test_the_command_that_is_recommended_can_be_pasted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--trace '.*/a trace'` records one"):
        read_trace(tmp_path / "a trace")
