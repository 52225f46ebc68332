"""Pictures of results by matplotlib: bars for works, curves for growth; for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.results import Measurement
from benchmarks.harness.tables import NAMES, amount, grouped, unit_of


class Theme(NamedTuple):
    paper: str
    ink: str
    grid: str
    ways: tuple[str, ...]  # the first is of aimu


# The colours of the ways differ in lightness too, so that they can be told apart without seeing hues.
_DARK_WAYS = ("#58a6ff", "#f0883e", "#56d364", "#bc8cff", "#f778ba", "#8b949e", "#e3b341", "#39c5cf")
_LIGHT_WAYS = ("#0550ae", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#6e7781", "#9a6700", "#1b7c83")
THEMES = {
    "light": Theme(paper="#ffffff", ink="#1f2328", grid="#d1d9e0", ways=_LIGHT_WAYS),
    "dark": Theme(paper="#0d1117", ink="#e6edf3", grid="#30363d", ways=_DARK_WAYS),
}
MARKERS = "osD^vPX*"
_WIDTH = 9.0


def draw(name: str, measurements: Sequence[Measurement], folder: Path, kinds: Sequence[str] = ("svg",)) -> list[Path]:
    """Draw the measurements of a program; return the files, one for each theme and kind ("svg", "png")."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("svg")
    panels = [(group, unit) for group in grouped(measurements) for unit in group[0].what.shows]
    panels = [(group, unit) for group, unit in panels if any(measurement.rounds for measurement in group)]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for theme, colours in THEMES.items() if panels else ():
        with mpl.rc_context(_style(colours)):
            figure = _figure(panels, colours)
            for suffix in kinds:
                path = folder / f"{name}.{theme}.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else {"Software": None}
                figure.savefig(path, dpi=144, metadata=metadata)
                written.append(path)
            plt.close(figure)
    return written


def _style(theme: Theme) -> dict[str, Any]:
    colours = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor")
    return {
        **dict.fromkeys(colours, theme.ink),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), theme.paper),
        **dict.fromkeys(("axes.edgecolor", "grid.color", "legend.edgecolor"), theme.grid),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "font.size": 9,
        "legend.frameon": False,
        "svg.hashsalt": "aimu",  # the same figures give the same file
    }


def _figure(panels: Sequence[tuple[list[Measurement], str]], theme: Theme) -> Any:
    import matplotlib.pyplot as plt

    heights = [_height(group) for group, _ in panels]
    looks = _looks(theme, dict.fromkeys(way for group, _ in panels for way in group[0].rounds))
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(_WIDTH, sum(heights)),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for axis, (group, unit) in zip(axes[:, 0], panels, strict=True):
        if group[0].what.size is None:
            _bars(axis, group, unit, theme, looks)
        else:
            _curves(axis, group, unit, looks)
    return figure


def _height(group: Sequence[Measurement]) -> float:
    if group[0].what.size is not None:
        return 3.6
    return 1.1 + len(group) * (0.2 + 0.17 * len(_shown(group)))


def _shown(group: Sequence[Measurement]) -> list[str]:
    """The ways that get bars: a way that others are compared with is the line at 1."""
    return [way for way in group[0].rounds if way != group[0].what.against]


def _looks(theme: Theme, ways: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each way: aimu has the first, wherever it stands."""
    ordered = sorted(ways, key=lambda name: not name.startswith("aimu"))
    return dict(zip(ordered, zip(cycle(theme.ways), cycle(MARKERS), strict=False), strict=False))


def _bars(
    axis: Any, group: Sequence[Measurement], unit: str, theme: Theme, looks: Mapping[str, tuple[str, str]]
) -> None:
    """Draw a bar for each work and way: its ratio, or the cost itself if nothing is compared with."""
    from matplotlib.ticker import MultipleLocator

    against, ways = group[0].what.against, _shown(group)
    thick = 0.8 / len(ways)
    labels = []
    for row, measurement in enumerate(group):
        labels.append(measurement.what.name)
        for number, way in enumerate(ways):
            found = measurement.ratio(way, unit) if against else measurement.figure(way, unit)
            if found is None:
                continue
            place = row + (number - (len(ways) - 1) / 2) * thick
            spread = [[found.median - found.low], [found.high - found.median]]
            colour, _ = looks[way]
            axis.barh(place, found.median, thick * 0.9, color=colour, label=way if row == 0 else None)
            axis.errorbar(found.median, place, xerr=spread, ecolor=theme.ink, elinewidth=1, capsize=2, fmt="none")
            said = f"{found.median:.2f}" if against else amount(found.median, unit)
            box = {"facecolor": theme.paper, "edgecolor": "none", "pad": 1}
            axis.annotate(
                said, (found.high, place), (6, 0), textcoords="offset points", va="center", fontsize=8, bbox=box
            )
        target = measurement.what.target
        if target is not None and against and unit == "cpu":
            for colour, width in ((theme.paper, 3.0), (theme.ink, 1.4)):  # outlined, to show on bars too
                axis.vlines(target, row - 0.45, row + 0.45, color=colour, linewidth=width)
    if against:
        axis.axvline(1, color=theme.ink, linewidth=1)
        targets = unit == "cpu" and any(measurement.what.target is not None for measurement in group)
        note = "; short lines: targets" if targets else ""
        axis.set_xlabel(f"{NAMES[unit]} as a ratio to {against} (line at 1); less is better{note}")
        axis.set_xlim(0, max(1.05, axis.get_xlim()[1]) * 1.08)
    else:
        factor, name = unit_of(axis.get_xlim()[1], unit)
        axis.set_xlabel(f"{NAMES[unit]} for each {group[0].what.operation}, {name}; less is better")
        axis.xaxis.set_major_locator(MultipleLocator(factor * _step(axis.get_xlim()[1] / factor)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / factor:,.4g}")
        axis.set_xlim(0, axis.get_xlim()[1] * 1.12)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.45, -0.55)
    axis.grid(axis="y", visible=False)
    if len(ways) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _step(end: float) -> float:
    """Return a round distance of about six ticks up to `end`."""
    power = 10 ** math.floor(math.log10(end / 6))
    return next((power * factor for factor in (1.0, 2.0, 5.0) if power * factor >= end / 6), power * 10.0)


def _curves(axis: Any, group: Sequence[Measurement], unit: str, looks: Mapping[str, tuple[str, str]]) -> None:
    """Draw the cost of each way by size, with its spread as a band."""
    from matplotlib.ticker import NullFormatter, NullLocator

    what, ways = group[0].what, list(group[0].rounds)
    bottom, top = _range(group, unit)
    factor, name = unit_of(top, unit)
    for way in ways:
        points = [(m.what.size, found) for m in group if (found := m.figure(way, unit)) is not None]
        sizes = [size for size, _ in points]
        colour, marker = looks[way]
        middle = [found.median / factor for _, found in points]
        axis.plot(sizes, middle, color=colour, marker=marker, markersize=4, label=way)
        low, high = [found.low / factor for _, found in points], [found.high / factor for _, found in points]
        axis.fill_between(sizes, low, high, color=colour, alpha=0.25, linewidth=0)
    axis.set_title(what.name)
    axis.set_xlabel(what.along)
    axis.set_ylabel(f"{NAMES[unit]} for each {what.operation}, {name}")
    axis.set_xscale("log")
    axis.set_xticks(sizes := [m.what.size for m in group], [f"{size:,}" for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    # From 0, so that a flat curve looks flat, unless the times differ by more than such an axis shows.
    if unit != "memory" and bottom > 0 and top / bottom > 20:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(0, top / factor * 1.15 or 1)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.4g}")
    if len(ways) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _range(group: Sequence[Measurement], unit: str) -> tuple[float, float]:
    found = [figure for m in group for way in m.rounds if (figure := m.figure(way, unit)) is not None]
    return min(figure.median for figure in found), max(figure.high for figure in found)
