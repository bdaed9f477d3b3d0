"""What a figure or an SVG shows, for the tests of charts: texts, lines and dots, not pixels."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np


def texts(svg: str) -> list[str]:
    """All texts of an SVG, which must be well-formed."""
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def line_data(axes: Any) -> dict[str, list[tuple[float, float]]]:
    """Points of the lines of an axes, by label; matplotlib's own labels begin with an underscore."""
    lines = {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.lines}
    return {name: [(x, y) for x, y in points] for name, points in lines.items() if not name.startswith("_")}
