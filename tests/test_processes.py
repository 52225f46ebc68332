"""Other processes: a client of a module works in pools of every start method, and what cannot be sent says so."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap

import pytest

import aimu
from aimu import agents, aio
from aimu.testing._scripted import ScriptedProvider
from tests.loopback import loopback_server

POOL = """
import asyncio, multiprocessing, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
import aimu

client = aimu.client("openai:5", base_url=os.environ["URL"], api_key="k", max_concurrency=1)

def ask(number):
    return client.fork().chat(str(number))

def ask_in_a_loop(number):
    async def main():
        return ask(number), await client.__aio__.fork().chat(str(number))
    return asyncio.run(main())

def read(number):
    with client.fork().chat(str(number), stream=True) as stream:
        return list(stream)[-1].content

if __name__ == "__main__":
    assert ask(0) == "0"
    assert ask_in_a_loop(1) == ("1", "1")  # a helper thread lives now
    paused = client.chat("?", stream=True)
    next(paused)  # and the only slot is held
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        numbers = list(map(str, range(8)))
        assert list(pool.map(ask, numbers, timeout=60)) == numbers
        assert list(pool.map(ask_in_a_loop, numbers, timeout=60)) == [(number, number) for number in numbers]
        assert " word" in pool.submit(read, 5).result(timeout=60)
        try:
            pool.submit(print, client).result(timeout=60)
        except TypeError as error:
            assert "make a client in each process" in str(error), error
        else:
            raise AssertionError("it was sent")
    assert " word" in list(paused)[-1].content
    client.close()
    print("ok")
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_client_of_a_module_works_in_the_processes_of_a_pool(method, tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(POOL))
    with loopback_server() as url:
        command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "program.py", method]
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "URL": f"{url}/ok/v1", "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("ok\n", "")


def client():
    return aimu.client(ScriptedProvider("answer", repeat=True))


THINGS = {
    "client": client,
    "async client": lambda: client().__aio__,
    "agent": lambda: agents.Agent(client()),
    "async agent": lambda: aio.Agent(client().__aio__),
    "workflow": lambda: agents.Chain([agents.Agent(client())]),
    "stream": lambda: client().chat("?", stream=True),
    "async stream": lambda: client().__aio__.chat("?", stream=True),
    "results": lambda: aio.amap(aio.Agent(client().__aio__), ["?"]),
    "limits": lambda: aio.Limits(1),
    "provider": lambda: client().__aio__.provider,
}


@pytest.mark.parametrize("make", THINGS.values(), ids=THINGS)
@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_what_stays_in_its_process_says_so_when_it_is_pickled(make, way):
    thing = make()
    with pytest.raises(TypeError, match=r"cannot be pickled, deep-copied or sent to another process; "):
        way(thing)


def test_clients_and_agents_can_still_be_copied():
    assert copy.copy(client()).chat("?") == "answer"
    assert copy.copy(agents.Agent(client())).run("?") == "answer"
