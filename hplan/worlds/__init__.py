"""Environments of tasks, as Gymnasium environments: their view, what came of a step, and their split."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # MiniGrid imports pygame, which would greet on stdout
