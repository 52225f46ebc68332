"""Runs MCP's conformance suite against `serve_mcp` and against the four forms of the client; prints figures.

    python -m tests.conformance COMMAND [server | asyncio | trio | thread | sync ...]

COMMAND is what starts the suite (`node .../dist/index.js`), as one word. A scenario that fails has to be listed in
`expected.toml` with the reason, and a listed one has to fail; otherwise the exit status is 1.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.ports import accepting, free_port

HERE = Path(__file__).parent
REVISIONS = ("2025-11-25", "2026-07-28")
FORMS = ("asyncio", "trio", "thread", "sync")
AT_ONCE = 2  # a client takes seconds of CPU to start, and the suite gives each a minute
EXPECTED = tomllib.loads((HERE / "expected.toml").read_text("utf8"))


class Suite:
    """The suite of a command."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    def scenarios(self, role: str, revision: str) -> list[str]:
        """Return the names of the scenarios of a role that a revision has."""
        listed = subprocess.run([*self._command, "list", f"--{role}"], check=True, capture_output=True, text=True)
        found = re.findall(r"^ +- (\S+) \[(.*)\]$", listed.stdout, re.MULTILINE)
        return [name for name, revisions in found if revision in revisions.split(",")]

    def failures(self, role: str, revision: str, *arguments: str) -> dict[str, str]:
        """Run all scenarios; return those that fail, with what the suite prints."""

        def output_of_failure(scenario: str) -> str | None:
            words = [role, "--scenario", scenario, "--spec-version", revision, "--timeout", "60000", *arguments]
            done = subprocess.run([*self._command, *words], capture_output=True, text=True)
            return done.stdout + done.stderr if done.returncode else None

        scenarios = self.scenarios(role, revision)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            outputs = zip(scenarios, threads.map(output_of_failure, scenarios), strict=True)
            failed = {name: output for name, output in outputs if output is not None}
        print(f"{len(scenarios) - len(failed)} of {len(scenarios)} scenarios of {revision} pass", flush=True)
        return failed


@contextmanager
def server() -> Iterator[str]:
    """Run the server; yield its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.conformance.server", str(port)]) as process:
        try:
            accepting(process, port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def differences(failed: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    """Yield what differs from the list of expected failures."""
    for name, output in failed.items():
        if name not in expected:
            yield f"{name} fails, and is not in expected.toml:\n{output[-6000:]}"
    for name in expected:
        if name not in failed:
            yield f"{name} passes; remove it from expected.toml"


def main(command: str, *parts: str) -> int:
    if unknown := set(parts) - {"server", *FORMS}:
        sys.exit(f"not one of server, {', '.join(FORMS)}: {', '.join(unknown)}")
    suite = Suite(command)
    wrong = []
    for part in parts or ("server", *FORMS):
        role = "server" if part == "server" else "client"
        for revision in REVISIONS:
            print(f"{part if role == 'server' else f'client, {part}'}: ", end="", flush=True)
            if role == "server":
                with server() as url:
                    failed = suite.failures(role, revision, "--url", url)
            else:
                program = shlex.join([sys.executable, "-m", "tests.conformance.client", part])
                failed = suite.failures(role, revision, "--command", program)
            wrong += [f"{part}, {revision}: {each}" for each in differences(failed, EXPECTED[role][revision])]
    print(*wrong or ["all others fail as expected.toml says"], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
