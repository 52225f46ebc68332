"""Servers of other projects as child processes: started on free ports, waited for, ended with all their children."""

import os
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager, suppress
from urllib.error import URLError

from tests.ports import free_port

PATIENCE = 240  # seconds until a server answers; importing torch takes a busy machine a while
LOGS = {}  # by the name of a running server


@contextmanager
def served(name, command, *, ready, folder, **environment):
    """The base URL of a server, as soon as its path `ready` answers; "PORT" in `command` becomes a free one."""
    port = str(free_port())
    url, log = f"http://127.0.0.1:{port}", folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [word.replace("PORT", port) for word in command],
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one signal reaches the server and its children
        )
    LOGS[name] = log
    try:
        _wait(process, name, url + ready)
        yield url
    finally:
        _end(process)
        del LOGS[name]


def _wait(process, name, url):
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(URLError, OSError), urllib.request.urlopen(url, timeout=10):
            return
        time.sleep(0.2)
    state = "gives no answer" if process.poll() is None else f"ended with {process.returncode}"
    raise AssertionError(f"{name} {state}\n{tail(LOGS[name])}")


def _end(process):
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def tail(log, lines=30):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
