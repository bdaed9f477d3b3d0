"""What a store holds, in figures: `hplan data inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hplan.play.manifest import Manifest
from hplan.play.store import EpisodeStore


@dataclass(frozen=True)
class Summary:
    """`actions`: by name, the share of a discrete action, or how often a dimension is above the middle of its range.
    `damaged`: reason by file name of shards that no figure counts."""

    manifest: Manifest
    episodes: int
    steps: int
    layouts: int
    terminated: int  # episodes that the environment ended
    successes: int  # steps
    violations: int  # steps
    lengths: tuple[int, float, int]  # shortest, mean and longest episode
    actions: dict[str, float]
    damaged: dict[str, str]

    def lines(self) -> list[str]:
        """As plain text, one line each."""
        m = self.manifest
        shards = len(m.shards) - len(self.damaged)
        shortest, mean, longest = self.lengths
        return [
            f"{m.task} ({m.environment}), {m.source}, seed {m.seed}",
            f"{self.steps:,} of {m.steps:,} steps, {self.episodes:,} episodes, {self.layouts:,} seeds, {shards} shards",
            f"episodes of {shortest:,} to {longest:,} steps, {mean:,.1f} on average; {self.terminated:,} terminated",
            f"{self.successes:,} successes, {self.violations:,} constraint violations",
            f"observations: {m.observation_spec.kind} {m.observation_spec.shape}",
            "actions: " + ", ".join(f"{name} {share:.1%}" for name, share in self.actions.items()),
            "versions: " + ", ".join(f"{name} {version}" for name, version in m.versions.items()),
            *(f"DAMAGED {file}: {reason}" for file, reason in self.damaged.items()),
        ]


def summarize(path: Path | str) -> Summary:
    """Read every byte of a store. Damaged shards are named and left out. Raises UsageError where there is no store."""
    store = EpisodeStore.open(path, skip_damaged=True, hashes=True)
    lengths: list[int] = []
    seeds: set[int] = set()
    terminated = successes = violations = 0
    counts: dict[str, int] = {}
    for arrays in store.arrays():
        lengths += arrays["lengths"].tolist()
        seeds |= set(arrays["seeds"].tolist())
        terminated += int(arrays["terminated"].sum())
        successes += int(arrays["success"].sum())
        violations += int(arrays["violation"].sum())
        played = np.delete(arrays["actions"], np.cumsum(arrays["lengths"] + 1) - 1, axis=0)  # not the dummies
        for name, count in _count(store.manifest, played).items():
            counts[name] = counts.get(name, 0) + count
    return Summary(
        manifest=store.manifest,
        episodes=len(lengths),
        steps=sum(lengths),
        layouts=len(seeds),
        terminated=terminated,
        successes=successes,
        violations=violations,
        lengths=(min(lengths), float(np.mean(lengths)), max(lengths)) if lengths else (0, 0.0, 0),
        actions={name: count / sum(lengths) for name, count in counts.items()},
        damaged=store.damaged,
    )


def _count(manifest: Manifest, played: np.ndarray) -> dict[str, int]:
    spec = manifest.action_spec
    names = spec.names or tuple(str(i) for i in range(spec.size))
    if spec.kind == "discrete":
        return dict(zip(names, np.bincount(played, minlength=spec.size).tolist(), strict=True))
    above = (played > np.add(spec.low, spec.high) / 2).sum(0)
    return {f"{name} above the middle": count for name, count in zip(names, above.tolist(), strict=True)}
