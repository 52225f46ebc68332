"""The process: parses the command line, runs a subcommand, and ends with an exit code and without a traceback."""

from __future__ import annotations

import os
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from io import TextIOWrapper
from typing import IO, NoReturn

from anyio import to_thread

from aimu._cli import exits, interrupts
from aimu._cli.arguments import parse
from aimu.errors import AimuError, MissingExtraError

_NEEDED = {"rich": "rich", "prompt_toolkit": "prompt-toolkit"}
_LEAVING = 0.5  # s for threads that have been given up to end by themselves


def entry(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process."""
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):  # one that was closed is None
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if descriptor else "r", encoding="utf8"))  # noqa: SIM115
    code = main(arguments)
    stdout, sys.stdout = sys.stdout, sys.stderr  # what threads and modules still print is not for stdout
    try:
        stdout.flush()
    except OSError as exc:  # such as a full disk, or a terminal that was closed
        _discard(stdout)
        if code < exits.SIGNALLED:
            code = exits.BROKEN_PIPE if isinstance(exc, BrokenPipeError) else exits.report(exc, debug=False)
    deadline = time.monotonic() + (0 if code > exits.SIGNALLED else _LEAVING)
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):  # such as a tool that was stopped: Python would wait for its end
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: The command line; None is that of the process.

    Raises:
        SystemExit: The command line is wrong, or asks for help or the version.
    """
    options = parse(arguments)
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, TextIOWrapper):
            file.reconfigure(errors="backslashreplace")
    try:
        return _run(options)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _discard(sys.stdout)
        return exits.BROKEN_PIPE
    except Exception as exc:  # noqa: BLE001 - the edge of the program
        return exits.report(exc, debug=options.debug)


def _run(options: Namespace) -> int:
    if options.command in ("chat", "run"):
        missing = next((package for package in _NEEDED if find_spec(package) is None), None)
        if missing is not None:
            raise MissingExtraError(_NEEDED[missing], "cli")
    if options.command == "chat":
        from aimu._cli.chat import chat

        return chat(options)
    if options.command == "run":
        from aimu._cli.run import run

        return run(options)
    if options.command == "models":
        from aimu._cli.models import models

        return models(options)
    if options.command == "doctor":
        from aimu._cli.doctor import doctor

        return doctor(options)
    return _demo(options)


def _demo(options: Namespace) -> int:
    from aimu._cli.choice import embedded
    from aimu._cli.demo import demo

    model, scripted = options.model or "", options.scripted
    if not (model or scripted):
        try:
            model = embedded().model
        except AimuError:
            print("no engine is installed: scripted answers replace the model (the extras hf and llamacpp add one)")
            scripted = True

    async def in_thread(received: interrupts.Interrupts) -> int:  # which Ctrl-C leaves alone, also while weights load
        shown = partial(demo, model, seed=options.seed, scripted_answers=scripted)
        await to_thread.run_sync(shown, abandon_on_cancel=True)
        return exits.OK

    return interrupts.run(in_thread)


def _discard(stdout: IO[str]) -> None:
    """Discard what stdout could not write, such as to `head` that has left, about which Python complains at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
