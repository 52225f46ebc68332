"""Deliberate faults: edits of the library's source, each of which the cancellation tests must catch.

    python -m tests.aio.faults NAME BACKEND     # exits with 0 if a scenario fails, as it should

The edits are made while a module is imported. If the source no longer has the text of an edit, an error is raised, so
that the list stays up to date.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from functools import partial

FAULTS = {
    "an await inside the commit": (
        "aimu.aio._loop",
        "                outcome = turn.end_iteration()\n",
        "                from aimu._core.messages import assistant_message\n"
        "                turn.history.messages.extend([*turn.staged, assistant_message(turn._reply)])\n"
        "                turn.staged.clear()\n"
        "                await __import__('anyio').lowlevel.checkpoint()\n"
        "                del turn.history.messages[-1]\n"
        "                outcome = turn.end_iteration()\n",
    ),
    "an await between a tool and its result": (
        "aimu.tools._toolbox",
        "                    on_result(await pending)\n",
        "                    value = await pending\n"
        "                    await anyio.lowlevel.checkpoint()\n"
        "                    on_result(value)\n",
    ),
    "a sync tool's result stored by the task that waits": (
        "aimu.tools._toolbox",
        "                on_result(result)\n            return []\n",
        "\n                async def later():\n                    return result\n\n"
        "                return [later()]\n            return []\n",
    ),
    "a thread that is not waited for": (
        "aimu._core.threads",
        "                        while not left.is_set():\n",
        "                        while False:\n",
    ),
    "a dropped stream that is not settled": (
        "aimu.aio._stream",
        "is _State.PULLED and self._run is not None:\n            self._run.settle()\n",
        "is _State.PULLED and self._run is not None:\n            pass\n",
    ),
    "a strong reference from the run to its generator": (
        "aimu.aio._stream",
        "weakref.ref(self._steps)",
        "lambda steps=self._steps: steps",
    ),
    "no aclosing around the steps that are pumped": (
        "aimu.aio._stream",
        "                async with Nested(self._begin(run)) as steps:\n",
        "                if steps := self._begin(run):\n",
    ),
    "a paused turn that stays busy": (
        "aimu.aio._conversation",
        "            if not user.abandoned():\n",
        "            if True:\n",
    ),
    "a paused turn that is settled without its stream knowing": (
        "aimu.aio._conversation",
        "            user.superseded = True\n",
        "            pass\n",
    ),
    "a turn that is not settled when its run ends": (
        "aimu.aio._loop",
        "    finally:\n        turn.settle()\n",
        "    finally:\n        pass\n",
    ),
    "the channel closed before its producers have ended": (
        "aimu.aio._pump",
        "        self.left = True\n",
        "        self.left = True\n        self._receive.close()\n",
    ),
    "an entered stream whose run continues": (
        "aimu.aio._stream",
        "            await self._pump.leave()\n",
        "            pass\n",
    ),
    "interrupted text thrown away": (
        "aimu.aio._turn",
        "message, results = self._partial(), []",
        "message, results = None, []",
    ),
    "an interrupted turn that does not say so": (
        "aimu.aio._turn",
        "        odd = self.state is SETTLED and self.stop_reason not in NORMAL\n",
        "        odd = False\n",
    ),
    "a mark put only on a new message": (
        "aimu.aio._turn",
        "        elif odd and self.published",
        "        elif False and self.published",
    ),
    "a started call reported as not executed": (
        "aimu.aio._turn",
        "unanswered(call, started=call.id in self._started)",
        "unanswered(call, started=False)",
    ),
}


class Editor(importlib.machinery.PathFinder, importlib.abc.Loader):
    """Imports one module with an edited source."""

    def __init__(self, module, old, new):
        self.module, self.old, self.new = module, old, new

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        source = spec.loader.get_source(name)
        assert source.count(self.old) == 1, f"{name} has this text {source.count(self.old)} times:\n{self.old}"
        self.code = compile(source.replace(self.old, self.new), spec.origin, "exec")
        return importlib.machinery.ModuleSpec(name, self, origin=spec.origin)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.code, module.__dict__)


def first_failure(backend):
    """Return the first failure of the scenarios with the library as it was imported; None if all pass."""
    import anyio

    from aimu.testing import cancel_everywhere
    from tests.aio.scenarios import MODES, STREAMED, AgentScenario, stop_at_every_chunk

    for mode in sorted(MODES, key=["plain", "ticked", *STREAMED].index):  # the fast ones first
        for concurrent in (False, True):
            try:
                for how in ("scope", "native") if backend == "asyncio" else ("scope",):
                    make = partial(AgentScenario, mode, concurrent=concurrent)
                    cancel_everywhere(make, backend=backend, how=how)
                for raising in (False, True) if mode in STREAMED else ():
                    stopped = partial(_stopped, mode, concurrent, raising)
                    anyio.run(stop_at_every_chunk, stopped, backend=backend)
            except BaseException as exc:  # a fault may break the run in any way
                return f"{mode}, {'concurrent' if concurrent else 'sequential'}: {type(exc).__name__}: {exc}"
    return None


def _stopped(mode, concurrent, raising, n):
    from tests.aio.scenarios import AgentScenario

    return AgentScenario(mode, concurrent=concurrent, stop_at=n, raising=raising)


def main(name, backend):
    warnings.simplefilter("ignore")
    if name in FAULTS:
        sys.meta_path.insert(0, Editor(*FAULTS[name]))
        importlib.import_module(FAULTS[name][0])  # here, where an edit that no longer fits is not taken for a failure
    found = first_failure(backend)
    print(f"{name} on {backend}: {found or 'NOT CAUGHT'}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
