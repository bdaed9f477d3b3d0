"""What a computation must not depend on: how many threads torch was given, and what was drawn before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, and give back the caller's number: sums of floats depend on it, and small networks are
    faster on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def reproducible() -> Iterator[None]:
    """`one_thread`, and torch's global generators are afterwards as the caller left them."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with one_thread(), torch.random.fork_rng(devices):
        yield
