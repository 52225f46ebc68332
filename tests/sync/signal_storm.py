"""Calls of the sync surface while a signal handler raises at random instants: a program for test_any_exception.

    python -m tests.sync.signal_storm KIND scripted|http ROUNDS

After each interrupted call, the same conversation must answer, although its provider has one slot only. A call that
hangs ends the process with the stacks of all threads.
"""

import asyncio
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
from contextlib import ExitStack

import aimu
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.loopback import loopback_server

LIMIT = 30.0  # s, for one round


class OfATest(BaseException):
    """As a test framework raises it, past all `except Exception`."""


KINDS = {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit, "OfATest": OfATest, "Timeout": TimeoutError}


def plain(client):
    client.chat("1")


def pulled(client):
    for _ in client.chat("1", stream=True):
        pass


def entered(client):
    with client.chat("1", stream=True) as stream:
        for _ in stream:
            pass


def dropped(client):
    next(client.chat("1", stream=True))


def in_a_loop(way):
    def run(client):
        async def cell():
            try:
                way(client)
            finally:
                loop.stop()  # if a handler raises in the callback that would, asyncio only logs it, and runs for ever

        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(cell())
        finally:
            loop.close()

    return run


WAYS = [plain, pulled, entered, dropped, *map(in_a_loop, (plain, pulled, entered))]


def give_up():
    faulthandler.dump_traceback()
    os._exit(3)


def answer(request):
    if request.tools and request.messages[-1]["role"] != "tool":
        return reply(calls=[(request.tools[0]["function"]["name"], {"number": 1})])
    return reply("word " * 20)


def storm(client, other, kind, longest, rounds):
    @tool
    def look(number: int) -> str:
        """Look."""
        return "seen"

    @tool
    def ask(number: int) -> str:
        """Ask another conversation."""
        return other.fork().chat("1")

    def strike(number, frame):
        raise kind

    signal.signal(signal.SIGALRM, strike)
    chance = random.Random(1)
    struck = 0
    for number in range(rounds):
        watch = threading.Timer(LIMIT, give_up)
        watch.start()
        conversation = client.fork()
        conversation.tools = chance.choice([[], [look], [ask]])
        again = chance.choice([0, 0, 0.002])
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, longest), again)
                chance.choice(WAYS)(conversation)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except kind:
            struck += 1
        assert signal.getsignal(signal.SIGALRM) is strike
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        gc.collect()  # the loops of this program keep exceptions, and so the streams that their tracebacks hold
        conversation.tools = []
        assert conversation.chat("1"), number
        assert other.fork().chat("1"), number
        watch.cancel()
    print(struck)


def main():
    kind, provider, rounds = KINDS[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    with ExitStack() as stack:
        if provider == "http":
            url = stack.enter_context(loopback_server())
            make = lambda: aimu.client("openai:20", base_url=f"{url}/1ms/v1", api_key="k", max_concurrency=1)  # noqa: E731
            longest = 0.03
        else:
            make = lambda: aimu.client(ScriptedProvider(answer, repeat=True), max_concurrency=1)  # noqa: E731
            longest = 0.002
        client, other = make(), make()
        client.fork().chat("1")  # imports all that a request needs
        gc.freeze()
        storm(client, other, kind, longest, rounds)


if __name__ == "__main__":
    main()
