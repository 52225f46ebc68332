"""The programs under docs/examples/: as modules, and as a user starts them."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE = 240  # s; for what takes seconds on an idle machine
STRICT = ["-X", "dev", "-W", "error::ResourceWarning"]


def warnings_of(stderr):
    """The lines of a program's standard error that complain about something left open."""
    # To the end of the program llama-cpp-python keeps files on the null device open, and torch 2.6 a temporary folder.
    others = "name='/dev/null'", "Implicitly cleaning up <TemporaryDirectory"
    said = [line for line in stderr.splitlines() if not any(other in line for other in others)]
    return [line for line in said if "ResourceWarning: " in line or "never awaited" in line]


def load(path):
    """Import a program without running it."""
    spec = spec_from_file_location(f"examples_{Path(path).stem}", FOLDER / path)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where pydantic and attrs look for the names in annotations
    spec.loader.exec_module(module)
    return module


def command(path, *arguments):
    return [sys.executable, *STRICT, str(FOLDER / path), *map(str, arguments)]


def refused(path, *arguments, cwd):
    """Start a program with arguments that it cannot use, and return what it says instead of a traceback."""
    done = subprocess.run(command(path, *arguments), capture_output=True, text=True, timeout=PATIENCE, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"usage: {Path(path).name} ")
    assert "Traceback" not in done.stderr
    return done.stderr


def run(path, *arguments, cwd=None, **variables):
    """Run a program to its end, and return what it printed."""
    done = subprocess.run(
        command(path, *arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not warnings_of(done.stderr), done.stderr
    return done.stdout
