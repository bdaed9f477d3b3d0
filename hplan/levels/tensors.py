"""Weights on disk: safetensors, written atomically, never pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hplan.files import write_atomically
from hplan.types import HplanError


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file so that a kill at any moment leaves the old file or the new one, never a part."""
    try:
        write_atomically(path, save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, metadata))
    except OSError as error:
        raise HplanError(f"cannot write {path}: {error.strerror or error}") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; HplanError that names the file where it is damaged or missing."""
    try:
        with safe_open(path, framework="pt") as handle:
            return {key: handle.get_tensor(key) for key in handle.keys()}, handle.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise HplanError(f"{path} is damaged or missing ({error}); delete it and run again with --resume") from error
