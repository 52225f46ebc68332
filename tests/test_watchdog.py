"""A test that hangs ends the run, and the output says where every thread and every task is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HANGING = """
import asyncio, ctypes, threading, time
import anyio, pytest

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

async def wait_for_nobody():
    await anyio.Event().wait()

async def items():
    await wait_for_nobody()
    yield 1

async def read():
    async for _ in items():
        pass

@pytest.fixture
def soon(request):
    return lambda: request.config.pluginmanager.get_plugin("watchdog").watch(request.node.nodeid, 1)

async def test_tasks(soon):
    async with anyio.create_task_group() as group:
        group.start_soon(read, name="the reader")
        await anyio.wait_all_tasks_blocked()
        soon()
        await wait_for_nobody()

@pytest.fixture
def held(soon):
    yield
    with anyio.from_thread.start_blocking_portal() as portal:
        portal.start_task_soon(soon)
        portal.call(wait_for_nobody)

def test_teardown(held):
    pass

def hold():
    time.sleep(60)

def test_threads(soon):
    thread = threading.Thread(target=hold, name="the holder", daemon=True)
    thread.start()
    soon()
    thread.join()

def test_native(soon):
    soon()
    ctypes.PyDLL(None).sleep(60)  # holds the interpreter meanwhile

def test_late(request, soon):
    request.config.pluginmanager.get_plugin("watchdog").session_end = time.monotonic() + 1
    soon()
    time.sleep(60)

def test_thread_that_stays():
    threading.Thread(target=hold, name="the one who stays").start()
"""


def run(folder, name, **environment):
    """The output of a run that is to end by itself."""
    (folder / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n", encoding="utf8")
    (folder / "test_hanging.py").write_text(HANGING, encoding="utf8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.watchdog", "-c", folder / "pytest.ini", "--rootdir", folder]
    env = {**os.environ, "AIMU_TEST_LIMIT": "90", "AIMU_LIMIT_GRACE": "2", **environment}
    command += [f"{folder / 'test_hanging.py'}::{name}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_stacks_of_all_tasks_are_shown(tmp_path, backend):
    shown = run(tmp_path, f"test_tasks[{backend}]")
    assert f"test_hanging.py::test_tasks[{backend}]: it hangs" in shown
    reader = shown.partition(f"{backend} task the reader\n")[2].partition("\n\n")[0]
    assert [line.split()[-1] for line in reader.splitlines() if "test_hanging.py" in line] == [
        "read",
        "items",
        "wait_for_nobody",
    ]
    assert "in test_tasks\n    async with anyio" in shown or "in test_tasks\n    await wait_for_nobody()" in shown


def test_a_fixture_that_hangs_is_met_in_its_event_loop(tmp_path):
    shown = run(tmp_path, "test_teardown")
    assert "asyncio task " in shown
    assert "in wait_for_nobody" in shown
    assert "in held\n    portal.call(wait_for_nobody)" in shown


def test_the_stacks_of_all_threads_are_shown(tmp_path):
    shown = run(tmp_path, "test_threads")
    assert "in hold" in shown.partition("thread the holder\n")[2].partition("\n\n")[0]
    assert "in test_threads\n    thread.join()" in shown.partition("thread MainThread\n")[2]


def test_native_code_that_holds_the_interpreter_is_ended_too(tmp_path):
    shown = run(tmp_path, "test_native")
    assert "Timeout" in shown
    assert "in test_native" in shown


def test_the_session_has_a_limit_of_its_own(tmp_path):
    shown = run(tmp_path, "test_late", AIMU_SESSION_LIMIT="600")
    assert "test_hanging.py::test_late: the session took longer than 600 s" in shown
    assert "in test_late" in shown


def test_a_thread_that_keeps_the_interpreter_from_ending_is_met(tmp_path):
    shown = run(tmp_path, "test_thread_that_stays")
    assert "the end of the interpreter: it hangs" in shown
    assert "thread the one who stays" in shown
