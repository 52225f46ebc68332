"""The command on a scripted model: `python -m tests.cli.program chat ...` in a terminal of a test."""

import fcntl
import os
import signal
import sys
import termios
import time

from attrs import define

from aimu import aio
from aimu._cli import interrupts, opening
from aimu._cli.main import entry
from aimu.errors import AuthenticationError, OverloadedError, RefusedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import StopReason

TOOLS = "--tools=tests.cli.program:lookup,broken,blocking,hostile,stuck"
LONG = "\n\n".join(
    [
        "# Tides",
        "A tide is the **rise and fall** of the sea. It has `two` causes.",
        "\n".join(f"{number}. reason number {number} of many" for number in range(1, 41)),
        "```python\n" + "\n".join(f"line_{number} = {number}" for number in range(1, 31)) + "\n```",
        "The end.",
    ]
)
HOSTILE = "Title \x1b]0;owned\x07 \x1b[2J\x1b[31mred [bold]markup[/bold] \x9b31m <b>tag</b> 中文 👩‍💻 end"


ERRORS = {
    "busy": OverloadedError("the service is busy", provider="scripted"),
    "refused": RefusedError("the model declines", provider="scripted"),
    "key": AuthenticationError("the key is wrong\x1b[2J", provider="scripted"),
    "bug": ZeroDivisionError("division by zero"),
}


@define
class Value:
    value: int


@tool
def lookup(word: str) -> str:
    """Look a word up."""
    return f"{word} is a word\nwith a second line"


@tool
def broken(word: str) -> str:
    """Fail."""
    raise ValueError(f"no {word}")


@tool
def blocking(seconds: float) -> str:
    """Block the thread."""
    mark("blocking now")
    time.sleep(seconds)
    return "awake"


@tool(on_event_loop=True)
def stuck(seconds: float) -> str:
    """Block the event loop."""
    print("stuck now", flush=True)
    time.sleep(seconds)
    return "awake"


@tool
def hostile() -> str:
    """Return what a terminal must not see."""
    return HOSTILE


def mark(text):
    """Tell a test where the program is."""
    if os.environ.get("MARKS"):
        print(text, file=sys.stderr, flush=True)


def answer(request):
    """What the scripted model says to the last message."""
    mark("asked")
    last = request.messages[-1]
    text = last["content"]
    if last["role"] == "tool":
        return reply("It says: " + text, delay=0.01)
    if text.startswith("call "):
        name, _, argument = text.removeprefix("call ").partition(" ")
        key = {
            "echo": "text",
            "blocking": "seconds",
            "stuck": "seconds",
            "hostile": None,
            "activate_skill": "name",
        }.get(name, "word")
        arguments = {} if key is None else {key: float(argument) if key == "seconds" else argument}
        return reply(thinking="I need a tool for that.", calls=[(name, arguments)], delay=0.01)
    if text == "long":
        return reply(LONG, delay=0.004)
    if text == "slow":
        return reply("word " * 1000, delay=0.05)
    if text == "wait":
        return reply(delay=60)
    if text == "think":
        return reply("Done.", thinking="I ponder. " * 1000, delay=0.05)
    if text == "hostile":
        return reply(HOSTILE, thinking=HOSTILE, delay=0.01)
    if text.startswith("fail "):
        return ERRORS[text.removeprefix("fail ")]
    if text == "cut off":
        return reply("Half of the", stop_reason=StopReason.MAX_TOKENS)
    if text == "number":
        return reply('{"value": 42}')
    if text == "history":
        return reply(" ".join(message["role"] for message in request.messages))
    return reply(f"You said: {text}")


def take_terminal():
    """Make the terminal of a test that of the process, so that Ctrl-C is a signal."""
    if os.environ.get("AIMU_TEST_TERMINAL"):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if (ignored := os.environ.get("NOHUP")) is not None or "AIMU_TEST_TERMINAL" in os.environ:  # as a user has it
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)


def open_client(model, in_process):
    time.sleep(600 if model == "vllm:slow" else float(os.environ.get("SLOW_LOAD", "0")))
    return aio.client(ScriptedProvider(answer, repeat=True, name=model))


if __name__ == "__main__":
    take_terminal()
    opening.open_client = open_client
    interrupts.GRACE = float(os.environ.get("GRACE", interrupts.GRACE))
    entry(sys.argv[1:])
