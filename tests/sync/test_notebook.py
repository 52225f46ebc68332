"""The sync surface in the kernel of a notebook, whose cells run inside a running event loop."""

import threading

import nbclient
import nbformat
import pytest

SETUP = """
import asyncio, sqlite3, threading
asyncio.get_running_loop()
import aimu
from aimu.agents import Agent, Parallel
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
database = sqlite3.connect(":memory:")

@tool
def ask(question: str) -> str:
    "Ask another agent."
    database.execute("select 1")
    return Agent(aimu.client(ScriptedProvider("42"))).run(question)

def client(*script):
    return aimu.client(ScriptedProvider(*script), tools=[ask])

calls = reply(calls=[("ask", {"question": "?"})])
"""

CELLS = {
    "a call, whose tool calls again, on this thread": "print(client(calls, 'It is 42.').chat('?'))",
    "a stream": "with client(calls, 'It is 42.').chat('?', stream=True) as s: print([c for c in s][-1].content)",
    "a bare stream": "print([c for c in client(calls, 'It is 42.').chat('?', stream=True)][-1].content)",
    "workers": "print(Parallel.from_client(client('It is', '42.'), ['a', 'b'], separator=' ').run('?'))",
    "the async surface": "from aimu import aio; print(await aio.client(client('It is 42.')).chat('?'))",
}

INTERRUPTED = """
@tool
def wait() -> str:
    "Wait for ever."
    print("waiting", flush=True)
    threading.Event().wait()

waiting = aimu.client(ScriptedProvider({step}, "It is 42."), tools=[wait])
try:
    waiting.chat("?")
except KeyboardInterrupt:
    print("interrupted", waiting.chat("Go on."))
"""
STEPS = {
    "in a tool": "reply(calls=[('wait', {})])",
    "in a request": "lambda request: print('waiting', flush=True) or reply(delay=3600.0)",
}


@pytest.fixture(scope="module")
def kernel():
    notebook = nbformat.v4.new_notebook()
    client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3")
    with client.setup_kernel():
        run(client, SETUP)
        yield client


def run(client, source, on_output=None):
    """Run a cell and return what it prints; call `on_output` at the first piece."""
    cell = nbformat.v4.new_code_cell(source)
    client.nb.cells.append(cell)
    process, outputs = client.process_message, []

    def watch(message, *args):
        if message["msg_type"] == "stream" and on_output is not None and not outputs:
            outputs.append(message)
            threading.Thread(target=on_output).start()
        return process(message, *args)

    client.process_message = watch
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1)
    finally:
        client.process_message = process
    assert {output["output_type"] for output in cell.outputs} <= {"stream"}
    assert {output["name"] for output in cell.outputs} <= {"stdout"}
    return "".join(output["text"] for output in cell.outputs)


@pytest.mark.parametrize("source", CELLS.values(), ids=CELLS)
def test_the_sync_surface_works_in_a_cell(kernel, source):
    assert run(kernel, source) == "It is 42.\n"


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_interrupting_a_cell_ends_the_run_and_the_conversation_continues(kernel, step):
    def interrupt():
        kernel.km.provisioner.process.send_signal(2)

    printed = run(kernel, INTERRUPTED.format(step=step), interrupt)
    assert printed == "waiting\ninterrupted It is 42.\n"
