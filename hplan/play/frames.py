"""Images of play, which stay on the disk: what is asked for is read, and nothing else is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class Frames:
    """Rows (N, H, W, C) uint8 of several mapped arrays, one after the other, as far as a tensor of them is needed:
    by rows, in parts, and what kind they are.

    shards: (n, H, W, C) each. rows (N,) int64: which of all their rows these are, None for all; or (N, n) of n frames
    each, which are shown as one with n times as many channels.
    """

    def __init__(self, shards: Sequence[Tensor], rows: Tensor | None = None) -> None:
        self._shards = list(shards)
        self._first = torch.tensor([0, *(len(shard) for shard in shards)]).cumsum(0)
        self._rows = torch.arange(int(self._first[-1])) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> torch.Size:
        *size, channels = self._shards[0].shape[1:]
        together = 1 if self._rows.ndim == 1 else self._rows.shape[1]
        return torch.Size((len(self), *size, channels * together))

    @property
    def dtype(self) -> torch.dtype:
        return self._shards[0].dtype

    def __getitem__(self, at: Tensor) -> Tensor:
        """at (...,) int64 -> (..., H, W, C) uint8, in memory."""
        rows = self._rows[at].flatten()
        found = torch.empty((len(rows), *self._shards[0].shape[1:]), dtype=self.dtype)
        shard = torch.searchsorted(self._first, rows, right=True) - 1
        for number in shard.unique().tolist():
            mine = shard == number
            found[mine] = self._shards[number][rows[mine] - self._first[number]]
        if self._rows.ndim == 1:
            return found.view(*at.shape, *self.shape[1:])
        return found.unflatten(0, (-1, self._rows.shape[1])).movedim(1, -2).reshape(*at.shape, *self.shape[1:])

    def together(self, back: Tensor) -> Frames:
        """Frames (N, H, W, n * C): of each row the rows back (N, n), side by side."""
        return Frames(self._shards, self._rows[back])

    def select(self, which: Tensor) -> Frames:
        """Those of a mask (N,) bool, still on the disk."""
        return Frames(self._shards, self._rows[which])

    def split(self, size: int) -> Iterator[Tensor]:
        """In order, `size` at once."""
        return (self[torch.arange(i, min(i + size, len(self)))] for i in range(0, len(self), size))
