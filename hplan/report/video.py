"""An episode as a GIF, an MP4 or a film strip: frames of the live view, drawn letter by letter as dark terminals do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import MONOKAI

from hplan.control.plan_tree import ROOT
from hplan.files import write_atomically
from hplan.report.live import UPPER, frame
from hplan.report.theme import INK, PAGE, needs
from hplan.report.trace import TraceStep
from hplan.types import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

WIDEST = 150  # columns; what is longer wraps
SIZE, MARGIN = 15, 16  # pixels: of letters, and around all
HOLD = 2.0  # seconds for which the last frame stays
MOMENTS = 8  # of a film strip, at the most
MANY = 48  # colours, from which each frame has a palette of its own
EVEN = 2  # H.264 takes no picture of an odd width or height
Lines = list[list[Segment]]


def save_video(steps: Iterable[TraceStep], path: str | os.PathLike[str], *, fps: float = 5.0, title: str = "") -> Path:
    """Write an episode, atomically, as FILE.gif or FILE.mp4 with `fps` environment steps a second; or as FILE.png, a
    film strip of the moments at which the plan of the highest level went on, one below the other.

    Raises UsageError for another ending, for no steps, and unless `fps` is above 0; HplanError without the extra `viz`.
    """
    path = Path(path)
    write = {".gif": _gif, ".mp4": _mp4, ".png": _strip}.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"{path}: expected a name that ends in .gif, .mp4 or .png")
    if not fps > 0:
        raise UsageError(f"fps={fps}: expected a number of steps a second above 0")
    with needs("viz"):
        import imageio_ffmpeg  # noqa: F401  # before an episode is played in vain
        import matplotlib  # noqa: F401
    texts = [_text(step, title) for step in (moments(steps) if write is _strip else steps)]
    if not texts:
        raise UsageError(f"{path}: there is no step to show")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        write(texts, file, fps)
        return write_atomically(path, file.read_bytes())


def moments(steps: Iterable[TraceStep]) -> list[TraceStep]:
    """The steps at which a part of the highest level's plan began, and the last; evenly `MOMENTS` of more."""
    found: list[TraceStep] = []
    before: object = None
    step = None
    for step in steps:
        plan = [(node.id, node.status) for node in step.tree.children(ROOT)]
        if plan != before:
            found.append(step)
        before = plan
    if step is not None and found[-1] is not step:
        found.append(step)
    return [found[round(i)] for i in np.linspace(0, len(found) - 1, min(len(found), MOMENTS))]


def draw(texts: Sequence[Lines]) -> Iterator[Image]:
    """A picture for every frame, all of one size."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    plain, bold = (ImageFont.truetype(fonts / f"DejaVuSansMono{kind}.ttf", SIZE) for kind in ("", "-Bold"))
    wide, high = plain.getlength("M"), sum(plain.getmetrics())
    columns = max(sum(cell_len(segment.text) for segment in line) for lines in texts for line in lines)
    rows = max(map(len, texts))
    size = [-(-(round(extent) + 2 * MARGIN) // EVEN) * EVEN for extent in (columns * wide, rows * high)]
    for lines in texts:
        picture = Image.new("RGB", (size[0], size[1]), PAGE[1])
        pen = ImageDraw.Draw(picture)
        for row, line in enumerate(lines):
            column, y = 0, MARGIN + row * high
            for text, style, _ in line:
                x, colour = MARGIN + column * wide, _colour(style)
                if style and style.bgcolor and set(text) == {UPPER}:  # two pixels of an image, one above the other
                    end, below = x + len(text) * wide - 1, style.bgcolor.get_truecolor(MONOKAI)
                    pen.rectangle((x, y, end, y + high / 2 - 1), fill=colour)
                    pen.rectangle((x, y + high / 2, end, y + high - 1), fill=tuple(below))
                    column += len(text)
                    continue
                pen.text((x, y), text, fill=colour, font=bold if style and style.bold else plain)
                column += cell_len(text)
                if style and style.strike:
                    pen.line((x, y + high / 2, MARGIN + column * wide, y + high / 2), fill=colour)
        yield picture


def _text(step: TraceStep, title: str) -> Lines:
    """What the live view prints, as styled pieces of lines."""
    console = Console(width=WIDEST, height=1, force_terminal=True, color_system="truecolor", legacy_windows=False)
    return console.render_lines(frame(step, title), pad=False)


def _colour(style: Style | None) -> tuple[int, int, int]:
    drawn = style.color if style and style.color and not style.color.is_default else Color.parse(INK[1])
    red, green, blue = drawn.get_truecolor(MONOKAI)
    return (red * 6 // 10, green * 6 // 10, blue * 6 // 10) if style and style.dim else (red, green, blue)


def _gif(texts: Sequence[Lines], file: Path, fps: float) -> None:
    """By Pillow, which stores of each frame only what differs from the one before, and with one palette for all."""
    from PIL import Image

    colours = sorted({_colour(segment.style) for lines in texts for line in lines for segment in line})
    if len(colours) > MANY:
        first, *rest = draw(texts)
        first.save(file, save_all=True, append_images=rest, duration=[1000 / fps] * len(rest) + [1000 * HOLD], loop=0)
        return
    page = Color.parse(PAGE[1]).get_truecolor()
    steps = np.linspace(0, 1, min(16, 256 // len(colours)))[:, None]  # edges of letters fade into the page
    palette = Image.new("P", (1, 1))
    shades = np.concatenate([page + steps * np.subtract(colour, page) for colour in colours])
    palette.putpalette(shades.round().astype(int).ravel().tolist())
    first, *rest = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in draw(texts))
    first.save(file, save_all=True, append_images=rest, duration=[1000 / fps] * len(rest) + [1000 * HOLD], loop=0)


def _strip(texts: Sequence[Lines], file: Path, fps: float) -> None:
    from PIL import Image

    pictures = list(draw(texts))
    wide, high = pictures[0].size
    strip = Image.new("RGB", (wide, high * len(pictures)), PAGE[1])
    for row, picture in enumerate(pictures):
        strip.paste(picture, (0, row * high))
    strip.save(file, optimize=True)


def _mp4(texts: Sequence[Lines], file: Path, fps: float) -> None:
    import imageio.v2 as imageio

    writer: Any = imageio.get_writer(file, format="FFMPEG", fps=fps, macro_block_size=EVEN)  # type: ignore[arg-type]
    with writer:
        picture = np.empty(0)
        for picture in map(np.asarray, draw(texts)):
            writer.append_data(picture)
        for _ in range(round(HOLD * fps)):
            writer.append_data(picture)
