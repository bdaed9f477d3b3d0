"""What is built and installed: a wheel that carries its tasks, pins that fit what pyproject asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hplan
from hplan import doctor
from hplan.doctor import EXTRAS as EXTRAS_EXAMINED

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


EXTRAS = [one for extra in PROJECT["optional-dependencies"].values() for one in extra]


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRAS])
def test_every_dependency_is_pinned_to_a_version_that_it_allows(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.specifier.contains(pins()[requirement.name.lower().replace("_", "-")])


def test_the_doctor_looks_for_every_package_of_every_extra() -> None:
    """minari[hdf5] is Minari and what it needs to store anything, h5py; what is for developers is not the doctor's."""
    wanted: dict[str, set[str]] = {}
    for extra, texts in PROJECT["optional-dependencies"].items():
        for one in map(Requirement, texts):
            wanted.setdefault(extra, set()).add(one.name)
            wanted[extra] |= {"h5py"} if one.extras == {"hdf5"} else set()
    assert {extra: {package for package, _ in table} for extra, table in EXTRAS_EXAMINED.items()} == {
        extra: packages for extra, packages in wanted.items() if extra != "dev"
    }


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda module: None if module == "h5py" else True)
    (line,) = [line for line in doctor.examine() if "extra data" in line]
    assert line.endswith("missing h5py: pip install 'hplan[data]'")


def test_compromised_uploads_of_lightning_are_excluded() -> None:
    specifier = next(one.specifier for one in map(Requirement, PROJECT["dependencies"]) if one.name == "lightning")
    assert not any(specifier.contains(bad) for bad in ("2.6.2", "2.6.3"))
    assert specifier.contains("2.6.6")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    call = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run(call, check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_a_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"hplan", f"hplan-{hplan.__version__}.dist-info"}
    assert "hplan/py.typed" in names
    tasks = {str(path.relative_to(ROOT / "tasks")) for path in (ROOT / "tasks").rglob("*.toml")}
    assert {f"hplan/_bundled/tasks/{task}" for task in tasks} <= set(names)


@pytest.mark.slow
def test_a_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's other packages but not this checkout."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    others = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))  # with no .pth file obeyed
    code = """
import json
import hplan
from hplan import doctor
from hplan.doctor import EXTRAS as EXTRAS_EXAMINED
from hplan.registry import load_task, make_world, shipped_agents, task_names
make_world(load_task("minigrid/DoorKey-5x5")).reset(seed=0)
print(json.dumps([hplan.__file__, task_names(), sorted(shipped_agents())]))
"""

    def run(*call: str) -> str:
        environment = {**os.environ, "PYTHONPATH": others}
        done = subprocess.run(
            [python, *call], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    done = run("-c", code)
    assert "Usage: hplan" in run("-m", "hplan", "--help")
    place, tasks, agents = json.loads(done.splitlines()[-1])
    assert Path(place).is_relative_to(tmp_path)
    assert tasks == sorted(
        path.relative_to(ROOT / "tasks").with_suffix("").as_posix() for path in (ROOT / "tasks").rglob("*.toml")
    )
    bundled = ROOT / "hplan" / "_bundled" / "agents"
    assert agents == sorted(path.parent.relative_to(bundled).as_posix() for path in bundled.rglob("agent.toml"))
