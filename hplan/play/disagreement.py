"""Curious play of vectors: it learns an ensemble as it goes, and heads for where the members disagree.

Each transition counts for each member a Poisson(1) number of times (online bootstrap; Oza and Russell, 2001). Members
come to agree on what is noise, and stay apart where they saw little, so that their disagreement is what a step would
teach (Sekar et al., 2020, Planning to Explore, arXiv 2005.05960). Members foretell a mean change and a variance of
each number of the observation. With d the variance of their means and e the mean of their variances, a step is worth

    sum over numbers of log(1 + d / e)

Every few steps, candidate sequences of held actions are imagined, each by one member, and the best one is begun.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.play.explore import Start, begin_anywhere, permitted
from hplan.threads import one_thread

_MEMBERS, _HIDDEN = 5, 64
_ROUND, _GRADIENT_STEPS, _BATCH = 250, 60, 128
_CANDIDATES, _HORIZON, _BEGUN = 64, 40, 10  # sequences; steps of each, and of those as many are taken
_HELD = (0.0, 0.7, 0.95)  # chance that an action is held, of one candidate in three each
_DISCOUNT = 0.98
_LEAST = 1e-3  # variance of a forecast
_RANDOM = 0.2  # of stretches are the first candidate, whatever it is worth


class Ensemble(nn.Module):
    """(B, I) or (K, B, I) -> (K, B, O), by K networks that share nothing."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = (inputs, _HIDDEN, _HIDDEN, outputs)
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(
            torch.randn(_MEMBERS, a, b, generator=generator) * (1.5 / a) ** 0.5 for a, b in pairs
        )
        self.biases = nn.ParameterList(torch.randn(_MEMBERS, 1, b, generator=generator) * 0.1 for _, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = F.silu(x @ weight + bias)
        return x @ self.weights[-1] + self.biases[-1]


class CuriousVectors:
    """A driver of `hplan.play.collect` for vectors and actions of any kind."""

    def __init__(self, env: Any, rng: np.random.Generator, *, steps: int) -> None:
        """`env`: as `hplan.registry.make_world` makes them. `steps`: that will be played at most."""
        self._env, self._rng, self._spec = env, rng, env.codec.action_spec
        self._numbers, size = env.codec.observation_spec.shape[0], self._spec.size
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self._ensemble = Ensemble(self._numbers + size, 2 * self._numbers, generator)
        self._optimizer = torch.optim.AdamW(self._ensemble.parameters(), lr=2e-3, weight_decay=1e-2)
        self._seen = np.empty((steps, self._numbers), np.float32)
        self._acts = np.empty((steps, size), np.float32)
        self._changes = np.empty((steps, self._numbers), np.float32)
        self._counts = rng.poisson(1, (steps, _MEMBERS)).astype(np.float32)
        self._rows = self._learned = 0
        self._middle, self._scale, self._rate = (np.zeros(self._numbers, np.float32) + s for s in (0, 1, 1))
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._ahead: list[Any] = []

    def start(self) -> Start:
        self._last, self._ahead = None, []
        return begin_anywhere(self._env, self._rng)

    def act(self, observation: np.ndarray, step: int) -> Any:
        if self._last is not None:
            row = self._rows
            self._seen[row], self._acts[row], self._changes[row] = *self._last, observation - self._last[0]
            self._rows += 1
            if self._rows - self._learned >= _ROUND:
                with one_thread():
                    self._learn()
        if not self._ahead:
            with one_thread(), torch.no_grad():
                self._ahead = self._search(observation)
        action = permitted(self._env, self._ahead.pop(0), self._rng)
        self._last = observation, self._inputs(np.array([action]))[0]
        return action

    def _inputs(self, actions: np.ndarray) -> np.ndarray:
        """Actions as the ensemble sees them: one of so many, or from -1 to 1."""
        if self._spec.kind == "discrete":
            return np.eye(self._spec.size, dtype=np.float32)[actions]
        low, high = np.array(self._spec.low), np.array(self._spec.high)
        return ((2 * actions - low - high) / (high - low)).astype(np.float32)

    def _learn(self) -> None:
        rows = self._learned = self._rows
        seen, changes = self._seen[:rows], self._changes[:rows]
        self._middle, self._scale = seen.mean(0), seen.std(0) + 1e-6
        self._rate = np.sqrt((changes**2).mean(0)) + 1e-6
        for _ in range(_GRADIENT_STEPS):
            pick = self._rng.integers(rows, size=_BATCH)
            x = np.concatenate([(seen[pick] - self._middle) / self._scale, self._acts[pick]], 1)
            y = torch.from_numpy(changes[pick] / self._rate)
            mean, variance = self._foretold(torch.from_numpy(x))
            unlikely = (mean - y) ** 2 / variance + variance.log()  # (K, B, D), Gaussian
            loss = (unlikely.mean(-1) * torch.from_numpy(self._counts[pick].T)).mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def _foretold(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the change, (K, B, D) each, in units of the usual change."""
        mean, spread = self._ensemble(x).chunk(2, -1)
        return mean, F.softplus(spread) + _LEAST

    def _search(self, observation: np.ndarray) -> list[Any]:
        """The first actions of the candidate that is worth most."""
        actions = self._candidates()
        if not self._learned or self._rng.random() < _RANDOM:
            return list(actions[0][:_BEGUN])
        inputs = torch.from_numpy(self._inputs(actions))
        scale, rate = torch.from_numpy(self._scale), torch.from_numpy(self._rate)
        z = torch.from_numpy((observation - self._middle) / self._scale).expand(_CANDIDATES, -1)
        worth, rows = torch.zeros(_CANDIDATES), torch.arange(_CANDIDATES)
        for step in range(_HORIZON):
            changes, variance = self._foretold(torch.cat([z, inputs[:, step]], 1))
            worth += _DISCOUNT**step * torch.log1p(changes.var(0) / variance.mean(0)).sum(-1)
            z = z + changes[rows % _MEMBERS, rows] * rate / scale
        return list(actions[int(worth.argmax())][:_BEGUN])

    def _candidates(self) -> np.ndarray:
        """(C, T) integers, or (C, T, A) float32."""
        shape, spec = (_CANDIDATES, _HORIZON), self._spec
        if spec.kind == "discrete":
            drawn: np.ndarray = self._rng.integers(0, spec.size, shape)
        else:
            drawn = self._rng.uniform(spec.low, spec.high, (*shape, spec.size)).astype(np.float32)
        held = np.array(_HELD)[self._rng.permutation(_CANDIDATES) % len(_HELD), None]
        fresh = np.where(self._rng.random(shape) < held, 0, np.arange(_HORIZON))
        return drawn[np.arange(_CANDIDATES)[:, None], np.maximum.accumulate(fresh, 1)]
