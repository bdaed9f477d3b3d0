"""Level 0 as tables of counts (`hplan.levels.tables`), where observations are a few discrete variables.

Two models are counted, and the one that tells more of play that neither has seen is kept:

    one variable   all numbers together are one state. Exact where play has met practically all that follows.
    several        every number is a variable, and depends on a few. It is the one that knows what play never combined.

What each variable depends on is found in `hplan.training.dependencies`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.levels.level import Level
from hplan.levels.tables import SAME, STATUSES, Conditional, read
from hplan.planning.value_iteration import values_of
from hplan.play.play import Play
from hplan.training.dependencies import MANY, MOST_STATES, Steps, factor

MOST_VARIABLES = 64  # more would be looked at in too many ways
CERTAIN = 0.999  # of steps ending as they mostly do: where it is more, they end in one way
KINDS = 256  # of rewards; more are told in so many steps
STRANGE = -20.0  # log probability of what a model calls impossible
FACTORED = 0.01  # nats a step that it may tell less, to know what was never combined


def told(play: Play) -> Tensor:
    """(N, F): the numbers of every observation; of a row of cells the first of each, since the others say its place."""
    seen = play.observations.long()
    return seen[:, 0, 0] if seen.shape[2] == 1 else seen[:, 0, :, 0]


def are_variables(play: Play) -> bool:
    """Whether observations are a few discrete variables: one cell, or a row of cells that say their places."""
    seen = play.observations
    if play.observation_spec.kind != "symbols" or seen.shape[1] != 1 or told(play).shape[1] > MOST_VARIABLES:
        return False
    place = torch.arange(seen.shape[2])
    return seen.shape[2] == 1 or (seen.shape[3] == 2 and bool((seen[:, 0, :, 1] == place).all()))


def table_level(play: Play, held: Play, discount: float, facts: dict[str, Any]) -> Level:
    """Level 0 of play; `held` decides which model it is. discount: of rewards. facts: for people, added to."""
    return _TableLevel(play, held, discount, facts).level()


@dataclass
class _TableLevel:
    play: Play
    held: Play
    discount: float
    facts: dict[str, Any]

    def level(self) -> Level:
        seen, held = told(self.play), told(self.held)
        models = list(self._models(seen, held))
        scores = [score for score, *_ in models]
        one = len(models) > 1 and scores[1] < scores[0] - FACTORED
        best = models[0] if len(models) == 1 or one else models[1]
        _, steps, tables, states = best
        self.facts["tables"] = {
            "variables": steps.before.shape[1] - 1,
            "states": len(states),
            "told": [round(score, 4) for score in scores],
            "reads": [int((table.weights != 0).any(0).sum()) for table in tables],
        }
        return self._made(steps, tables, states)

    def _models(self, seen: Tensor, held: Tensor) -> Iterator[tuple[float, Steps, list[Conditional], Tensor]]:
        """All numbers as one variable, where those are not too many; then each as one of its own."""
        states = torch.unique(seen, dim=0)
        if len(states) <= MOST_STATES:
            number = torch.unique(torch.cat([states, seen, held]), dim=0, return_inverse=True)[1]
            place = torch.full((int(number.max()) + 1,), len(states))
            place[number[: len(states)]] = torch.arange(len(states))
            which, other = place[number[len(states) :]][:, None].split([len(seen), len(held)])
            sizes = (len(states) + 1,)
            known = Steps.of(self.play, which, sizes)
            tables = [_joint(known, known.after[:, i], after=i == 1) for i in range(2)]
            yield told_of(tables, Steps.of(self.held, other, sizes)), known, tables, states
        if seen.shape[1] > 1:
            sizes = tuple((seen.amax(0) + 1).tolist())
            known = Steps.of(self.play, seen, sizes)
            tables = [factor(known, known.after[:, i], i) for i in range(len(sizes) + 1)]
            other = Steps.of(self.held, torch.minimum(held, seen.amax(0)), sizes)
            yield told_of(tables, other), known, tables, seen[:0]

    def _made(self, steps: Steps, tables: list[Conditional], states: Tensor) -> Level:
        play, count = self.play, steps.before.shape[1] - 1
        actions = play.action_spec
        sizes = steps.sizes
        likely = certainty(tables, steps)
        self.facts["certainty"] = round(likely, 4)
        level = Level(
            index=0,
            parts={
                "encoder": {
                    "kind": "variables",
                    "inputs": tuple(play.observation_spec.shape),
                    "sizes": sizes,
                    "states": len(states),
                },
                "space": {"kind": "variables", "sizes": sizes},
                "macros": {"kind": "actions", "action": "discrete", "size": actions.size, "names": actions.names},
                "dynamics": {
                    "kind": "tables",
                    "macros": actions.size,
                    "tables": tuple(tuple(table.sizes.values()) for table in tables),
                    "least": 1 if likely > CERTAIN else MANY,
                },
                "prior": {"kind": "known-steps"},
                "uncertainty": {"kind": "counted"},
                **({"success": {"kind": "status"}} if bool(play.success.any()) else {}),
            },
        )
        for part, table in zip(level.dynamics.tables, tables, strict=True):
            part.load_state_dict(table.state_dict())
        level.uncertainty_head.certainty.fill_(likely)
        if len(states):
            level.encoder.states.copy_(states)
            level.encoder.ends.copy_(_ends(steps, len(states) + 1))
        if level.success_head is None and bool(steps.reward.any()):
            self._pays(level, steps, count)
        self._breaks(level, steps)
        return level

    def _breaks(self, level: Level, steps: Steps) -> None:
        """Which steps break a rule, by whichever action; no head where play broke none."""
        broke = self.play.violation[self.play.starts(1)].long()
        if not bool(broke.any()):
            return
        known, count = replace(steps, macros=1, macro=torch.zeros_like(steps.macro)), len(steps.sizes)
        table = _decided(known, broke, count)
        sizes = table.sizes | {"columns": 2 * (count + 1)}
        level.made_anew("violation", kind="tables", **sizes).broke.load_state_dict(table.state_dict())

    def _pays(self, level: Level, steps: Steps, count: int) -> None:
        """What steps are paid, and what can be had from every latent, where all of them are known."""
        process = level.process
        if process is None:
            return
        kinds, which = torch.unique(steps.reward, return_inverse=True)
        if len(kinds) > KINDS:
            edges = torch.from_numpy(np.quantile(steps.reward.numpy(), np.linspace(0, 1, KINDS + 1)[1:-1]))
            which = torch.unique(torch.bucketize(steps.reward, edges), return_inverse=True)[1]
            kinds = torch.zeros(int(which.max()) + 1, dtype=torch.double).index_reduce_(
                0, which, steps.reward, "mean", include_self=False
            )
        paid = _decided(steps, which, count)
        sizes = paid.sizes | {"columns": 2 * (count + 1)}
        sizes |= {"macros": level.macro.size, "rewards": len(kinds), "latents": level.space.count}
        head = level.made_anew("returns", kind="tables", discount=self.discount, **sizes)
        head.paid.load_state_dict(paid.state_dict())
        head.rewards.copy_(kinds)
        nowhere = min(float(kinds.min()), 0.0) / (1 - self.discount)
        assert level.returns is not None
        head.values.copy_(torch.from_numpy(values_of(process, level.returns, nowhere))[::STATUSES])


def _ends(steps: Steps, count: int) -> Tensor:
    """(count,): the status of each state that play never went on from, as arriving there mostly had it; 0 of others."""
    arrivals = torch.zeros(count, STATUSES, dtype=torch.long)
    arrivals.index_put_((steps.after[:, 0], steps.after[:, 1]), torch.ones(len(steps.after), dtype=torch.long), True)
    ends = arrivals.argmax(1)
    ends[steps.before[:, 0]] = 0
    return ends


def _decided(steps: Steps, values: Tensor, count: int) -> Conditional:
    """The table of what is no variable and comes of a step, values (N,), of so many variables."""
    return _joint(steps, values, after=True) if count == 1 else factor(steps, values, count + 1)


def _joint(steps: Steps, values: Tensor, *, after: bool) -> Conditional:
    """The table of what the one variable that there is decides, values (N,): by what it was before, and was `after`."""
    weights, size = torch.zeros(steps.macros, 4, dtype=torch.long), steps.sizes[0]
    weights[:, 0], weights[:, 2] = 1, after * size * steps.macros
    return Conditional.fitted(weights, size * torch.arange(steps.macros), steps.macro, steps.columns, values + 1)


def told_of(tables: list[Conditional], steps: Steps) -> float:
    """Mean log probability of steps of play by some tables, of every variable and of the status."""
    total = torch.zeros(len(steps.macro), dtype=torch.double)
    for table, before, after in zip(tables, steps.before.T, steps.after.T, strict=True):
        rows = table.rows(steps.macro, steps.columns)
        same = torch.where(before == after, table.chance(rows, torch.full_like(after, SAME)), 0.0)
        total += (table.chance(rows, after + 1) + same).log().clamp(min=STRANGE)
    return float(total.mean())


def certainty(tables: list[Conditional], steps: Steps) -> float:
    """Share of steps of play that ended as they mostly do."""
    right = torch.ones(len(steps.macro), dtype=torch.bool)
    for table, before, after in zip(tables, steps.before.T, steps.after.T, strict=True):
        right &= read(table.usual[0][table.rows(steps.macro, steps.columns)], before) == after
    return float(right.float().mean())
