"""What `aimu doctor` looks at, one check each: Python, keys, extras, servers, GPU, and the model that was chosen.

No check shows a key, and none asks another machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from ipaddress import ip_address
from typing import Any, Literal, final
from urllib.parse import urlsplit

import anyio
import httpx2
from attrs import frozen

from aimu._cli.choice import MODEL_VARIABLE, NO_MODEL, NO_MODEL_REMEDY, choose, key_set
from aimu.engines._tested import TESTED
from aimu.errors import AimuError, InvalidOptionError, MissingExtraError
from aimu.models import resolve_model_string
from aimu.models._row import ProviderRow
from aimu.models._table import TABLE
from aimu.providers._vendors import url_of

State = Literal["ok", "absent", "untested", "broken"]
PATIENCE = 2.0  # s for a server on this machine
GPU_PATIENCE = 120.0  # s for torch, which takes seconds to load
_ASK_TORCH = """
import json, torch
found = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
print(json.dumps(found or (["Apple GPU"] if torch.backends.mps.is_available() else [])))
"""


@final
@frozen
class Check:
    """What was found.

    Attributes:
        kind: "python", "key", "extra", "server", "gpu" or "model".
        name: What was looked at.
        state: "ok"; "absent", which is no fault; "untested"; or "broken", which is.
        found: What is there.
        remedy: What to do; empty if nothing.
    """

    kind: str
    name: str
    state: State
    found: str
    remedy: str = ""


def python() -> Iterator[Check]:
    """Look at the interpreter."""
    lines = metadata("aimu").get_all("Classifier") or ()
    tried = sorted({line.rpartition(" :: ")[2] for line in lines if "Python :: 3." in line})
    number = "{}.{}".format(*sys.version_info)
    state: State = "ok" if number in tried or not tried else "untested"
    remedy = "" if state == "ok" else f"tested with {', '.join(tried)}"
    yield Check("python", number, state, f"{platform.python_implementation()} {platform.python_version()}", remedy)


def keys() -> Iterator[Check]:
    """Look for the keys of services."""
    for row in TABLE.values():
        if row.connection is None or not row.connection.key_required:
            continue
        names = (*row.connection.key_variables, *row.connection.token_variables)
        variable = key_set(row.name)
        blank = next((name for name in names if name in os.environ), None)
        if variable is not None:
            yield Check("key", row.name, "ok", f"{variable} is set")
        elif blank is not None:
            yield Check("key", row.name, "broken", f"{blank} is empty", f"set {blank} to the key, or unset it")
        else:
            yield Check("key", row.name, "absent", "no key", f"set {names[0]} to use {row.title}")


def extras() -> Iterator[Check]:
    """Compare what is installed with what each extra needs, and with what was tested."""
    needed: dict[str, list[str]] = {}
    for line in requires("aimu") or ():
        found = re.search(r"""extra == ['"]([\w-]+)['"]""", line)
        if found and found[1] != "all":
            needed.setdefault(found[1], []).append(line.partition(";")[0].strip())
    for extra, lines in needed.items():
        yield _extra(extra, lines)


def _extra(name: str, lines: list[str]) -> Check:
    install = _install(name)
    found, missing, wrong, untested = [], [], [], []
    for line in lines:
        parts = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*(.*)", line)
        assert parts is not None
        package, bounds = parts[1], parts[2]
        try:
            installed = version(package)
        except PackageNotFoundError:
            missing.append(package)
            continue
        found.append(f"{package} {installed}")
        if not _within(installed, bounds):
            wrong.append(f"{package} {installed} is not {bounds}")
        elif package in TESTED and _release(installed) > _release(TESTED[package][1]):
            untested.append(f"{package} {installed} is newer than the tested {TESTED[package][1]}")
    if missing:
        return Check("extra", name, "absent", f"without {', '.join(missing)}", install)
    if wrong:
        return Check("extra", name, "broken", "; ".join(wrong), install)
    if untested:
        return Check("extra", name, "untested", "; ".join(untested), "if it fails, install the tested version")
    return Check("extra", name, "ok", ", ".join(found))


def _install(extra: str) -> str:
    return f"`pip install '.[{extra}]'` in the checkout of aimu"


def _release(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.split(r"[^\d.]", text)[0].split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _within(installed: str, bounds: str) -> bool:
    """Return whether a version is within bounds such as ">=5.20,<6"."""
    have = _release(installed)
    for sign, number in re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.]+)", bounds):
        limit = _release(number)
        fits = {
            ">=": have >= limit,
            "<=": have <= limit,
            "==": have == limit,
            "!=": have != limit,
            "<": have < limit,
            ">": have > limit,
        }
        if not fits[sign]:
            return False
    return True


async def servers() -> list[Check]:
    """Ask the servers of models on this machine, all at once."""
    rows = [row for row in TABLE.values() if row.connection and not row.connection.key_required]
    checks: dict[str, Check] = {}
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client, anyio.create_task_group() as group:
        for row in rows:
            group.start_soon(_server, row, client, checks)
    return [checks[row.name] for row in rows]


async def _server(row: ProviderRow, client: httpx2.AsyncClient, checks: dict[str, Check]) -> None:
    assert row.connection is not None
    given = next((name for name in row.connection.url_variables if os.environ.get(name)), None)
    try:
        url = url_of(row.name, row.connection)
    except AimuError as exc:
        checks[row.name] = Check("server", row.name, "broken", str(exc), f"set {given} to the URL of the server")
        return
    if not _is_here(url):
        checks[row.name] = Check("server", row.name, "ok", f"{url}, not asked: it is another machine")
        return
    models = await _models_of(client, f"{url.rstrip('/')}/{'api/tags' if row.wire == 'ollama' else 'models'}")
    if models is not None:
        count = f"{len(models)} model{'s' if len(models) > 1 else ''}"
        has = f"{count}: {', '.join(models[:3])}" if models else "no model"
        checks[row.name] = Check("server", row.name, "ok", f"{url} has {has}")
    elif given:
        remedy = f"start the server, or correct {given}"
        checks[row.name] = Check("server", row.name, "broken", f"nothing answers at {url}", remedy)
    else:
        remedy = f"start it, or set {row.connection.url_variables[0]} if it is elsewhere"
        checks[row.name] = Check("server", row.name, "absent", f"nothing answers at {url}", remedy)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _models_of(client: httpx2.AsyncClient, url: str) -> list[str] | None:
    """Return the names that a server lists; None if no such server answers."""
    try:
        with anyio.fail_after(PATIENCE):
            response = await client.get(url)
        listed = response.json()
        if response.status_code in (401, 403):
            return []
        items = listed.get("data", listed.get("models", []))
        return [str(item.get("id", item.get("name"))) for item in items] if response.is_success else None
    except (httpx2.HTTPError, TimeoutError, ValueError, AttributeError, TypeError):
        return None


async def gpu() -> Check:
    """Ask torch for GPUs, in a process of its own."""
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return Check("gpu", "torch", "absent", "torch is not installed")
    try:
        with anyio.fail_after(GPU_PATIENCE):
            done = await anyio.run_process([sys.executable, "-c", _ASK_TORCH], check=False)
    except TimeoutError:
        return Check("gpu", "torch", "broken", f"torch {installed} did not load in {GPU_PATIENCE:.0f} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return Check("gpu", "torch", "broken", said[-1] if said else "torch does not load", "install torch again")
    found = json.loads(done.stdout)
    if not found:
        return Check("gpu", "torch", "absent", f"torch {installed} sees none; models in this process use the CPU")
    return Check("gpu", "torch", "ok", f"torch {installed} sees {', '.join(found)}")


def model(given: str | None) -> Iterator[Check]:
    """Look at the model that a command without `-m` would use, or the one that was named."""
    asked = given or os.environ.get(MODEL_VARIABLE)
    name = asked or "default"
    try:
        choice = choose(given)
    except InvalidOptionError:
        yield Check("model", name, "absent", NO_MODEL, NO_MODEL_REMEDY)
        return
    try:
        _check_usable(choice.model)
    except MissingExtraError as exc:
        found, remedy = f"{exc.package} is not installed", _install(exc.extra)
        yield Check("model", name, "broken" if asked else "absent", found, remedy)
    except AimuError as exc:
        yield Check("model", name, "broken" if asked else "absent", str(exc))
    else:
        yield Check("model", name, "ok", choice.note or "can be used, as far as can be seen without asking it")


def _check_usable(name: str) -> None:
    """Raise what opening the model would raise, without loading weights."""
    import aimu

    spec = resolve_model_string(name)
    lazy: dict[str, Any] = {"lazy": True} if TABLE[spec.provider].in_process else {}
    aimu.client(name, **lazy).close()
