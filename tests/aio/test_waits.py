"""Runs each test of `waits` in a process of its own: a wait for oneself cannot be cancelled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aio import waits

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in vars(waits) if name.startswith("test_")])
def test_nothing_waits_for_itself(name):
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/aio/waits.py::{name}"]
    limits = {"AIMU_TEST_LIMIT": "30", "AIMU_LIMIT_GRACE": "5"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, cwd=ROOT, env={**os.environ, **limits}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
