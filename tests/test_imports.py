"""Rules about the source as a whole: which way imports point, who knows which class, and how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import hplan

ROOT = Path(hplan.__file__).parent
# A part may import parts of its own rank or of a lower one. `view` is apart: it sees the plan tree and the types alone.
RANKS = (
    ("types", "files", "threads", "validation", "parts", "__init__"),
    ("config",),
    ("worlds", "codec", "action_spaces", "encodings", "gym_spaces", "reading"),
    ("registry",),
    ("play", "objectives"),
    ("levels",),
    ("planning",),
    ("control",),
    ("report",),
    ("agent", "goals", "session"),
    ("training", "evaluation"),
    ("testing", "doctor"),
    ("cli",),
    ("__main__", "demo"),
)
RANK = {part: rank for rank, parts in enumerate(RANKS) for part in parts}
VIEW_SEES = {"hplan", "hplan.types", "hplan.files", "hplan.control.plan_tree"}
UPWARD = {
    ("hplan.control.plan_tree", "hplan.report.tree"),  # print(tree) draws it
    ("hplan.objectives.collapse", "hplan.levels.level"),  # in an annotation alone
}
# `hplan.learn` and the like are loaded when they are first used, and `python -m hplan` is the command line
ENTRANCES = {"hplan"}

MODULES = {
    ".".join(("hplan", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imported(name: str, path: Path) -> Iterator[str]:
    """Modules of hplan that a module imports anywhere, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "hplan")
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.split(".")[0] == "hplan":
                names = [f"{source}.{alias.name}" for alias in node.names]
                yield from (full if full in MODULES else source for full in names)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ENTRANCES])
def test_imports_point_one_way(name: str) -> None:
    assert part(name) in RANK, f"{name}: give {part(name)!r} its rank in RANKS"
    for other in set(imported(name, MODULES[name])):
        if (name, other) in UPWARD or part(other) == part(name):
            continue
        assert RANK[part(other)] <= RANK[part(name)], f"{name} imports {other}, which stands above it"
        if part(name) == "report":
            assert other in VIEW_SEES, f"{name} imports {other}; a view sees only {sorted(VIEW_SEES)}"


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in ("cli", "report")])
def test_the_library_does_not_print(name: str) -> None:
    calls = (node for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Call))
    lines = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert not lines, f"{name} prints in lines {lines}; return the text, or take a progress callback"


@pytest.mark.parametrize("name", MODULES)
def test_texts_are_read_and_written_as_utf_8(name: str) -> None:
    """And not in the encoding of whatever locale a file is read in."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("read_text", "write_text"):
                assert "encoding" in {word.arg for word in node.keywords}, f"{name}, line {node.lineno}: no encoding"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            binary = any(isinstance(one, ast.Constant) and "b" in str(one.value) for one in node.args[1:])
            assert binary or "encoding" in {word.arg for word in node.keywords}, f"{name}, line {node.lineno}"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "hplan.types"])  # the vocabulary, in one place
def test_no_file_is_long(name: str) -> None:
    length = len(MODULES[name].read_text().splitlines())
    assert length <= 400, f"{name} has {length} lines; is there more than one concept in it?"


def test_no_two_files_have_one_name() -> None:
    count = Counter(path.name for path in MODULES.values() if path.name != "__init__.py")
    assert not [name for name, times in count.items() if times > 1]


CLASSES = {
    node.name
    for name, path in MODULES.items()
    if part(name) == "levels"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.ClassDef)
}


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in ("levels", "training")])
def test_planning_and_control_ask_what_a_level_can_and_not_what_it_is(name: str) -> None:
    """`WorldModel.capabilities` and the parts that are None say it, of levels of a user's own as well."""
    assert "Level" in CLASSES
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Attribute) and node.attr == "exact"), f"{name}, line {node.lineno}: .exact"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            kinds = {getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(node.args[1])}
            assert not kinds & CLASSES, f"{name}, line {node.lineno}: isinstance of {kinds & CLASSES}"


@pytest.mark.parametrize("call", [["--help"], ["eval", "--help"], ["list"], ["evla"]])
def test_help_and_list_do_not_load_torch(call: list[str]) -> None:
    code = f"""
import sys
from hplan.cli import main
main({call})
heavy = {{"torch", "jaxtyping", "lightning", "matplotlib", "ogbench", "mujoco"}} & sys.modules.keys()
sys.exit(f"loaded {{sorted(heavy)}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
