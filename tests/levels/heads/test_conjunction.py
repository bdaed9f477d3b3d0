"""Several things at once: conditions are found by counting, and all of them have to hold."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hplan.levels.heads.conjunction import FEWEST, Conjunction, conjunction
from hplan.levels.level import Level
from hplan.levels.spaces import DiscreteMap

GROUNDS, TOKENS, ROWS = 6, 3, 2000
SPACE = SimpleNamespace(outside=GROUNDS * TOKENS, tokens=TOKENS)


def maps(seed: int, *, common: float) -> torch.Tensor:
    """(ROWS, 3, 3): each kind of ground is in so many of them, and one cell has a mover."""
    generator = torch.Generator().manual_seed(seed)
    ground = torch.zeros(ROWS, 9, dtype=torch.long)
    for kind in range(1, GROUNDS):
        ground[:, kind] = kind * (torch.rand(ROWS, generator=generator) < common).long()
    token = torch.randint(1, TOKENS, (ROWS,), generator=generator)
    z = ground * TOKENS
    z[:, 0] += token
    return z.view(ROWS, 3, 3)


def head_of(found: tuple[torch.Tensor, torch.Tensor]) -> Conjunction:
    head = Conjunction(conditions=len(found[0]), symbols=found[0].shape[1])
    head.kinds.copy_(found[0])
    head.somewhere.copy_(found[1])
    return head


def a_level() -> Level:
    """Which no conjunction looks at."""
    return Level(index=0, parts={})


@settings(max_examples=40)
@given(
    st.dictionaries(st.integers(1, GROUNDS - 1), st.booleans(), min_size=1, max_size=3),
    st.integers(0, 1000),
    st.sampled_from([0.3, 0.5, 0.7]),
)
def test_what_has_to_be_somewhere_or_nowhere_is_told(wanted: dict[int, bool], seed: int, common: float) -> None:
    z = maps(seed, common=common)
    there = [(z // TOKENS == kind).flatten(1).any(1) == somewhere for kind, somewhere in wanted.items()]
    success = torch.stack(there).all(0)
    positive, negative = (torch.nonzero(rows)[:, 0] for rows in (success, ~success))
    assume(len(positive) >= 50)
    found = conjunction(SPACE, z.__getitem__, positive, negative)
    assert found is not None
    logits = head_of(found)(a_level(), z)
    assert ((logits > 0) == success).all()
    assert logits.min() == 0.5 - len(found[0]) or len(found[0]) > len(wanted)


def test_a_token_may_be_a_condition() -> None:
    z = maps(0, common=0.5)
    success = (z % TOKENS == 2).flatten(1).any(1) & (z // TOKENS == 4).flatten(1).any(1)
    found = conjunction(SPACE, z.__getitem__, *(torch.nonzero(rows)[:, 0] for rows in (success, ~success)))
    assert found is not None and ((head_of(found)(a_level(), z) > 0) == success).all()


def test_what_nothing_tells_is_no_conjunction() -> None:
    z = maps(0, common=0.5)
    chance = torch.rand(ROWS, generator=torch.Generator().manual_seed(1)) < 0.3
    rows = [torch.nonzero(each)[:, 0] for each in (chance, ~chance)]
    assert conjunction(SPACE, z.__getitem__, *rows) is None
    success = (z // TOKENS == 4).flatten(1).any(1)
    few, others = torch.nonzero(success)[: FEWEST - 1, 0], torch.nonzero(~success)[:, 0]
    assert conjunction(SPACE, z.__getitem__, few, others) is None, "too few to read anything off"


def test_it_is_a_part_of_a_level_like_any_other() -> None:
    parts = {
        "space": {"kind": "discrete-map", "vocabulary": 2, "channels": 4},
        "success": {"kind": "conjunction", "conditions": 1, "symbols": 3},
    }
    level = Level(index=0, parts=parts)
    assert isinstance(level.space, DiscreteMap) and level.success is not None
    level.success_head.kinds[0, 1] = True
    again = Level(**level.config)
    again.load_state_dict(level.state_dict())
    z = torch.tensor([[[0, 0]], [[0, 1]]])
    assert again.success is not None and again.success(z).tolist() == [-0.5, 0.5]
