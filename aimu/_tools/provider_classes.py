"""The client classes of each provider, and the names that the packages export, from the table of providers.

Reads the table as text, because the library's dependencies need not be installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path("aimu/models/_table.py")
BEGIN = "# Generated from the table of providers by `python -m aimu._tools.generate`: do not edit."
END = "# End of the generated part."
_HEAD = '''"""Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.

{says}
"""

from __future__ import annotations

{imports}
'''
_CLASS = '''

{decorator}class {name}({base}):
    """A client for {title}{what}

    Args:
        model: {model}
        **kwargs: {kwargs}
    """

    provider_name = "{provider}"
'''


class Row(NamedTuple):
    """What the classes need of a row."""

    name: str
    title: str
    stem: str
    catalog: str | None
    engine: str | None

    @property
    def catalog_class(self) -> str:
        return f"{self.stem}Model"


def rows() -> list[Row]:
    """Return the rows of the table in the order of their class names.

    Raises:
        ValueError: One of the values is not a literal.
    """
    found: list[Row] = []
    for node in ast.walk(ast.parse((ROOT / TABLE).read_text("utf8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ProviderRow":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            values: list[Any] = [ast.literal_eval(given[key]) if key in given else None for key in Row._fields]
            found.append(Row(*values))
    return sorted(found, key=lambda row: row.stem.lower())


def files() -> dict[Path, str]:
    """Return the text of each generated file, by its path relative to the root of the checkout."""
    return {
        Path("aimu/aio/_clients.py"): _head(
            "One async client class for each provider.",
            "from aimu._doors import public",
            "from aimu.aio._provider_client import AsyncProviderClient",
        )
        + "".join(map(_async_class, rows())),
        Path("aimu/_sync/clients.py"): _head(
            "One sync client class for each provider.",
            "from aimu._doors import public",
            "from aimu._sync.provider_client import ProviderClient",
            "from aimu._sync.twin import twin_of",
            "from aimu.aio import _clients as clients",
        )
        + "".join(map(_sync_class, rows())),
        Path("aimu/aio/__init__.py"): _with_exports(Path("aimu/aio/__init__.py"), dict(_async_names())),
        Path("aimu/models/__init__.py"): _with_exports(Path("aimu/models/__init__.py"), dict(_sync_names())),
    }


def _head(says: str, *imports: str) -> str:
    return _HEAD.format(says=says, imports="\n".join(imports))


def _async_class(row: Row) -> str:
    shares = row.engine is not None
    return _CLASS.format(
        decorator='@public("aimu.aio")\n',
        name=f"Async{row.stem}Client",
        base="AsyncProviderClient",
        title=row.title,
        what=" that shares the weights of a sync client." if shares else ".",
        model=f"The `{row.stem}Client` to wrap. A model raises `WeightsLoadedTwiceError`." if shares else _model(row),
        kwargs="None are accepted; set options on the sync client." if shares else "The options of `AsyncModelClient`.",
        provider=row.name,
    )


def _sync_class(row: Row) -> str:
    engine = (row.engine or "").partition(":")[2]
    return _CLASS.format(
        decorator=f'@public("aimu.models")\n@twin_of(clients.Async{row.stem}Client)\n',
        name=f"{row.stem}Client",
        base="ProviderClient",
        title=row.title,
        what=", which loads their weights into this process." if engine else ".",
        model=_model(row),
        kwargs=f"The options of `ModelClient`{f' and of `{engine}`' if engine else ''}.",
        provider=row.name,
    )


def _model(row: Row) -> str:
    an_id = f"he id of a model, without the prefix `{row.name}:`."
    return f"T{an_id}" if row.catalog is None else f"A member of `{row.catalog_class}`, or t{an_id}"


def _async_names() -> Iterator[tuple[str, str]]:
    """Yield each exported name and its module."""
    for row in rows():
        yield f"Async{row.stem}Client", "aimu.aio._clients"


def _sync_names() -> Iterator[tuple[str, str]]:
    for row in rows():
        yield f"{row.stem}Client", "aimu._sync.clients"
        if row.catalog is not None:
            yield row.catalog_class, row.catalog


def _with_exports(path: Path, names: dict[str, str]) -> str:
    """Return the text of a package's `__init__` with its generated part renewed."""
    text = (ROOT / path).read_text("utf8")
    imports = "".join(
        _from(module, sorted((name for name, home in names.items() if home == module), key=str.lower))
        for module in sorted(set(names.values()))
    )
    exported = "".join(f'    "{name}",\n' for name in sorted(names))
    part = f"{BEGIN}\nif TYPE_CHECKING:\n{imports}\n__all__ += [\n{exported}]\n{END}"
    renewed, found = re.subn(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: part, text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{path} must have one part between {BEGIN!r} and {END!r}")
    return renewed


def _from(module: str, names: Iterable[str]) -> str:
    """Return an import statement as ruff formats it."""
    line = f"    from {module} import {', '.join(names)}\n"
    if len(line) <= 121:
        return line
    return f"    from {module} import (\n{''.join(f'        {name},{chr(10)}' for name in names)}    )\n"
