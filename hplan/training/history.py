"""Whether one observation says what comes next, or it takes the ones before it, too: found from play.

A position says where a thing is, and not how fast it goes; two of them do. So what an action changes is predicted from
the last n observations, for n = 1, 2, 4, on episodes that the prediction did not see:

    error(n) = mean | o_{t+1} - o_t - f_n(o_t, ..., o_{t-n+1}, a_t) | / mean | o_{t+1} - o_t |        number by number

More are taken where, for one of the numbers at least, `PAYS` of the error is gone with them. What a sensor is off by
averages out too, but slower: two observations leave 0.87 of that error, and four 0.79. f_n is ridge regression on the
observations and on random features of them (Rahimi and Recht, 2007, "Random features for large-scale kernel machines").
For symbols f_n is what play showed most often, and the error how often that was wrong.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.play.play import Play

LENGTHS = (1, 2, 4)  # of histories that are tried
PAYS = 0.35  # of the error has to go
SMALL = 0.4  # of how much it changes: what is off by less may be so because a wall is, which the last step tells of
SELDOM = 0.05  # symbols may be predicted wrong as often
ROWS, FEATURES, RIDGE = 20_000, 512, 1e-3
LEAST = 200  # rows, of either half, that a judgement takes
QUARTERS = 4  # of the range of a continuous action: what it does to symbols is counted for each
TESTED = 0.5  # of the rows have to be met on the other half for symbols to be judged


@torch.no_grad()
def history_of(play: Play, seed: int) -> int:
    """Observations that level 0 has to see at once, the last one among them. `play.below`: vectors (N, D), or symbols
    (N, H, W, F), of which those of a single cell are judged; maps need one."""
    symbols = play.observation_spec.kind == "symbols"
    if symbols and play.below[0, ..., 0].numel() > 1:
        return 1
    rows, odd = judged_on(play, seed)
    if min(int(odd.sum()), int((~odd).sum())) < LEAST:
        return 1
    taken = LENGTHS[0]
    measured, small = (_confusion, SELDOM) if symbols else (errors, SMALL)
    error = measured(play, rows, odd, taken, seed)
    for length in LENGTHS[1:]:
        other = measured(play, rows, odd, length, seed)
        if not bool(((error > small) & (other < (1 - PAYS) * error)).any()):
            break
        taken, error = length, other
    return taken


def judged_on(play: Play, seed: int) -> tuple[Tensor, Tensor]:
    """(K,) rows of play at random, with as many before them as any history takes; (K,) bool: of odd episodes."""
    within = torch.arange(len(play)) - play.begins[play.episode]
    rows = torch.nonzero((within >= LENGTHS[-1] - 1) & (play.remaining > 0))[:, 0]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:ROWS].sort().values]
    return rows, play.episode[rows] % 2 == 1


def _seen(play: Play, rows: Tensor, length: int) -> Tensor:
    """(K, length, ...): the last observations of each row, the newest first."""
    return play.below[rows[:, None] - torch.arange(length)]


def errors(play: Play, rows: Tensor, odd: Tensor, length: int, seed: int, beside: Tensor | None = None) -> Tensor:
    """(D,): of each number of vectors, what its change is off by, on average; in units of how much that is. beside
    (K, M): what else may tell it, and change what the last observation and the action tell."""
    seen = _seen(play, rows, length).double()
    change = play.below[rows + 1].double() - seen[:, 0]
    change = change - change.mean(0)
    size = change.abs().mean(0)
    spread = seen[:, 0].std(0).clamp(min=1e-9)
    parts = [((seen[:, 0] - seen[:, 0].mean(0)) / spread)]
    if length > 1:  # as differences: they are small beside the numbers themselves
        steps = seen[:, :-1] - seen[:, 1:]
        parts.append(((steps - steps.mean(0)) / steps.std(0).clamp(min=1e-9)).flatten(1))
    if play.action_spec.kind == "discrete":
        parts.append(F.one_hot(play.actions[rows], play.action_spec.size).double())
    else:
        parts.append(play.actions[rows].double() / play.actions.double().std(0).clamp(min=1e-9))
    x = torch.cat(parts, 1)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(x.shape[1], FEATURES, generator=generator, dtype=torch.double) / x.shape[1] ** 0.5
    phases = 2 * torch.pi * torch.rand(FEATURES, generator=generator, dtype=torch.double)
    more = [] if beside is None else [beside, (beside[:, :, None] * x[:, None]).flatten(1)]
    x = torch.cat([torch.ones(len(x), 1).double(), x, 2**0.5 * (x @ directions + phases).cos(), *more], 1)
    error = torch.zeros_like(change)
    for learned, tested in ((odd, ~odd), (~odd, odd)):
        gram = x[learned].T @ x[learned] + RIDGE * int(learned.sum()) * torch.eye(x.shape[1]).double()
        error[tested] = (change[tested] - x[tested] @ torch.linalg.solve(gram, x[learned].T @ change[learned])).abs()
    return torch.where(size > 0, error.mean(0) / size.clamp(min=1e-12), 0)


def _confusion(play: Play, rows: Tensor, odd: Tensor, length: int, seed: int) -> Tensor:
    """(1,): how often what mostly came next, on the other half, did not; of rows that are met there."""
    past = torch.cat([_seen(play, rows, length).flatten(1).long(), _choices(play, rows)], 1)
    state = torch.unique(past, dim=0, return_inverse=True)[1]
    after = torch.unique(play.below[rows + 1].flatten(1), dim=0, return_inverse=True)[1]
    wrong, met = torch.zeros(len(rows), dtype=torch.bool), torch.zeros(len(rows), dtype=torch.bool)
    for learned, tested in ((odd, ~odd), (~odd, odd)):
        pair, count = torch.unique(torch.stack([state[learned], after[learned]], 1), dim=0, return_counts=True)
        pair = pair[count.argsort(stable=True)]  # the most frequent comes last, and is the one
        last = torch.full((int(state.max()) + 1,), -1).scatter_reduce_(0, pair[:, 0], torch.arange(len(pair)), "amax")
        expected = torch.where(last < 0, -1, pair[last, 1])[state[tested]]
        met[tested], wrong[tested] = expected >= 0, (expected >= 0) & (expected != after[tested])
    if met.float().mean() < TESTED:
        return torch.ones(1)  # too many states to have met them twice: nothing is known of so many
    return wrong.sum(0, keepdim=True) / met.sum()


def _choices(play: Play, rows: Tensor) -> Tensor:
    """(K, 1), or (K, A): the actions of these rows as whole numbers; of continuous ones, the quarter of their range."""
    spec = play.action_spec
    if spec.kind == "discrete":
        return play.actions[rows, None].long()
    low, high = torch.tensor(spec.low), torch.tensor(spec.high)
    share = (play.actions[rows] - low) / (high - low).clamp(min=1e-9)
    return (QUARTERS * share).long().clamp(0, QUARTERS - 1)
