"""For all tests: one thread a process (they run side by side), no deadline, which a busy machine would miss, and the
shapes that annotations of the source say, checked at every call."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("hplan", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("hplan")

# Before any test imports them. Modules join here once they are annotated; others would only be slower.
CHECKED = ("hplan.objectives",)
install_import_hook(CHECKED, "shapes.checked")


# Files of few tests that take minutes begin first, so that no process is left with one of them at the end.
LONG = ("test_resume.py", "test_docs.py", "test_chance.py", "test_returns.py", "test_unseen.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)  # stable
