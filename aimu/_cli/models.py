"""`aimu models`: the catalogs, and what is in the cache of this machine."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import IO, Any

import aimu
from aimu._cli import exits
from aimu._cli.safe import cut, is_terminal, line_of, styled
from aimu.errors import UnknownProviderError
from aimu.models import PROVIDERS, ModelSpec
from aimu.models._resolve import CATALOGS

ABILITIES = ("tools", "thinking", "vision")


def models(options: Namespace) -> int:
    """Run the subcommand and return its exit code."""
    if options.provider is not None and options.provider not in PROVIDERS:
        raise UnknownProviderError(options.provider, PROVIDERS)
    found = [model for model in (_local() if options.local else _catalog()) if _wanted(model, options)]
    if options.json:
        print(json.dumps(found, indent=2))
        return exits.OK
    size = ["size"] if options.local else []
    rows = [
        [model["model"], *([_gigabytes(model["bytes"])] if options.local else []), _abilities(model)] for model in found
    ]
    print_table(["model", *size, "abilities"], rows, sys.stdout)
    if not found:
        exits.complain(f"no model fits; {_hint(options)}")
    return exits.OK if found else exits.FAILED


def _catalog() -> Iterator[dict[str, Any]]:
    for module, name in CATALOGS.values():
        for member in getattr(import_module(module), name):
            yield _facts(member.spec)


def _local() -> Iterator[dict[str, Any]]:
    for model in aimu.models.local():
        yield {**_facts(model.spec), "bytes": model.bytes, "path": str(model.path)}


def _facts(spec: ModelSpec) -> dict[str, Any]:
    abilities = {ability: getattr(spec, ability) for ability in ABILITIES}
    return {"model": str(spec), "provider": spec.provider, "id": spec.id, **abilities, "source": spec.source}


def _wanted(model: dict[str, Any], options: Namespace) -> bool:
    return (
        options.filter.lower() in model["model"].lower()
        and options.provider in (None, model["provider"])
        and all(model[ability] for ability in ABILITIES if getattr(options, ability))
    )


def _abilities(model: dict[str, Any]) -> str:
    known = [ability for ability in ABILITIES if model[ability]]
    unknown = [f"{ability}?" for ability in ABILITIES if model[ability] is None]
    return " ".join([*known, *unknown])


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _hint(options: Namespace) -> str:
    if options.local:
        return "a model is fetched when it is first used, such as hf:Qwen/Qwen3-0.6B"
    if options.provider is not None and options.provider not in CATALOGS:
        return f"{options.provider} has no catalog, and takes any id: -m {options.provider}:MODEL_ID"
    return "`aimu models` lists all"


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], file: IO[str]) -> None:
    """Print a table: aligned and cut in a terminal, with tabs elsewhere, as programs like them."""
    rows = [[line_of(cell) for cell in row] for row in rows]
    if not is_terminal(file):
        for row in rows:
            print("\t".join(row), file=file)
        return
    width = shutil.get_terminal_size().columns
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for number, row in enumerate((heads, *rows)):
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        line = cut(line, width)
        print(styled(line, "bold", file) if number == 0 else line, file=file)
