"""For all tests: one thread a process (they run side by side), and no deadline, which a busy machine would miss."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("hplan", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("hplan")
