"""Plan trees of every shipped agent, as they were when stored: a change of the inside must not change them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher, unified_diff

import pytest
from golden.write import TREES, tree_file, trees

from hplan.registry import shipped_agents

# What is measured: anything with a decimal point, environment steps and evaluations. All other numbers are names.
MEASURED = re.compile(r"[+-]?\d+\.\d+|[\d,]+(?= evaluations)|\d+(?= steps)")
UNITS, SHARE = 2, 0.02  # of the last digit drawn, and of the number: what two machines may differ by


def close(found: str, stored: str) -> bool:
    unit = 10.0 ** -len(stored.partition(".")[2])
    one, other = (float(text.replace(",", "")) for text in (found, stored))
    return abs(one - other) <= UNITS * unit + SHARE * abs(other)


def differences(found: Sequence[str], stored: Sequence[str]) -> str:
    """A unified diff of two drawn trees; empty where only measured numbers differ, and by little."""
    named = [[MEASURED.sub("#", line) for line in lines] for lines in (found, stored)]
    shown = list(found)
    for i, j, size in SequenceMatcher(None, *named, autojunk=False).get_matching_blocks():
        for line, other in zip(range(i, i + size), range(j, j + size), strict=True):
            numbers = zip(MEASURED.findall(found[line]), MEASURED.findall(stored[other]), strict=True)
            if all(close(*pair) for pair in numbers):
                shown[line] = stored[other]
    return "\n".join(unified_diff(stored, shown, "stored", "found", lineterm=""))


@pytest.mark.parametrize("name", shipped_agents())
def test_a_shipped_agent_plans_as_it_did(name: str) -> None:
    renew = f"`python tests/golden/write.py {name}`"
    assert tree_file(name).exists(), f"{name} is shipped and has no stored plan tree: run {renew}"
    stored, found = json.loads(tree_file(name).read_text(encoding="utf-8")), trees(name)
    for moment in sorted(stored.keys() | found.keys()):
        changed = differences(found.get(moment, []), stored.get(moment, []))
        assert not changed, f"{name}, {moment} plan; if this is meant, run {renew}\n{changed}"


def test_some_stored_trees_were_repaired_and_all_are_of_shipped_agents() -> None:
    files = {file.relative_to(TREES).with_suffix("").as_posix(): file for file in TREES.rglob("*.json")}
    assert files.keys() == set(shipped_agents()), "remove the files of agents that are no longer shipped"
    assert sum("repaired" in json.loads(file.read_text(encoding="utf-8")) for file in files.values()) >= 3


STORED = [
    "▶  goal  goal  0/602 steps  979 evaluations",
    "├─ ▶  level 1  code 9  0/11 steps  energy 0.91  cost 1.43",
    "│  └─ ·  level 0  (-0.47, +0.61), (+0.01, +1.00)  0/2 steps",
    "└─ ·  level 1  code 7  = goal  0/14 steps  energy 0.48",
]


@pytest.mark.parametrize("change", [("0.91", "0.92"), ("+0.01", "-0.01"), ("979", "985"), ("0/11", "0/12")])
def test_little_differences_of_what_is_measured_are_none(change: tuple[str, str]) -> None:
    assert differences([line.replace(*change) for line in STORED], STORED) == ""


@pytest.mark.parametrize(
    "change", [("0.91", "1.01"), ("code 9", "code 8"), ("979", "1,050"), ("·", "▶"), ("= goal", ""), ("-0.47", "+0.47")]
)
def test_other_differences_are_shown_alone(change: tuple[str, str]) -> None:
    changed = [line.replace(*change) for line in ["little 0.49", *STORED]]
    shown = differences(changed, ["little 0.48", *STORED]).splitlines()
    told = [line for line in shown if line[0] in "+-" and not line.startswith(("---", "+++"))]
    assert {line[1:] for line in told} == set(changed[1:]) ^ set(STORED)


def test_a_line_more_or_less_is_shown_alone() -> None:
    for found, stored in ((STORED, STORED[:2] + STORED[3:]), (STORED[:2] + STORED[3:], STORED)):
        assert sum(line[1:] in STORED and line[0] in "+-" for line in differences(found, stored).splitlines()) == 1
