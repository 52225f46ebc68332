"""Results as Markdown tables: a table for works of the same ways, and one for each growth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.harness.figures import Figure
from benchmarks.harness.results import Measurement

_COLUMNS = 8
NAMES = {"cpu": "CPU", "wall": "time", "memory": "memory"}


def table(measurements: Sequence[Measurement]) -> str:
    """Return the measurements of a program as tables, in their order."""
    return "\n\n".join("\n".join(_rows(group, units)) for group in grouped(measurements) for units in _together(group))


def grouped(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Return the measurements in groups that a table or a panel of a plot can show together."""

    def kind(measurement: Measurement) -> object:
        what = measurement.what
        growth = what.name if what.size is not None else None
        return growth, what.shows, what.against, tuple(measurement.rounds)

    return [list(group) for _, group in groupby(measurements, kind)]


def _together(group: Sequence[Measurement]) -> list[Sequence[str]]:
    """Return which quantities share a table: all, unless it would be too wide to read."""
    shows = group[0].what.shows
    return [shows] if len(shows) * len(group[0].rounds) <= _COLUMNS else [(unit,) for unit in shows]


def _rows(group: Sequence[Measurement], units: Sequence[str]) -> Iterator[str]:
    first = group[0].what
    grows, several = first.size is not None, len(units) > 1
    targets = any(measurement.what.target is not None for measurement in group)
    columns = [(unit, way) for unit in units for way in group[0].rounds]
    names = [f"{way}, {NAMES[unit]}" if several else way for unit, way in columns]
    what = " and ".join(NAMES[unit] for unit in units)
    if grows:
        yield f"{first.name}: {what} for each {first.operation}\n"
    yield _row([str(first.along) if grows else what, *names, *(["target"] if targets else [])])
    yield _row(["---"] * (1 + len(columns) + targets))
    for measurement in group:
        target = measurement.what.target
        cells = [_cell(measurement, unit, way) for unit, way in columns]
        yield _row([_label(measurement), *cells, *(["-" if target is None else f"{target:.2f}"] if targets else [])])


def _label(measurement: Measurement) -> str:
    what = measurement.what
    if what.size is not None:
        return f"{what.size:,}"
    return what.name if what.operation in what.name else f"{what.name}, each {what.operation}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(measurement: Measurement, unit: str, way: str) -> str:
    figure = measurement.figure(way, unit)
    if figure is None:
        return "-"
    ratio = measurement.ratio(way, unit)
    return amount(figure.median, unit) + (f" · **{ratio.median:.2f}**{_spread(ratio)}" if ratio else "")


def _spread(ratio: Figure) -> str:
    return f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.has_spread else ""


def amount(value: float, unit: str) -> str:
    """Return a number of seconds or bytes with three significant digits, and a unit that suits it."""
    factor, name = unit_of(value, unit)
    return f"{_digits(value / factor)} {name}" if value else "0"


def unit_of(value: float, unit: str) -> tuple[float, str]:
    """Return how large the unit is that suits a number of seconds or bytes, and its name."""
    units = _BYTES if unit == "memory" else _SECONDS
    return next((found for found in units if abs(value) >= found[0]), units[-1])


_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
