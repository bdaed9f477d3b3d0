"""How everything that is drawn looks: one palette for light and dark, matplotlib without the caller's settings, SVG.

The colours of series are those of Okabe and Ito (2008), which colour-blind readers tell apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hplan.types import HplanError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (light, dark); no two light colours are the same, because dark ones are found by them
INK, SOFT, LINE = ("#1d2330", "#e4e7ec"), ("#5d6879", "#a3adbb"), ("#dce1e8", "#2f3643")
PAGE, CARD = ("#ffffff", "#12151b"), ("#f6f7f9", "#1a1f28")
PALETTE = (
    ("#0072b2", "#4aa8e8"),  # blue
    ("#d55e00", "#ff8c4a"),  # vermilion
    ("#009e73", "#35c99b"),  # bluish green
    ("#c9679f", "#e59fc6"),  # reddish purple
    ("#b8860b", "#f0c04a"),  # orange, darkened for text on white
    ("#56b4e9", "#a5dbff"),  # sky blue
)
SERIES = tuple(light for light, _ in PALETTE)
COLOURS = {  # of the style sheet of pages
    **{"ink": INK, "soft": SOFT, "line": LINE, "page": PAGE, "card": CARD, "active": PALETTE[0]},
    **{"reached": ("#00805d", "#35c99b"), "failed": ("#c2362e", "#ff8177"), "cause": ("#9a5b00", "#f0c04a")},
}
DECIMALS = re.compile(r"(\.\d\d)\d+")  # of a point that no eye can see
RC = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's own font
    "svg.hashsalt": "hplan",  # the same picture, the same bytes
    "font.size": 9,
    "figure.facecolor": PAGE[0],
    "savefig.facecolor": "auto",
    "figure.constrained_layout.use": True,
    "text.color": INK[0],
    "axes.labelcolor": SOFT[0],
    "axes.edgecolor": LINE[0],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE[0],
    "xtick.color": LINE[0],
    "ytick.color": LINE[0],
    "xtick.labelcolor": SOFT[0],
    "ytick.labelcolor": SOFT[0],
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import packages of an extra here. Raises HplanError, which says how to install it, where one is missing."""
    try:
        yield
    except ImportError as error:
        raise HplanError(f"{error.name} is not installed: pip install 'hplan[{extra}]'") from error


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's defaults and RC, whatever the caller has set; what that was is there again afterwards."""
    with needs("viz"):
        import matplotlib.style
    with matplotlib.style.context(["default", RC]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure((width, height))


def svg(figure: Figure, *, alone: bool = False) -> str:
    """A figure as SVG: an element for a page that has `rules`, or (`alone`) a file with rules of its own."""
    file = io.StringIO()
    with style():
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = re.sub(r'(?<= d=")[^"]*|(?<=<use )[^>]*', lambda place: DECIMALS.sub(r"\1", place[0]), file.getvalue())
    head, body = text.split("<svg", 1)
    if not alone:
        return f"<svg{body}".rstrip()
    opening, rest = body.split(">", 1)
    return f"{head}<svg{opening}><style>{rules()}</style>{rest}"


def rules() -> str:
    """CSS for figures: the reader's own font, narrower than what they are measured for; in the dark, dark colours."""
    dark = "".join(
        f'svg [style*="{what}: {light}"] {{ {what}: {dark} !important; }} '
        for light, dark in (INK, SOFT, LINE, PAGE, CARD, *PALETTE)
        for what in ("fill", "stroke")
    )
    return (
        f"svg text {{ font-family: system-ui, sans-serif !important; }} @media (prefers-color-scheme: dark) {{ {dark}}}"
    )
