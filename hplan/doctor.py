"""What is installed, and what will run where: the first thing to look at when something does not work."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hplan import __version__

CORE = (
    "torch",
    "lightning",
    "gymnasium",
    "minigrid",
    "numpy",
    "scipy",
    "networkx",
    "rich",
    "safetensors",
    "typer",
    "pydantic",
)
EXTRAS = {  # package, module, and what it is for
    "envs": (("ogbench", "ogbench"), ("gymnasium-robotics", "gymnasium_robotics")),
    "battery": (
        ("box2d", "Box2D"),
        ("gym-pusht", "gym_pusht"),
        ("gymnasium-robotics", "gymnasium_robotics"),
        ("highway-env", "highway_env"),
        ("panda-gym", "panda_gym"),
        ("stable-baselines3", "stable_baselines3"),
    ),
    "data": (("minari", "minari"), ("h5py", "h5py")),
    "viz": (
        ("matplotlib", "matplotlib"),
        ("jinja2", "jinja2"),
        ("imageio", "imageio"),
        ("imageio-ffmpeg", "imageio_ffmpeg"),
    ),
    "track": (("tensorboard", "tensorboard"),),
    "docs": (("mkdocs-material", "material"), ("mkdocstrings", "mkdocstrings")),
}
NEED_GIB = 2.0  # play of the largest bundled task, its run directory included


def examine() -> Iterator[str]:
    """Lines for a terminal: versions, extras and how to get missing ones, devices, disk, bundled tasks and agents."""
    yield f"hplan {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "  " + ", ".join(f"{name} {installed(name) or 'MISSING'}" for name in CORE)
    for extra, packages in EXTRAS.items():
        missing = [name for name, module in packages if find_spec(module) is None]
        have = ", ".join(f"{name} {installed(name)}" for name, _ in packages if name not in missing)
        lack = f"missing {', '.join(missing)}: pip install 'hplan[{extra}]'" if missing else ""
        yield f"  extra {extra}: {'; '.join(filter(None, (have, lack)))}"
    yield from _devices()
    yield from _bundled()
    yield from _disk(Path.cwd())


def installed(package: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> Iterator[str]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield f"  play and evaluation run on {cores} CPU cores; torch uses {torch.get_num_threads()} threads a process"
    if torch.cuda.is_available():
        yield f"  training runs on the CPU, or with --device cuda, untried, on {torch.cuda.get_device_name()}"
    else:
        yield f"  training runs on the CPU (torch {torch.__version__} finds no CUDA device)"


def _bundled() -> Iterator[str]:
    from hplan.registry import shipped_agents, task_names

    yield f"  {len(task_names())} tasks and {len(shipped_agents())} shipped agents found; `hplan list` names them"


def _disk(folder: Path) -> Iterator[str]:
    free = shutil.disk_usage(folder).free / 2**30
    yield f"  {free:.1f} GiB free here" + (
        "" if free > NEED_GIB else f": less than the {NEED_GIB:.0f} that a full run needs"
    )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield f"  this folder cannot be written ({error.strerror}): run hplan from another one, or pass --out elsewhere"
