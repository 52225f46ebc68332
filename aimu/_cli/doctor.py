"""`aimu doctor`: makes all checks at once and shows them."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from functools import partial

import anyio
import attrs
from anyio import to_thread

from aimu._cli import checks, exits, interrupts
from aimu._cli.checks import Check
from aimu._cli.safe import folded, line_of, styled

MARKS = {"ok": ("✓", "green"), "absent": ("-", "dim"), "untested": ("?", "yellow"), "broken": ("✗", "red")}
MARGIN = 19  # cells before the text
TITLES = {
    "python": "Python",
    "model": "Model",
    "key": "Keys of services",
    "server": "Servers on this machine",
    "extra": "Extras of aimu",
    "gpu": "GPU",
}


def doctor(options: Namespace) -> int:
    """Run the subcommand and return its exit code."""
    return interrupts.run(partial(_doctor, options))


async def _doctor(options: Namespace, received: interrupts.Interrupts) -> int:
    if not options.json:
        print("asking servers, and torch in a process of its own, which takes some seconds", file=sys.stderr)
    found = [*checks.python(), *checks.keys(), *checks.extras()]

    async def ask_servers() -> None:
        found.extend(await checks.servers())

    async def ask_torch() -> None:
        found.append(await checks.gpu())

    async def look_at_model() -> None:
        found.extend(await to_thread.run_sync(lambda: list(checks.model(options.model)), abandon_on_cancel=True))

    async with anyio.create_task_group() as group:
        for look in (ask_servers, ask_torch, look_at_model):
            group.start_soon(look)
    found.sort(key=lambda check: list(TITLES).index(check.kind))
    if options.json:
        print(json.dumps([attrs.asdict(check) for check in found], indent=2))
    else:
        _show(found)
    return exits.FAILED if any(check.state == "broken" for check in found) else exits.OK


def _show(found: list[Check]) -> None:
    kind = ""
    for check in found:
        if check.kind != kind:
            kind = check.kind
            print(styled(TITLES[kind], "bold", sys.stdout))
        mark, style = MARKS[check.state]
        text = line_of("; ".join(filter(None, (check.found, check.remedy))))
        line = folded(f"  {mark} {line_of(check.name):<14} {text}", sys.stdout, margin=MARGIN)
        if check.state == "absent":
            print(styled(line, "dim", sys.stdout))
        else:
            print(line.replace(mark, styled(mark, style, sys.stdout), 1))
    broken = [check.name for check in found if check.state == "broken"]
    print(f"broken: {line_of(', '.join(broken))}" if broken else "nothing is broken")
