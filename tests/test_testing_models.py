"""`check_model` and `check_encoder`: shipped levels and encoders pass, and each check finds the fault it is for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hplan
from hplan.levels.encoders import FeatureCodes, FourierEncoder
from hplan.testing import check_encoder, check_model
from hplan.testing.planners import Line
from hplan.types import Capabilities

PLACES = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["minigrid/DoorKey-8x8", "ogbench/pointmaze-giant-navigate"])
def test_every_level_of_shipped_agents_passes(name: str) -> None:
    agent, env = hplan.load(name), hplan.make(name)
    below = torch.stack([torch.from_numpy(agent.stack.codec.encode(env.reset(seed=seed)[0])) for seed in range(4)])
    for level in agent.stack.levels:
        check_model(level, below)
        below = level.encode(below)
    env.close()


@pytest.mark.parametrize("macro", ["discrete", "continuous"])
def test_a_model_with_known_answers_passes(macro: str) -> None:
    check_model(Line(macro), PLACES)


def test_a_model_that_knows_what_is_possible_passes() -> None:
    check_model(Able(), PLACES)


class Asymmetric(Line):
    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).clamp(min=0).sum(-1)


class Batchwise(Line):
    def encode(self, below: Tensor) -> Tensor:
        return below - below.mean(0)


class Random(Line):
    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return super().predict(z, macro) + torch.rand(z.shape)


class Writing(Line):
    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z.add_(1.0)


class Whole(Line):
    def encode(self, below: Tensor) -> Tensor:
        return below.round().long()


class Merging(Whole):
    capabilities = Capabilities(discrete=True)

    def keys(self, z: Tensor) -> Tensor:
        return z * 0


class Likelihood(Line):
    def prior(self, z: Tensor) -> Tensor:
        return super().prior(z).exp()


class Gambling(Line):
    outcomes: Any = staticmethod(lambda z, macro: (z[:, None].expand(-1, 2, -1), torch.ones(len(z), 2)))


class Pointless(Line):
    capabilities = Capabilities(events=True)


class Scalar(Line):
    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return self.distance(z, following).sum()


class Boundless(Line):
    def __init__(self) -> None:
        super().__init__("continuous")
        self.macro = type(self.macro)("continuous", 2, low=(-1.0,), high=(1.0,))


class Elsewhere(Line):
    landmarks: Any = torch.zeros(3, 2)


class Certain(Line):
    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.full((len(z),), -1.0)


class Able(Line):
    """It can go on from anywhere, in a step, and from nowhere else."""

    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        return torch.arange(len(z)), torch.full((len(z),), 2), torch.ones(len(z))

    def approach(self, z: Tensor, macro: Tensor) -> Any:  # type: ignore[override]
        return lambda below: torch.ones(len(below))


class Outside(Able):
    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, macros, steps = super().possible(z)
        return rows + 1, macros, steps


class Unknown(Able):
    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, macros, steps = super().possible(z)
        return rows, macros + 1, steps


class Instant(Able):
    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, macros, steps = super().possible(z)
        return rows, macros, steps / 2


class Forbidding(Able):
    def prior(self, z: Tensor) -> Tensor:
        return torch.tensor([-0.7, -0.7, -1e4]).expand(len(z), -1)


class Crowded(Able):
    def possible(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, macros, steps = super().possible(z)
        return rows, macros, steps * len(z)


class There(Able):
    def approach(self, z: Tensor, macro: Tensor) -> Any:
        return lambda below: torch.zeros(len(below))


class Nowhere(Able):
    def approach(self, z: Tensor, macro: Tensor) -> Any:
        return lambda below: torch.full((len(below),), torch.inf)


class Incomplete:
    index, stride = 0, 1.0


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Incomplete(), "lacks macro"),
        (Asymmetric(), "symmetric"),
        (Batchwise(), "batch"),
        (Random(), "two answers"),
        (Writing(), "wrote into its input"),
        (Whole(), "discrete=False"),
        (Merging(), "share a key"),
        (Likelihood(), "log probability"),
        (Gambling(), "add up to 1"),
        (Pointless(), "events"),
        (Scalar(), "compatibility: shape"),
        (Boundless(), "2 dimensions"),
        (Elsewhere(), "landmarks"),
        (Certain(), "below 0"),
        (Outside(), "possible: rows beyond the 5"),
        (Unknown(), "possible: macro-actions beyond 3"),
        (Instant(), "possible: a step takes less"),
        (Forbidding(), "possible: the prior rules out"),
        (Crowded(), "possible: a row's answer depends"),
        (There(), "approach: 0 steps"),
        (Nowhere(), "approach: inf steps"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_check_model_finds_faults(level: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_model(level, PLACES.clone())


@pytest.mark.parametrize("name", ["fourier", "mlp"])
def test_encoders_of_numbers_pass(name: str) -> None:
    check_encoder(name)


def cell_codes(*, latent: int, cardinalities: tuple[int, ...], **_: Any) -> FeatureCodes:
    return FeatureCodes(cardinalities, latent)


def test_encoders_of_symbols_pass() -> None:
    check_encoder("one-hot", inputs=(3, 4, 2), cardinalities=(5, 3))
    check_encoder(cell_codes, inputs=(2,), cardinalities=(5, 3))


@pytest.mark.parametrize("name", ["colours", "patches", "convolutional"])
@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 40, 1)])
def test_encoders_of_images_pass(name: str, shape: tuple[int, ...]) -> None:
    check_encoder(name, inputs=shape)


def test_an_encoder_of_films_passes() -> None:
    check_encoder("films", inputs=(32, 32, 12))


def test_an_encoder_without_parameters_passes() -> None:
    check_encoder("identity", inputs=(16,))


class Positional(FourierEncoder):
    def __init__(self, inputs: Any, size: int) -> None:
        super().__init__(inputs=inputs, latent=size)


class Wide(FourierEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation).repeat_interleave(2, -1)


class Flattening(FourierEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation.reshape(len(observation), -1, *observation.shape[-1:])[:, 0])


class Detached(FourierEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation).detach()


class Unbounded(FourierEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation) / 0


class Noisy(FourierEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation) + torch.rand(())


class Forgetful(FourierEncoder):
    def measure(self, observations: Tensor) -> None:
        self.middle = observations.mean(0)

    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation - getattr(self, "middle", 0.0))


class Idle(FourierEncoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.unused = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (Positional, "by name"),
        (Wide, "shape"),
        (Flattening, "leading|rows"),
        (Detached, "detach"),
        (Unbounded, "infinity"),
        (Noisy, "two answers"),
        (Forgetful, "load_state_dict"),
        (Idle, "unused"),
    ],
)
def test_check_encoder_finds_faults(encoder: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_encoder(encoder)
