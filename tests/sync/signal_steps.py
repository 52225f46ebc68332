"""Calls of the sync surface, with a signal at each step of its own code: a program for test_any_exception.

    python -m tests.sync.signal_steps [WAY ...]

The signal comes at the call of each function in `aimu/_sync`, and its handler raises. Afterwards the same conversation
must answer, although its provider has one slot only, and the program's handlers must be in place. Of a way that makes
many steps, every seventh one is tried.
"""

import gc
import os
import signal
import sys
import threading
import warnings

import aimu
from aimu import _sync
from aimu.testing._scripted import ScriptedProvider
from aimu.tools import tool
from tests.sync.signal_storm import LIMIT, WAYS, OfATest, answer, give_up

ROOM = os.path.dirname(_sync.__file__)
MANY = 60


class Striker:
    """Sends a signal at step `at`."""

    def __init__(self, at):
        self.at = at
        self.steps = 0
        self.raised = 0

    def handler(self, number, frame):
        self.raised += 1
        raise OfATest

    def on_step(self, frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(ROOM):
            self.steps += 1
            if self.steps == self.at:
                signal.raise_signal(signal.SIGALRM)


def struck(way, conversation, striker):
    """Run it, and tell whether the step was reached."""
    signal.signal(signal.SIGALRM, striker.handler)
    sys.setprofile(striker.on_step)
    try:
        way(conversation)
    except OfATest:
        pass
    finally:
        sys.setprofile(None)
    return striker.steps >= striker.at


def main():
    names = sys.argv[1:]
    provider = ScriptedProvider(answer, repeat=True)
    client = aimu.client(provider, max_concurrency=1)

    @tool
    def look(number: int) -> str:
        """Look."""
        return "seen"

    sys.unraisablehook = lambda unraisable: None  # Python has no one to tell that a finaliser was interrupted
    warnings.simplefilter("ignore", RuntimeWarning)  # nor that a coroutine was, before it began
    total = 0
    for number, way in enumerate(WAYS):
        if names and str(number) not in names:
            continue
        at = 0
        going = True
        while going:
            at += 1 if at < MANY else 7
            watch = threading.Timer(LIMIT, give_up)
            watch.start()
            conversation = client.fork()
            conversation.tools = [look]
            striker = Striker(at)
            going = struck(way, conversation, striker)
            total += striker.raised
            where = (way.__qualname__, number, at)
            gc.collect()
            assert signal.getsignal(signal.SIGALRM) == striker.handler, where
            conversation.tools = []
            assert conversation.chat("1"), where
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, where
            watch.cancel()
    print(total)


if __name__ == "__main__":
    main()
