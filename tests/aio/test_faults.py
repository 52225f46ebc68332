"""Tests the cancellation tests: they catch every deliberate fault on at least one backend."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.aio.faults import FAULTS

ROOT = Path(__file__).parents[2]


def caught(fault, backend):
    command = [sys.executable, "-m", "tests.aio.faults", fault, backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert f"{fault} on {backend}: " in done.stdout, done.stdout + done.stderr
    print(done.stdout.splitlines()[-1])
    return done.returncode == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_every_deliberate_fault_is_caught(fault):
    first, second = (
        ("trio", "asyncio") if "channel" in fault else ("asyncio", "trio")
    )  # the backend that shows it sooner
    assert caught(fault, first) or caught(fault, second)
