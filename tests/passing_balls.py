"""DoorKey with balls that move by themselves, to a cell next to theirs before each step."""

from __future__ import annotations

from typing import Any

from minigrid.core.world_object import Ball
from minigrid.envs.doorkey import DoorKeyEnv


class PassingBalls(DoorKeyEnv):
    def __init__(self, count: int = 3, colour: str = "red", **options: Any) -> None:
        self.count, self.colour, self.balls = count, colour, list[Ball]()
        super().__init__(size=8, max_steps=200, **options)

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        self.balls = [Ball(self.colour) for _ in range(self.count)]
        for ball in self.balls:
            self.place_obj(ball)

    def step(self, action: Any) -> Any:
        for ball in self.balls:
            if ball is self.carrying:
                continue
            assert ball.cur_pos is not None
            column, row = map(int, ball.cur_pos)
            near = [(column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
            free = [at for at in near if self.grid.get(*at) is None and at != tuple(self.agent_pos)]
            if free:
                self.grid.set(column, row, None)
                self.put_obj(ball, *free[self._rand_int(0, len(free))])
        return super().step(action)
