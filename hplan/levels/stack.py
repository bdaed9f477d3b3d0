"""The stack: levels, their thresholds and everything needed to use them again, in a folder of TOML and safetensors."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tomli_w
import torch
from torch import Tensor, nn

from hplan.config import SuccessRule
from hplan.files import write_atomically
from hplan.levels.calibration import Calibration
from hplan.levels.landmark_edges import LandmarkEdges
from hplan.levels.tensors import read_tensors, write_tensors
from hplan.types import ActionSpec, HplanError, LevelInfo, ObservationSpec, UsageError, WorldModel

FORMAT = 4
CARD, WEIGHTS = "agent.toml", "levels.safetensors"
CALIBRATION, EDGES = "calibration", "edges"  # of the tensors in WEIGHTS
HEAD = "success."  # of the tensors of a level: not kept where play was never rewarded


class TrainedLevel(WorldModel, Protocol):
    """A level as it is trained, kept and loaded: a WorldModel that can also be rebuilt, and can tell success."""

    config: dict[str, Any]  # keyword arguments of its class

    @property
    def kind(self) -> str:
        """Which class it is, for `level_class`."""
        ...

    @property
    def success(self) -> Callable[[Tensor], Tensor]:
        """(B, *z) -> (B,): logit of "this latent is a success"."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Stack:
    """Levels, index 0 the finest, and what travels with them.

    calibration: what surprise each level met on held-out play (`hplan.levels.calibration`). tolerance: distance of each
    level at which a goal observation counts as reached. succeeds: which levels learned a success energy. train: how it
    was trained, and versions with what, for people; `chances` in it also decides who plans
    (`hplan.planning.choice`). edges: the landmark graphs of the levels that have one.
    """

    task: str
    observation_spec: ObservationSpec
    action_spec: ActionSpec
    levels: tuple[TrainedLevel, ...]
    calibration: tuple[Calibration, ...]
    tolerance: tuple[float, ...]
    succeeds: tuple[bool, ...]
    success_rule: SuccessRule = "auto"
    train: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    edges: Mapping[int, LandmarkEdges] = field(default_factory=dict)

    def lowest(self, count: int) -> Stack:
        """The stack of the `count` lowest levels; one is the flat agent."""
        if not 1 <= count <= len(self.levels):
            raise UsageError(
                f"--levels {count}: this agent has {len(self.levels)} levels; choose 1 to {len(self.levels)}"
            )
        cut = slice(count)
        return replace(
            self,
            levels=self.levels[cut],
            calibration=self.calibration[cut],
            tolerance=self.tolerance[cut],
            succeeds=self.succeeds[cut],
            edges={k: edges for k, edges in self.edges.items() if k < count},
        )

    def given(self, context: np.ndarray | None) -> Stack:
        """The stack in the layout (rows, columns) of an episode: levels that see it, with the same weights. Raises
        UsageError for an image where none is expected, and for one of another number of dimensions."""
        if context is None:
            return self
        from hplan.levels.sight import Situated

        expected = self.observation_spec.context
        if np.ndim(context) != len(expected):
            raise UsageError(f"context of shape {np.shape(context)}; this agent expects {expected or 'none'}")
        image = torch.from_numpy(np.asarray(context, np.float32))[None]
        levels = (level.given(image) if isinstance(level, Situated) else level for level in self.levels)
        return replace(self, levels=tuple(levels))

    @torch.inference_mode()
    def encode(self, observation: np.ndarray) -> tuple[Tensor, ...]:
        """One observation in canonical form -> one latent (*z) per level."""
        z = torch.from_numpy(np.ascontiguousarray(observation))[None]
        latents = []
        for level in self.levels:
            z = level.encode(z)
            latents.append(z[0])
        return tuple(latents)

    def info(self, example: tuple[Tensor, ...]) -> list[dict[str, Any]]:
        """`levels_info` of contract.md; `example`: latents of any observation."""
        return [
            asdict(LevelInfo(k, level.stride, tuple(example[k].shape), macro_text(level)))
            for k, level in enumerate(self.levels)
        ]

    def save(self, folder: Path) -> None:
        """Weights first, then the card: a folder with a card is whole."""
        tensors: dict[str, Tensor] = {}
        for level, succeeds in zip(self.levels, self.succeeds, strict=True):
            kept = {k: v for k, v in level.state_dict().items() if succeeds or not k.startswith(HEAD)}
            tensors |= {f"{level.index}/{k}": v for k, v in kept.items()}
            tensors[f"{CALIBRATION}/{level.index}"] = torch.from_numpy(self.calibration[level.index].errors)
        for k, edges in self.edges.items():
            tensors |= {f"{EDGES}/{k}/{name}": values for name, values in edges.tensors().items()}
        write_tensors(folder / WEIGHTS, tensors, {"format": str(FORMAT)})
        card = {
            "format": FORMAT,
            "task": self.task,
            "success_rule": self.success_rule,
            "observation": _plain(asdict(self.observation_spec)),
            "action": _plain(asdict(self.action_spec)),
            "train": _plain(self.train),
            "versions": self.versions,
            "level": [
                {
                    "kind": level.kind,
                    "tolerance": self.tolerance[k],
                    "succeeds": self.succeeds[k],
                    "config": _plain(level.config),
                }
                for k, level in enumerate(self.levels)
            ],
        }
        write_atomically(folder / CARD, tomli_w.dumps(card))

    @classmethod
    def load(cls, folder: Path) -> Stack:
        """Raises UsageError where there is no agent, HplanError where one is damaged or of another version."""
        if not (folder / CARD).exists():
            part = (
                "is half trained: go on with `hplan train ... --resume`"
                if any((folder / name).exists() for name in ("stages", "request.json"))
                else "holds no agent"
            )
            raise UsageError(f"{folder} {part} (no {CARD})")
        try:
            card = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
            if card["format"] != FORMAT:
                again = f"hplan train {shlex.quote(card['task'])} --out DIR --seed {card['train'].get('seed', 0)}"
                raise HplanError(
                    f"{folder / CARD} is an agent of format {card['format']}, and this hplan reads {FORMAT}: train it "
                    f"again with `{again}`"
                )
            tensors, _ = read_tensors(folder / WEIGHTS)
            levels = [_level(k, entry, tensors) for k, entry in enumerate(card["level"])]
            return cls(
                task=card["task"],
                observation_spec=ObservationSpec(**_tuples(card["observation"])),
                action_spec=ActionSpec(**_tuples(card["action"])),
                levels=tuple(levels),
                calibration=tuple(Calibration(tensors[f"{CALIBRATION}/{k}"].numpy()) for k in range(len(levels))),
                tolerance=tuple(float(entry["tolerance"]) for entry in card["level"]),
                succeeds=tuple(entry["succeeds"] for entry in card["level"]),
                success_rule=card["success_rule"],
                train=card["train"],
                versions=card["versions"],
                edges=_edges(tensors, len(levels)),
            )
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise HplanError(f"{folder / CARD} is damaged ({error}); delete it and run again with --resume") from error
        except RuntimeError as error:
            raise HplanError(
                f"{folder / WEIGHTS} does not fit {CARD}; delete both and run again with --resume"
            ) from error


def level_class(kind: str) -> type[nn.Module]:
    """The class of a level by its kind; imported when asked for, so that a grid agent never loads what a maze needs."""
    if kind == "spatial":
        from hplan.levels.spatial import SpatialLevel

        return SpatialLevel
    if kind == "vector":
        from hplan.levels.vector import VectorLevel

        return VectorLevel
    raise HplanError(f"level of kind {kind!r}: this hplan knows spatial and vector")


def macro_text(level: WorldModel) -> str:
    spec = level.macro
    if spec.kind == "continuous":
        return f"{spec.size} numbers"
    return (
        f"{spec.size} event types x cell"
        if spec.pointed
        else f"{spec.size} {'actions' if level.index == 0 else 'codes'}"
    )


def _level(index: int, entry: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    level = level_class(entry["kind"])(**_tuples(entry["config"]))
    prefix = f"{index}/"
    kept = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    unused = {} if entry["succeeds"] else {k: v for k, v in level.state_dict().items() if k.startswith(HEAD)}
    level.load_state_dict(unused | kept)
    return level.eval().requires_grad_(False)


def _edges(tensors: Mapping[str, Tensor], levels: int) -> dict[int, LandmarkEdges]:
    found = {}
    for k in range(levels):
        prefix = f"{EDGES}/{k}/"
        if own := {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}:
            found[k] = LandmarkEdges.from_tensors(own)
    return found


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in table.items() if v is not None}


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
