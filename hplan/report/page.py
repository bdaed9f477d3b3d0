"""A run on one page: a single HTML file that needs nothing else, for a browser or an attachment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from hplan.files import write_atomically
from hplan.report.live import budget_text, repair_text
from hplan.report.svg import COLOURS, code_map, line_chart
from hplan.report.table import COLUMNS, WORDS, number, rows
from hplan.report.trace import TraceStep
from hplan.report.tree import Line, lines
from hplan.types import Result

Curves = Mapping[str, Sequence[Mapping[str, float]]]  # stage -> rows of {"step": ..., one entry per loss component}


@dataclass(frozen=True)
class LevelPage:
    """What a level learned. `facts`: table rows in words; `maps`: captions and codes (H, W) of a spatial latent."""

    level: int
    facts: Mapping[str, str]
    maps: Sequence[tuple[str, np.ndarray]] = field(default=())


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Sequence[str] = (),
    curves: Curves | None = None,
    levels: Sequence[LevelPage] = (),
    results: Sequence[Result] = (),
    episode: Sequence[TraceStep] = (),
    versions: Mapping[str, str] | None = None,
    command: str = "",
    frames: int = 12,
) -> Path:
    """Write the page of a run, atomically; of `episode`, `frames` steps are shown.

    `summary`: paragraphs. `curves`: per training stage, rows with `step` and loss components.
    """
    sections = (
        ("Results", _results(results) if results else ""),
        ("One episode", _film(pick(episode, frames))),
        ("Learning curves", "".join(curve_figure(stage, table) for stage, table in (curves or {}).items())),
        ("What each level's latent encodes", "".join(map(_level, levels))),
        ("Made with", _made_with(versions or {}, command)),
    )
    return write_page(path, title=title, summary=summary, sections=sections)


def write_page(
    path: str | os.PathLike[str], *, title: str, summary: Sequence[str], sections: Sequence[tuple[str, str]]
) -> Path:
    """Write a page of (heading, HTML) sections, atomically. Those without content are left out."""
    style = files("hplan.report").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>' + escape(title) + "</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><style>' + style + "</style></head>"
    )
    body = [f"<body><main><h1>{escape(title)}</h1>", *(f"<p class=lead>{escape(text)}</p>" for text in summary)]
    body += [f"<section><h2>{escape(name)}</h2>{content}</section>" for name, content in sections if content]
    return write_atomically(path, "\n".join([head, *body, "</main></body></html>\n"]))


def pick(steps: Sequence[TraceStep], frames: int) -> list[TraceStep]:
    """The steps worth a picture: first and last, then those where a plan was repaired or a subgoal was settled, then
    others between, evenly. In order, at most `frames`."""
    if len(steps) <= frames:
        return list(steps)
    turning = [i for i in range(1, len(steps)) if _turns(steps[i - 1], steps[i])]
    chosen = {0, len(steps) - 1, *_evenly(turning, max(frames - 2, 0))}
    rest = [i for i in range(len(steps)) if i not in chosen]
    chosen.update(_evenly(rest, frames - len(chosen)))
    return [steps[i] for i in sorted(chosen)]


def _turns(before: TraceStep, after: TraceStep) -> bool:
    settled = [{n.id: n.status for n in s.tree.nodes.values() if n.level} for s in (before, after)]
    return before.repair != after.repair or settled[0] != settled[1]


def _evenly(indices: Sequence[int], count: int) -> list[int]:
    if count <= 0 or not indices:
        return []
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [indices[round(place)] for place in places]


# ------------------------------------------------------------------------------------------------------------- sections


def _results(results: Sequence[Result]) -> str:
    sides = ["" if i < WORDS else ' class="n"' for i in range(len(COLUMNS))]
    table = ["<table><thead><tr>", *(f"<th{s}>{escape(c)}</th>" for s, c in zip(sides, COLUMNS, strict=True)), "</tr>"]
    table.append("</thead><tbody>")
    for row in rows(results):
        cells = (f"<td{s}>{escape(cell)}</td>" for s, cell in zip(sides, row, strict=True))
        table += ["<tr>", *cells, "</tr>"]
    return "".join([*table, "</tbody></table>"])


def _film(steps: Sequence[TraceStep]) -> str:
    return f'<div class="film">{"".join(map(_frame, steps))}</div>' if steps else ""


def _frame(step: TraceStep) -> str:
    surprise = ", ".join(
        f"level {level} {number(step.surprise.get(level, float('nan')), 2)} of {threshold:.2f}"
        for level, threshold in sorted(step.thresholds.items(), reverse=True)
    )
    foot = [budget_text(step), *([f"surprise: {surprise}"] if surprise else [])]
    foot += [repair_text(step.repair)] if step.repair else []
    picture = f"<pre>{escape(step.world)}</pre><ul class=tree>{_branch(lines(step.tree))}</ul>"
    return f"<figure>{picture}<figcaption>{'<br>'.join(map(escape, foot))}</figcaption></figure>"


def _branch(line: Line) -> str:
    facts = "  ".join(line.facts)
    cause = f" <em>{escape(line.cause)}</em>" if line.cause else ""
    below = f"<ul>{''.join(map(_branch, line.below))}</ul>" if line.below else ""
    name = f"<b>{escape(line.glyph)}</b> {escape(line.name)}"
    return f'<li class="{line.status}"><span>{name} <small>{escape(facts)}</small>{cause}</span>{below}</li>'


def curve_figure(stage: str, table: Sequence[Mapping[str, float]]) -> str:
    names = dict.fromkeys(name for row in table for name in row if name != "step")
    series = {name: [(row["step"], row[name]) for row in table if name in row] for name in names}
    return chart_figure(stage, line_chart(series), [f"{name} {points[-1][1]:.3g}" for name, points in series.items()])


def chart_figure(caption: str, chart: str, names: Sequence[str]) -> str:
    """A chart of `svg` with its caption and legend; nothing where there is no chart."""
    if not chart:
        return ""
    legend = "".join(f'<li><i class="s{i % COLOURS}"></i>{escape(name)}</li>' for i, name in enumerate(names))
    text = f"<figcaption>{escape(caption)}<ul class=legend>{legend}</ul></figcaption>"
    return f"<figure class=curve>{chart}{text}</figure>"


def _level(page: LevelPage) -> str:
    facts = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in page.facts.items())
    maps = "".join(
        f"<figure class=code>{code_map(codes)}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, codes in page.maps
    )
    return f"<h3>Level {page.level}</h3><table class=facts>{facts}</table><div class=maps>{maps}</div>"


def _made_with(versions: Mapping[str, str], command: str) -> str:
    called = f"<pre>{escape(command)}</pre>" if command else ""
    return called + (f"<p>{escape(', '.join(f'{k} {v}' for k, v in versions.items()))}</p>" if versions else "")
