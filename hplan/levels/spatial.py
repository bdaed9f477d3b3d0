"""One level of the stack over spatial latents (C, H, W): encoder, predictor, prior, posterior, success head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels import cells as parts
from hplan.levels import focus
from hplan.levels.cells import event_of, lookup, nearest, similarity
from hplan.levels.timescales import SlowEncoder, functions_of
from hplan.objectives.criterion import Criterion
from hplan.objectives.infonce import TEMPERATURE
from hplan.objectives.whole_batch import whole_batch
from hplan.types import MacroSpec

CERTAIN = 0.9  # a level of which fewer steps end as they mostly do is modelled and planned for as a stochastic one
OUTCOMES = 4  # ways in which one step may end that planning under uncertainty looks at
IMPOSSIBLE = -1e4  # log probability of a macro-action that play never showed


class SpatialLevel(nn.Module):
    """A world model whose latent keeps the map: every cell is one of V known symbols, embedded as a unit vector.

    Level 0 (`cells` given) embeds observed cells and takes environment actions. A level above (`below` given) embeds
    each cell's slow coordinates (`hplan.levels.timescales`) and has the sets that they tell apart for symbols; its
    macro-actions are *events*: (type, cell) pairs, where `edits[type]` = (symbol before, symbol after). All satisfy
    `hplan.types.WorldModel`.
    """

    kind = "spatial"
    exact = True
    stride_: Tensor
    certainty_: Tensor
    codes: Tensor
    supported: Tensor
    typical_change: Tensor
    hop_threshold: Tensor
    movers: Tensor
    focused: Tensor
    inputs: Tensor
    table: Tensor
    cells: Tensor
    edits: Tensor

    def __init__(
        self,
        *,
        index: int,
        vocabulary: int,
        macros: int,
        channels: int = 24,
        hidden: int = 48,
        cardinalities: tuple[int, ...] = (),
        below: tuple[int, int] = (0, 0),
        macro_names: tuple[str, ...] = (),
        identity: bool = False,
    ) -> None:
        """`vocabulary`: V; `macros`: actions (level 0) or event types; `below`: (V, C) of the level below, above 0;
        `identity`: above level 0, the symbols of the level below are taken as they are, for ablation."""
        super().__init__()
        self.index = index
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.macro = MacroSpec("discrete", macros, pointed=index > 0, names=tuple(macro_names))
        self.channels = channels
        self.register_buffer("stride_", torch.tensor(1.0))
        self.register_buffer("certainty_", torch.tensor(1.0))
        self.register_buffer("codes", torch.zeros(vocabulary, channels))  # frozen by `freeze`
        self.register_buffer("supported", torch.ones(macros, dtype=torch.bool))
        self.register_buffer("typical_change", torch.tensor(1.0))  # cells that one step changes: the unit of `distance`
        self.register_buffer("hop_threshold", torch.tensor(0.0))  # -log p of real events: the zero of `compatibility`
        self.register_buffer("focused", torch.tensor(False))  # a step changes nothing but next to one cell: `focus`
        self.register_buffer("movers", torch.zeros(vocabulary, dtype=torch.bool))  # level 0: symbols of that cell
        self.prior_net: nn.Module
        if index == 0:
            self.prior_net = parts.Affordance(channels, hidden // 3, macros)
            self.register_buffer("cells", torch.zeros(vocabulary, len(cardinalities), dtype=torch.long))
            self.embed: nn.Module = parts.CellEncoder(tuple(cardinalities), channels, hidden)
        else:
            self.register_buffer("edits", torch.zeros(macros, 2, dtype=torch.long))
            # Latents below are exact: which symbol each of them is here needs the encoder only once.
            self.register_buffer("inputs", torch.zeros(below))
            self.register_buffer("table", torch.zeros(below[0], dtype=torch.long))
            self.embed = nn.Identity() if identity else SlowEncoder(below[1], functions_of(below[0]), channels)
            self.prior_net = parts.EventPrior(channels, hidden, macros)
        self.predictor = parts.SpatialPredictor(channels, hidden, macros, pointed=index > 0)
        self.success = parts.SuccessHead(channels, hidden // 2)

    @property
    def certainty(self) -> float:
        """Share of steps of play that ended as the same action in the same place mostly does; 1: no chance in it."""
        return float(self.certainty_)

    @property
    def stride(self) -> float:
        return float(self.stride_)

    # ------------------------------------------------------------------------------------------------- WorldModel

    def encode(self, below: Tensor) -> Tensor:
        """Observations (B, H, W, F) or latents (B, C, H, W) of the level below -> (B, C, H, W)."""
        if self.index > 0:
            return self.decode(self.table[lookup(below, self.inputs)])
        return self.decode(nearest(self.embed(below).movedim(-1, 1), self.codes))

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, C, H, W), (B,) -> (B, C, H, W), every cell snapped to a known one, so that equal futures are equal."""
        if not self.focused:
            return self.decode(nearest(self.predictor(z, macro), self.codes))
        at = self.focus_of(self.symbols(z), macro)
        return focus.paste(z, at, self.decode(nearest(self._next_to(z, at, macro), self.codes)))

    def focus_of(self, symbols: Tensor, macro: Tensor) -> Tensor:
        """(B,): the flat cell of symbols (B, H, W) next to which a step changes them, for a level that is `focused`. A
        map without a mover, which only a mistaken level imagines, has it in the corner."""
        if self.index > 0:
            return macro % symbols.shape[1:].numel()
        return self._mover(symbols)

    def _mover(self, symbols: Tensor) -> Tensor:
        return self.movers[symbols].flatten(1).long().argmax(1)

    def _next_to(self, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """What the predictor says of the cells next to `at`: (B, C, H, W), (B,), (B,) -> (B, C, 3, 3)."""
        return focus.centre(self.predictor, focus.crop(z, at, focus.SIGHT), macro, z.shape[-2] * z.shape[-1])

    def outcomes(self, z: Tensor, macro: Tensor, most: int = OUTCOMES) -> tuple[Tensor, Tensor]:
        """(B, C, H, W), (B,) -> latents (B, K, C, H, W) and probabilities (B, K): ways in which a step may end.

        Known where the latent is a single cell; for larger ones the likeliest alone, since which cells change together
        is not modelled.
        """
        if z.shape[-1] * z.shape[-2] > 1:
            return self.predict(z, macro)[:, None], torch.ones(len(z), 1)
        chance = (similarity(self.predictor(z, macro), self.codes) / TEMPERATURE).softmax(-1)[:, 0, 0]
        top, symbols = chance.topk(min(most, chance.shape[-1]))
        return self.codes[symbols][..., None, None], top / top.sum(1, keepdim=True)

    def prior(self, z: Tensor) -> Tensor:
        """Level 0: log p of each action changing anything here; above: of each event coming next. Both are learned."""
        if self.index == 0:
            if self.focused:
                z = focus.crop(z, self._mover(self.symbols(z)), focus.SIGHT)
            return torch.where(self.supported, self.prior_net(z), IMPOSSIBLE)
        return self.event_prior(z, self.symbols(z))

    def event_prior(self, z: Tensor, symbols: Tensor, rounds: int | None = None) -> Tensor:
        """log p of every event, (B, types * H * W): only where the symbol that it changes is there to be changed."""
        there = (symbols.flatten(1)[:, None] == self.edits[:, :1]).flatten(1)
        log_p = self.prior_net(z, rounds).masked_fill(~there, IMPOSSIBLE).log_softmax(-1)
        return log_p.masked_fill(~there, IMPOSSIBLE)  # also where there is none at all, and the softmax is even

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (self.symbols(z) != self.symbols(other)).flatten(1).sum(1) / self.typical_change

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        """-log p of the macro-action that leads from z to `following`, above what real steps need; <= 0 is real."""
        if self.index == 0:
            steps = torch.arange(self.macro.size, device=z.device).repeat_interleave(len(z))
            reached = self.predict(z.repeat(self.macro.size, 1, 1, 1), steps)
            return self.distance(reached, following.repeat(self.macro.size, 1, 1, 1)).view(-1, len(z)).amin(0)
        macro, known = self.posterior(z, following)
        log_p = self.prior(z).gather(1, macro[:, None])[:, 0]
        return torch.where(known, -log_p - self.hop_threshold, -IMPOSSIBLE)

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        """Cells that are expected to turn out otherwise than `predict` says: what the likeliest symbol of each lacks to
        certainty. Chances are what a stochastic world taught (`prediction_loss`); in a certain one there are none."""
        if self.certainty >= CERTAIN:
            return torch.zeros(len(z), device=z.device)
        if self.focused:
            at = self.focus_of(self.symbols(z), macro)
            following = self._next_to(z, at, macro)
            inside = focus.crop(torch.ones_like(z[:, 0]), at, focus.REACH)
        else:
            following, inside = self.predictor(z, macro), torch.ones_like(z[:, 0])
        chance = (similarity(following, self.codes) / TEMPERATURE).softmax(-1).amax(-1)
        return ((1 - chance) * inside).flatten(1).sum(1) / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        return self.symbols(z).flatten(1)

    # --------------------------------------------------------------------------------------------------- the rest

    def symbols(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H, W) int64: which known symbol each cell is."""
        return lookup(z, self.codes)

    def decode(self, symbols: Tensor) -> Tensor:
        """(B, H, W) -> (B, C, H, W): the latent in which every cell is exactly the known symbol."""
        return self.codes[symbols].movedim(-1, 1)

    def posterior(self, z: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """q(m | z, z'): the event that turned z into `following`, (B,) int64, and whether its type is known, (B,)."""
        return event_of(self.symbols(z), self.symbols(following), self.edits)

    def embeddings(self, embed: nn.Module | None = None) -> Tensor:
        """(V, C): the codes as the encoder, or a copy of it, gives them now; differentiable, for training."""
        if self.index > 0:
            return self.codes  # what is slow was learned before
        return (self.embed if embed is None else embed)(self.cells)

    def freeze(self) -> None:
        """Store what the encoder says; nothing of it moves after this. Above level 0, `inputs` must be known."""
        with torch.no_grad():
            self.codes.copy_(self.embeddings())
            if self.index > 0:
                self.table.copy_((self.embed(self.inputs) @ self.codes.T).argmax(-1))
        for parameter in self.embed.parameters():
            parameter.requires_grad_(False)

    def prediction_loss(
        self, before: Tensor, macro: Tensor, after: Tensor, criterion: Criterion, *, rare: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """How well each predicted cell agrees with its own symbol, by `criterion`; symbols (B, H, W) in.

        The candidates are the whole vocabulary, so that under InfoNCE no two cells that play can tell apart may share a
        latent: it cannot collapse. `rare`: in a certain world changed cells weigh as much as all the others together;
        in a stochastic one that would bend the chances, and all cells weigh alike.
        """
        codes = self.embeddings()
        copy = criterion.follow(self.embed)
        candidates = codes if copy is None else self.embeddings(copy)
        happened = (before != after).flatten(1).any(1).float()
        if self.focused:
            size, at = before[0].numel(), self.focus_of(before, macro)
            beyond = F.pad(codes, (0, 0, 0, 1))  # the cells outside the map, as a convolution pads it
            z = beyond[focus.crop(before, at, focus.SIGHT, outside=len(codes))].movedim(-1, 1)
            predicted = focus.centre(self.predictor, z, macro, size)
            before = focus.crop(before, at, focus.REACH, outside=-1)
            after = focus.crop(after, at, focus.REACH, outside=-1)
        else:
            z = codes[before].movedim(-1, 1)
            predicted = self.predictor(z, macro)
        inside = before >= 0
        each = criterion.objective.agreement(predicted.movedim(1, -1)[inside], candidates, after[inside])
        changed = (before != after)[inside].float()
        loss = each.mean()
        if rare and self.certainty >= CERTAIN:
            changes = whole_batch(changed.sum()[None]).mean().clamp(min=1)  # on each device, where there are several
            loss = (each * changed).sum() / changes + 0.5 * (each * (1 - changed)).sum() / len(before)
        # Unit vectors in C dimensions vary by one in each of them if they are this much longer.
        spread = criterion.objective.spread(codes * self.channels**0.5)
        total = loss + spread
        if self.index == 0:
            able = self.prior_net(z.detach()).gather(1, macro[:, None])[:, 0]
            able = able.clamp(max=-1e-6)
            total = total - (happened * able + (1 - happened) * torch.log1p(-able.exp())).mean()
        with torch.no_grad():
            exact = ((nearest(predicted, codes) == after) | ~inside).flatten(1).all(1).float().mean()
        return total, {"prediction": loss.detach(), "spread": spread.detach(), "exact": exact}
