"""Runs the tests of `waits` in a process of their own: a wait for oneself cannot be cancelled, and the process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("surface", ["aio", "sync"])
def test_nothing_waits_for_itself(surface):
    waits = f"tests/{surface}/waits.py"
    command = [sys.executable, "-m", "pytest", "--maxfail=5", "-q", "-p", "no:cacheprovider", waits]
    limits = {"AIMU_TEST_LIMIT": "30", "AIMU_LIMIT_GRACE": "5"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, cwd=ROOT, env={**os.environ, **limits}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
