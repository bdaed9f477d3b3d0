"""The Python blocks of README and docs are run as they stand, page by page, each page in a folder of its own.

A block below `<!-- skip: reason -->` is not run; one below `<!-- training -->` makes its page a test that trains. A
block with a title, ```python title="my_part.py", is written to a file of that name, from where the page imports it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>skip: \S.*?|training) -->\n+)?"
    r'^```python(?: title="(?P<file>\w+\.py)")?\n(?P<code>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#]+)")


@dataclass(frozen=True)
class Code:
    line: int
    text: str
    mark: str
    file: str


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Code]:
    text = page.read_text()
    return [
        Code(text.count("\n", 0, hit.start("code")), hit["code"], hit["mark"] or "", hit["file"] or "")
        for hit in BLOCK.finditer(text)
    ]


def pages_with_code() -> list[pytest.ParameterSet]:
    found = {page: [block for block in blocks(page) if not block.mark.startswith("skip")] for page in PAGES}
    return [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.training] if any(block.mark for block in code) else [])
        for page, code in found.items()
        if code
    ]


@pytest.mark.parametrize("page", pages_with_code())
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text)
        elif not block.mark.startswith("skip"):
            source = "\n" * block.line + block.text  # a traceback then names the line of the page
            exec(compile(source, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_is_overlooked(page: Path) -> None:
    assert len(blocks(page)) == page.read_text().count("```python"), "a fence is indented, or a block is not closed"


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "experiments/README.md", ROOT / "tasks/README.md"], ids=name_of
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [found["target"] for found in LINK.finditer(page.read_text())]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 60


def test_the_battery_of_the_docs_is_that_of_its_results() -> None:
    battery = ROOT / "experiments" / "battery"
    said = subprocess.run([sys.executable, battery / "report.py"], check=True, cwd=ROOT, capture_output=True, text=True)
    page = (ROOT / "docs" / "results.md").read_text()
    shown = page[page.index("<!-- battery -->") + len("<!-- battery -->") : page.index("<!-- /battery -->")]
    assert said.stdout.strip() == shown.strip() == (battery / "results" / "battery.md").read_text().strip()
