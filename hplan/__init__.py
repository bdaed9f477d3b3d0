"""hplan: hierarchical planning with a learned stack of JEPA world models.

    import hplan

    agent = hplan.learn("gym:MyEnv-v0", out="runs/mine", seed=0)
    result = hplan.evaluate(agent, "gym:MyEnv-v0", episodes=100, seed=0)

Start reading in `hplan/types.py`. Everything here is loaded when it is first used, so that `import hplan` and
`hplan --help` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hplan import testing as testing
    from hplan.agent import load as load
    from hplan.evaluation.disturbances import surprise as surprise
    from hplan.evaluation.run import evaluate as evaluate
    from hplan.registry import make as make
    from hplan.training.adapt import adapt as adapt
    from hplan.training.learn import learn as learn

_HOMES = {
    "learn": "hplan.training.learn",
    "adapt": "hplan.training.adapt",
    "load": "hplan.agent",
    "evaluate": "hplan.evaluation.run",
    "make": "hplan.registry",
    "surprise": "hplan.evaluation.disturbances",
}
__all__ = ["__version__", "adapt", "evaluate", "learn", "load", "make", "surprise", "testing"]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("hplan.testing")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hplan' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
