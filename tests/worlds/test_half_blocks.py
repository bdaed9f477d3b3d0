"""Images as text: two pixels a character, with colours, and back again for a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.text import Text

from hplan.registry import load_task, make_world
from hplan.report.page import ACROSS, png
from hplan.worlds.half_blocks import UPPER, WIDEST, half_blocks


@given(st.integers(1, 9), st.integers(1, 70), st.sampled_from([1, 3, 6]), st.integers(0, 1000))
def test_every_two_rows_of_pixels_are_a_line(height: int, width: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 3, (height, width, channels)).astype(np.uint8) * 100
    step = -(-width // WIDEST)
    text = Text.from_ansi(half_blocks(image))
    lines = text.plain.splitlines()
    assert lines == [UPPER * -(-width // step)] * -(-len(range(0, height, step)) // 2)


def test_a_page_shows_the_image_that_was_drawn() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    image[:, 10:40] = 7
    shown = png(half_blocks(image))
    data = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))))
    assert data.shape == (ACROSS, ACROSS, 3)
    assert np.array_equal(data[:: ACROSS // 64, :: ACROSS // 64], image)
    assert png("###\n#@#") == ""


def test_worlds_of_images_are_drawn_so() -> None:
    for name in ("visual/pointmaze-medium-navigate", "visual/two-room", "visual/DoorKey-8x8"):
        env = make_world(load_task(name), "eval")
        frame, _ = env.reset(seed=0)
        assert env.render() == half_blocks(frame)
        env.close()
