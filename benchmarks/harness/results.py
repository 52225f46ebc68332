"""The results of a run: as values, and as the JSON that README.md describes. Knows nothing of how they are measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.clock import Cost
from benchmarks.harness.figures import Figure, figure, ratios

SCHEMA = 1
UNITS = ("cpu", "wall", "memory")  # seconds, seconds, bytes
PACKAGES = ("anyio", "trio", "httpx2", "openai", "pydantic", "attrs", "torch", "transformers", "llama-cpp-python")


@dataclass(frozen=True)
class Measured:
    """What a measurement is of; the fields are explained at `Bench.compare` and `Bench.grow`."""

    name: str
    operation: str
    shows: tuple[str, ...]
    against: str | None = None
    target: float | None = None
    size: int | None = None
    along: str | None = None

    @property
    def title(self) -> str:
        return self.name if self.size is None else f"{self.name}, {self.size:,} {self.along}"


@dataclass(frozen=True)
class Measurement:
    """What each way cost in each round.

    Args:
        what: What was measured.
        rounds: The costs of one operation by way, then by "cpu", "wall" or "memory", in the order of the rounds.
        program: The program that measured it.
    """

    what: Measured
    rounds: Mapping[str, Mapping[str, Sequence[float]]]
    program: str = ""

    @classmethod
    def of(cls, what: Measured, costs: Mapping[str, Sequence[Cost]]) -> Measurement:
        rounds: dict[str, dict[str, list[float]]] = {}
        for way, seen in costs.items():
            columns = {unit: [value for cost in seen if (value := getattr(cost, unit)) is not None] for unit in UNITS}
            rounds[way] = {unit: values for unit, values in columns.items() if values}
        return cls(what, rounds)

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What the same measurement of another run has in common with this one."""
        return self.program, self.what.name, self.what.size

    def figure(self, way: str, unit: str) -> Figure | None:
        """The cost of one operation; None if the way was not measured in this unit."""
        values = self.rounds.get(way, {}).get(unit)
        return figure(values) if values else None

    def ratio(self, way: str, unit: str) -> Figure | None:
        """The ratio to the way that this measurement compares with; None if there is none, and for that way itself."""
        against = self.what.against
        if against is None or way == against or against not in self.rounds or way not in self.rounds:
            return None
        values, reference = self.rounds[way].get(unit, ()), self.rounds[against].get(unit, ())
        paired = ratios(values, reference) if len(values) == len(reference) else []
        return figure(paired) if paired else None


@dataclass
class Results:
    """One run: where and of what, and its measurements in order."""

    began: str
    options: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    measurements: list[Measurement] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by program

    @classmethod
    def begin(cls, options: dict[str, Any]) -> Results:
        return cls(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), options, machine(), versions())

    def save(self, path: Path) -> None:
        document: dict[str, Any] = {"schema": SCHEMA, **asdict(replace(self, measurements=[]))}
        document["measurements"] = [_as_json(measurement) for measurement in self.measurements]
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(document, indent=1) + "\n", "utf8")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a file of results.

        Raises:
            ValueError: The file is not a result of this schema.
        """
        document = json.loads(path.read_text("utf8"))
        schema = document.pop("schema", None) if isinstance(document, dict) else None
        if schema != SCHEMA:
            raise ValueError(f"{path} has schema {schema!r}, not {SCHEMA}; measure again to get a file of this schema")
        measurements = [_of_json(item) for item in document.pop("measurements")]
        return cls(**document, measurements=measurements)


def _as_json(measurement: Measurement) -> dict[str, Any]:
    what = measurement.what
    ways: dict[str, Any] = {}
    for way, units in measurement.rounds.items():
        ways[way] = {unit: _figures(measurement.figure(way, unit), values) for unit, values in units.items()}
        for unit in units:
            if ratio := measurement.ratio(way, unit):
                ways[way][unit]["ratio"] = _figures(ratio)
    return {"program": measurement.program, **asdict(what), "ways": ways}


def _figures(found: Figure | None, values: Sequence[float] | None = None) -> dict[str, Any]:
    assert found is not None
    shown: dict[str, Any] = {"median": found.median, "low": found.low, "high": found.high}
    return shown if values is None else {**shown, "rounds": list(values)}


def _of_json(item: dict[str, Any]) -> Measurement:
    ways, program = item.pop("ways"), item.pop("program")
    rounds = {way: {unit: shown["rounds"] for unit, shown in units.items()} for way, units in ways.items()}
    return Measurement(Measured(**{**item, "shows": tuple(item["shows"])}), rounds, program)


def machine() -> dict[str, Any]:
    """Describe this machine, and how busy it is before the run."""
    described: dict[str, Any] = {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()}
    if hasattr(os, "getloadavg"):
        described["load_before"] = round(os.getloadavg()[0], 2)
    return described


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> dict[str, str]:
    """Return the versions of what is measured; `aimu` is the commit of the checkout, with `+` if it was changed."""
    found = {"python": platform.python_version()}
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    try:
        found["aimu"] = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found["aimu"] = "unknown"
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
