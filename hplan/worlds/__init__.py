"""Environments as `types.World`: what an agent sees and does, made canonical, and their split."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # MiniGrid imports pygame, which would greet on stdout
