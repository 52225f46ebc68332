"""In a child of `os.fork()` everything can be used, whatever the threads of its parent were doing."""

import asyncio
import os
import signal
import traceback

import pytest

import aimu
from aimu import aio
from aimu._core import answer as answer_module
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import Hold, join, start
from tests.loopback import loopback_server

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
LIMIT = 30  # s, for one child


def in_a_child(func):
    """Run `func` in a forked child, and fail if it fails there or hangs."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        try:
            func()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(scope="module")
def server():
    with loopback_server() as url:
        yield url


CLIENTS = []


def over_http(server, kind="ok", model="5", **options):
    CLIENTS.append(aimu.client(f"openai:{model}", base_url=f"{server}/{kind}/v1", api_key="k", **options))
    return CLIENTS[-1]


@pytest.fixture(autouse=True)
def close_clients():
    yield
    while CLIENTS:
        CLIENTS.pop().close()


@pytest.fixture
def held(server):
    """A client whose conversation and only slot another thread is using."""
    client = over_http(server, "1ms", "20", limits=aio.Limits(1))
    with Hold() as hold:

        def read():
            with client.chat("1", stream=True) as stream:
                next(stream)
                hold()

        threads = start(read)
        assert hold.reached.wait(10)
        yield client
    join(threads)


def in_asyncio(func):
    async def main():
        func()

    return lambda: asyncio.run(main())


@pytest.mark.parametrize("place", [lambda func: func, in_asyncio], ids=["plain", "asyncio"])
def test_a_slot_and_a_conversation_that_another_thread_holds_are_free_in_the_child(held, place):
    def use():
        assert held.fork().chat("7") == "7"
        assert held.chat("8") == "8"
        with held.chat("9", stream=True) as stream:
            assert list(stream)[-1].content
        assert repr(held.fork())

    in_a_child(place(use))


def test_locks_that_another_thread_holds_are_free_in_the_child():
    client = aimu.client(ScriptedProvider("a", repeat=True), max_concurrency=1)
    conversation, provider = client.__aio__.conversation, client.__aio__.provider
    with Hold() as hold:

        def hold_locks():
            with conversation._lock.lock, provider._counting.lock, provider._slots[0]._lock:
                hold()

        threads = start(hold_locks)
        assert hold.reached.wait(10)
        in_a_child(lambda: client.chat("?"))
    join(threads)
    assert client.chat("?") == "a"


def test_a_stream_that_is_paused_goes_on_in_the_parent_and_is_closed_in_the_child(server):
    client = over_http(server, "1ms", "20", max_concurrency=1)
    paused = client.chat("1", stream=True)
    next(paused)

    def use():
        assert client.chat("9") == "9"
        with pytest.raises(aimu.errors.StreamClosedError, match="fork"):
            next(paused)
        paused.close()

    in_a_child(use)
    assert sum(chunk.is_text() for chunk in paused) == 19
    assert client.chat("8") == "8"


def test_a_child_has_connections_of_its_own(server):
    client = over_http(server)
    assert client.chat("1") == "1"

    def use():
        for number in range(30):
            assert client.chat(f"{number}") == f"{number}"

    child = os.fork()
    if not child:
        try:
            use()
        except BaseException:
            os._exit(1)
        os._exit(0)
    use()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_tool_may_fork_and_the_child_may_call_and_even_go_on(server):
    parent = os.getpid()
    children = []

    @tool
    def fork(number: int) -> str:
        """Fork; the child goes on with the run, too."""
        in_a_child(lambda: over_http(server).chat("3"))
        children.append(os.fork())
        return "forked"

    client = over_http(server, tools=[fork])
    try:
        answer = client.chat("4")
        again = client.chat("5") if os.getpid() != parent else None
    except BaseException:
        if os.getpid() != parent:
            os._exit(1)
        raise
    if os.getpid() != parent:
        os._exit(0 if (answer, again) == ("forked", "forked") else 2)
    assert answer == "forked"
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


def test_a_child_that_a_tool_forks_inside_a_running_loop_learns_that_it_cannot_go_on():
    parent = os.getpid()
    children = []

    @tool
    def fork() -> str:
        """Fork."""
        children.append(os.fork())
        return "forked"

    client = aimu.client(ScriptedProvider(reply(calls=[("fork", {})]), "ok"), tools=[fork])

    async def main():
        try:
            return client.chat("?")
        except BaseException as exc:
            if os.getpid() != parent:
                os._exit(0 if isinstance(exc, aimu.errors.UsageError) and "os._exit" in str(exc) else 1)
            raise

    assert asyncio.run(main()) == "ok"
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


def test_an_account_counts_although_another_thread_was_counting():
    client = aimu.client(ScriptedProvider("one"))
    with Hold() as hold:

        def count():
            with answer_module._counting.lock:
                hold()

        threads = start(count)
        assert hold.reached.wait(10)
        in_a_child(lambda: client.chat("?"))
    join(threads)
