"""Compares two runs: what became faster or slower beyond the spread of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.harness.figures import Figure
from benchmarks.harness.results import Measurement, Results


@dataclass(frozen=True)
class Verdict:
    """What became of one way of one measurement.

    Args:
        title: The program, the measurement and the way.
        unit: "cpu", "wall" or "memory", or one of them with " ratio".
        before: The figure of the first run.
        after: That of the second run.
    """

    title: str
    unit: str
    before: Figure
    after: Figure

    @property
    def change(self) -> float:
        """The second median in units of the first: below 1 is better."""
        return self.after.median / self.before.median if self.before.median else float("inf")

    @property
    def word(self) -> str:
        if not (self.before.has_spread and self.after.has_spread):
            return "too few rounds"
        if self.after.low > self.before.high:
            return "worse"
        return "better" if self.after.high < self.before.low else "same"

    def beyond(self, bound: float) -> bool:
        """Whether it became worse by more than the spread and the bound."""
        return self.word == "worse" and self.change > bound


@dataclass(frozen=True)
class Comparison:
    """All verdicts on two runs, and the measurements that only one of them has."""

    verdicts: tuple[Verdict, ...]
    only: tuple[str, ...]
    differences: tuple[str, ...] = ()  # of the circumstances


def compared(before: Results, after: Results) -> Comparison:
    """Compare what both runs measured, in the order of the first.

    Where a way was measured against another, their ratio is compared, since a machine that is slower today slows both.
    """
    firsts = {measurement.key: measurement for measurement in before.measurements}
    seconds = {measurement.key: measurement for measurement in after.measurements}
    verdicts = [verdict for key in firsts if key in seconds for verdict in _verdicts(firsts[key], seconds[key])]
    only = [f"{_title(firsts[key])}: only in the first run" for key in firsts if key not in seconds]
    only += [f"{_title(seconds[key])}: only in the second run" for key in seconds if key not in firsts]
    return Comparison(tuple(verdicts), tuple(only), tuple(_differences(before, after)))


def _differences(before: Results, after: Results) -> Iterator[str]:
    """Name what else differs between the runs, and may be the reason for a verdict."""
    pairs = [("backend", before.options["backend"], after.options["backend"])]
    pairs += [(key, before.machine.get(key), after.machine.get(key)) for key in ("processor", "cores")]
    pairs += [(key, before.versions.get(key), after.versions.get(key)) for key in before.versions if key != "aimu"]
    return (f"{name}: {first} before, {second} after" for name, first, second in pairs if first != second)


def _title(measurement: Measurement) -> str:
    return f"{measurement.program}: {measurement.what.title}"


def _verdicts(before: Measurement, after: Measurement) -> Iterator[Verdict]:
    for way in before.rounds:
        if way == before.what.against:
            continue  # another library, or another way to do it: measured to compare with, not watched
        for unit in before.what.shows:
            pairs = [
                (f"{unit} ratio", before.ratio(way, unit), after.ratio(way, unit)),
                (unit, before.figure(way, unit), after.figure(way, unit)),
            ]
            for name, first, second in pairs:
                if first is not None and second is not None:
                    yield Verdict(f"{_title(before)}, {way}", name, first, second)
                    break


def text(comparison: Comparison, bound: float) -> str:
    """Return the comparison as lines, the largest changes first."""
    by_change = sorted(comparison.verdicts, key=lambda verdict: verdict.change, reverse=True)
    lines = [
        f"{verdict.change:7.2f}  {verdict.word + (' !' if verdict.beyond(bound) else ''):15}{verdict.unit:13}"
        f"{verdict.title}"
        for verdict in by_change
    ]
    worse = sum(verdict.beyond(bound) for verdict in by_change)
    total = f"{len(by_change)} compared, {worse} worse by more than the spread and a factor of {bound:g}"
    return "\n".join(
        [f"{'change':>7}  {'verdict':15}{'of':13}what", *lines, *comparison.only, *comparison.differences, total]
    )
