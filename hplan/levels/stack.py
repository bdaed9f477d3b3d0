"""The stack: levels, their thresholds and everything needed to use them again, in a folder of TOML and safetensors."""

from __future__ import annotations

import shlex
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from torch import Tensor

from hplan.codec import Codec
from hplan.config import SuccessRule
from hplan.files import write_atomically
from hplan.levels.calibration import Calibration
from hplan.levels.gallery import Gallery
from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.level import Level
from hplan.levels.tensors import read_tensors, write_tensors
from hplan.play.play import Play, lately, with_variable
from hplan.reading import Reading, Words, read_again, text_of
from hplan.types import (
    ActionSpec,
    HplanError,
    LevelInfo,
    Mission,
    MissionWarning,
    ObservationSpec,
    UsageError,
    WorldModel,
)

FORMAT = 7
METADATA, WEIGHTS = "agent.toml", "levels.safetensors"
CALIBRATION, EDGES, READING, GALLERY = "calibration", "edges", "reading", "gallery"  # of the tensors in WEIGHTS


@dataclass(frozen=True)
class Stack:
    """Levels, index 0 the finest, and what travels with them.

    codec: the encoding of its play. calibration: what surprise each level met on held-out play
    (`hplan.levels.calibration`). tolerance: distance of each level at which a goal observation counts as reached.
    success_rule, ordinary_reward: of the task (`hplan.config.TaskConfig`), as play had them.
    train: how it was trained, and versions with what, for people;
    `chances` in it also decides who plans (`hplan.planning.choice`). edges: the landmark graphs of the levels that have
    one. history: observations that level 0 sees at once. beginning: whether levels see their layout in the first one
    of the episode; first: that one. reading: how what episodes ask for is read, where play had several missions;
    asking: numbers of observations (D,) that say it, which level 0 does not
    look at; mission: that of an episode, canonical. gallery: frames of play, where there are images to show.
    """

    task: str
    codec: Codec
    levels: tuple[Level, ...]
    calibration: tuple[Calibration, ...]
    tolerance: tuple[float, ...]
    success_rule: SuccessRule = "auto"
    ordinary_reward: float | None = None
    train: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    edges: Mapping[int, LandmarkEdges] = field(default_factory=dict)
    history: int = 1
    beginning: bool = False
    first: np.ndarray | None = None
    reading: Reading | None = None
    asking: tuple[int, ...] = ()
    mission: Mission = ""
    gallery: Gallery | None = None

    @property
    def observation_spec(self) -> ObservationSpec:
        return self.codec.observation_spec

    @property
    def action_spec(self) -> ActionSpec:
        return self.codec.action_spec

    @property
    def offset(self) -> tuple[float, ...]:
        return self.codec.offset

    def draw(self, k: int, z: Tensor) -> np.ndarray | None:
        """A latent (*z) of level k as an image (H, W, C) uint8: drawn by the encoder of level 0, else the nearest frame
        that play showed; None where there is none."""
        draw = getattr(self.levels[0].encoder, "draw", None)
        if draw is None:
            return None if self.gallery is None else self.gallery.nearest(k, self.levels[k], z)
        for level in reversed(self.levels[1 : k + 1]):
            z = level.encoder.instance(z) if hasattr(level.encoder, "instance") else z
        return draw(z)

    def with_gallery(self, play: Play) -> Stack:
        """The same with frames of this play to show; none where the world shows no images, where what is seen can be
        drawn, or where a latent means nothing without the first frame of its episode."""
        encoder = self.levels[0].encoder
        if self.observation_spec.kind != "image" or hasattr(encoder, "draw") or self._beside:
            return self
        return replace(self, gallery=Gallery.of(self.levels, self.seen(play), self.observation_spec.picture))

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
            edges={k: edges for k, edges in self.edges.items() if k < count},
        )

    def conditioned(self, context: np.ndarray | None) -> Stack:
        """The stack in the layout (rows, columns) of an episode: levels that see it, with the same weights. Raises
        UsageError for an image where none is expected, and for one of another number of dimensions."""
        if context is None:
            return self
        expected = self.observation_spec.context
        if np.ndim(context) != len(expected):
            raise UsageError(f"context of shape {np.shape(context)}; this agent expects {expected or 'none'}")
        image = torch.from_numpy(np.asarray(context, np.float32))[None]
        return replace(self, levels=tuple(level.conditioned(image) for level in self.levels))

    def begun(self, observation: np.ndarray) -> Stack:
        """The stack in an episode that begins with this observation, in canonical form."""
        if not self.beginning:
            return self
        image = torch.from_numpy(observation.astype(np.float32))[None]
        return replace(self, first=observation, levels=tuple(level.conditioned(image) for level in self.levels))

    def asked(self, mission: Mission) -> Stack:
        """The stack in an episode that asks for this: levels whose heads read it, with the same weights. Warns
        (`MissionWarning`) of one that is unlike those of play, or that nobody reads though play never asked for it.
        Raises UsageError where nothing of it is known (`hplan.reading`)."""
        said, read = "", mission
        if self.reading is not None and mission:
            read, said = self.reading.understood(mission, self.task)
        elif mission and (met := self.train.get("missions")) and text_of(mission) not in met:
            known = ", ".join(map(repr, met[:3])) + ("" if len(met) < 4 else f" and {len(met) - 3} more")
            said = (
                f"mission {text_of(mission)!r}: play of {self.task} asked for {known}, and the agent reads no "
                f"missions: it goes by what {'was paid' if self.paid else 'counted as success'} there"
            )
        if said:
            warnings.warn(said, MissionWarning, stacklevel=3)
        if self.reading is None:
            return self
        code = torch.from_numpy(self.reading.code(read)) if read else None
        return replace(self, mission=read, levels=tuple(level.asked(code) for level in self.levels))

    def check_sees(self, kind: str, shape: tuple[int, ...], what: str) -> None:
        """Raises UsageError where level 0 cannot read observations of that kind and shape, which are those of `what`.
        Maps may be of any size, be they of symbols or of tiles."""
        known = self.observation_spec
        whole = known.kind != "symbols" and not self.levels[0].capabilities.discrete
        if kind != known.kind or shape[-1] != known.shape[-1] or (whole and shape != known.shape):
            raise UsageError(f"{what} shows {kind} {shape}; {self.task} sees {known.kind} {known.shape}")

    def seen(self, play: Play) -> Play:
        """Play as level 0 sees it."""
        if self.beginning:
            play = play.in_sight()
        play = play.asked_by(self.asking)
        play = replace(play.with_history(self.history, beginning=self._beside), reading=self.reading)
        return play.with_missions() if self.counts_missions else play

    @property
    def paid(self) -> bool:
        """Whether rewards are what it aims for."""
        return any(level.returns for level in self.levels)

    @property
    def _beside(self) -> bool:
        """Whether level 0 sees each observation beside the first one of the episode."""
        return self.beginning and self.levels[0].encoder.beginning

    @property
    def counts_missions(self) -> bool:
        """Whether the mission is a variable beside the observation, as it is to tables."""
        return self.reading is not None and getattr(self.levels[0].encoder, "counted", False)

    def together(self, observations: np.ndarray, before: Sequence[np.ndarray] = ()) -> Tensor:
        """Observations (B, ...) as level 0 sees them, with those before them, as in `encode`."""
        newest_first = [observations, *before][: self.history]
        newest_first += [newest_first[-1]] * (self.history - len(newest_first))
        if self._beside:
            first = observations if self.first is None else np.repeat(self.first[None], len(observations), 0)
            newest_first.append(first)
        seen = lately([torch.from_numpy(np.ascontiguousarray(one)) for one in newest_first])
        if not self.counts_missions:
            return seen
        assert self.reading is not None
        return with_variable(seen, torch.full((len(seen),), self.reading.number(self.mission)))

    @torch.inference_mode()
    def encode(self, observation: np.ndarray, before: Sequence[np.ndarray] = ()) -> tuple[Tensor, ...]:
        """One observation in canonical form -> one latent (*z) per level. before: those before it in the episode, the
        newest first, of which `history - 1` count; the first stands for what came before it. Where the first one
        of the episode is not known (`begun`), this one is."""
        z = self.together(observation[None], [one[None] for one in before])
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
        """Weights first, then the metadata: a folder with metadata is whole."""
        tensors: dict[str, Tensor] = {}
        for k, level in enumerate(self.levels):
            tensors |= {f"{k}/{name}": _short(values) for name, values in level.state_dict().items()}
            tensors[f"{CALIBRATION}/{k}"] = torch.from_numpy(self.calibration[k].errors)
        reading, numbers = ({}, {}) if self.reading is None else self.reading.saved()
        tensors |= {f"{READING}/{name}": torch.from_numpy(values) for name, values in numbers.items()}
        for k, edges in self.edges.items():
            tensors |= {f"{EDGES}/{k}/{name}": values for name, values in edges.tensors().items()}
        if self.gallery is not None:
            tensors |= {f"{GALLERY}/{name}": values for name, values in self.gallery.tensors().items()}
        write_tensors(folder / WEIGHTS, tensors, {"format": str(FORMAT)})
        metadata = {
            "format": FORMAT,
            "task": self.task,
            "success_rule": self.success_rule,
            **({} if self.ordinary_reward is None else {"ordinary_reward": self.ordinary_reward}),
            "history": self.history,
            "beginning": self.beginning,
            **({"asking": self.asking} if self.asking else {}),
            "codec": self.codec.to_dict(),
            **({"reading": reading} if reading else {}),
            "train": _plain(self.train),
            "versions": self.versions,
            "level": [
                {"tolerance": tolerance, **_plain(level.config)}
                for level, tolerance in zip(self.levels, self.tolerance, strict=True)
            ],
        }
        write_atomically(folder / METADATA, tomli_w.dumps(metadata))

    @classmethod
    def load(cls, folder: Path) -> Stack:
        """Raises UsageError where there is no agent, HplanError where one is damaged or of another version."""
        if not (folder / METADATA).exists():
            part = (
                "is half trained: go on with `hplan train ... --resume`"
                if any((folder / name).exists() for name in ("stages", "request.json"))
                else "holds no agent"
            )
            raise UsageError(f"{folder} {part} (no {METADATA})")
        try:
            metadata = tomllib.loads((folder / METADATA).read_text(encoding="utf-8-sig"))
            if metadata["format"] != FORMAT:
                task, seed = shlex.quote(metadata["task"]), metadata["train"].get("seed", 0)
                raise HplanError(
                    f"{folder / METADATA} is an agent of format {metadata['format']}, and this hplan reads {FORMAT}: "
                    f"train it again with `hplan train {task} --out DIR --seed {seed}`"
                )
            tensors, _ = read_tensors(folder / WEIGHTS)
            reading = _reading(metadata, tensors)
            levels = tuple(_level(k, entry, tensors) for k, entry in enumerate(metadata["level"]))
            return cls(
                task=metadata["task"],
                codec=Codec.from_dict(metadata["codec"], metadata["task"]),
                levels=levels,
                calibration=tuple(Calibration(tensors[f"{CALIBRATION}/{k}"].numpy()) for k in range(len(levels))),
                tolerance=tuple(float(entry["tolerance"]) for entry in metadata["level"]),
                success_rule=metadata["success_rule"],
                ordinary_reward=metadata.get("ordinary_reward"),
                train=metadata["train"],
                versions=metadata["versions"],
                edges=_edges(tensors, len(levels)),
                history=metadata.get("history", 1),
                beginning=metadata.get("beginning", False),
                reading=reading,
                asking=tuple(metadata.get("asking", ())),
                gallery=_gallery(tensors),
            )
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # the first also of TOML, the last of spaces
            what = f"{folder / METADATA} is damaged ({error}); delete it and run again with --resume"
            raise HplanError(what) from error
        except RuntimeError as error:
            raise HplanError(
                f"{folder / WEIGHTS} does not fit {METADATA}; delete both and run again with --resume"
            ) from error


def macro_text(level: WorldModel) -> str:
    """The macro-actions of a level in a few words."""
    spec = level.macro
    if spec.kind == "continuous":
        return f"{spec.size} numbers"
    return (
        f"{spec.size} event types x cell"
        if spec.pointed
        else f"{spec.size} {'actions' if level.index == 0 else 'codes'}"
    )


def _level(index: int, entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Level:
    level = Level(index=index, stride=entry["stride"], parts=entry["parts"])
    prefix = f"{index}/"
    level.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return level.eval().requires_grad_(False)


def _reading(metadata: dict[str, Any], tensors: Mapping[str, Tensor]) -> Reading | None:
    """How missions are read. Of agents from when each head over maps had the words itself, the heads are made as they
    are now."""
    if saved := metadata.get("reading"):
        prefix = f"{READING}/"
        own = {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
        return read_again(saved, own)
    found = None
    for entry in metadata["level"]:
        head = entry["parts"].get("success", {})
        words, met = head.pop("words", ()), head.pop("missions", ())
        if words:
            head["mission"], found = len(words), Words(tuple(words), tuple(met))
    return found


def _edges(tensors: Mapping[str, Tensor], levels: int) -> dict[int, LandmarkEdges]:
    found = {}
    for k in range(levels):
        prefix = f"{EDGES}/{k}/"
        if own := {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}:
            found[k] = LandmarkEdges.from_tensors(own)
    return found


def _gallery(tensors: Mapping[str, Tensor]) -> Gallery | None:
    prefix = f"{GALLERY}/"
    own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return Gallery.from_tensors(own) if own else None


def _short(values: Tensor) -> Tensor:
    """In half precision, where nothing is lost by it: weights are rounded to it as soon as they are trained."""
    if values.dtype != torch.float32:
        return values
    half = values.half()
    return half if torch.equal(half.float(), values) else values


def _plain(value: Any) -> Any:
    """As TOML has it: lists for tuples, and nothing for None."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
