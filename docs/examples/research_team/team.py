"""A research team: three researchers, each with an MCP server of their own; then a writer and a critic.

    pip install '.[mcp]'
    python docs/examples/research_team/team.py
    python docs/examples/research_team/team.py --crash    # a server dies in the middle of a call

The researchers work at once. A server that dies or does not start is no reason to stop: the call fails, the researcher
reads why, and the others go on. Writer and critic take turns until the critic passes the report. At the end no process
of a server is left. Runs on asyncio and on trio.

For your own: put your servers into `server` and your roles into `RESEARCHERS`, and put a real model into `client`,
at the end. No key is needed as it is: `scripted` stands for the model, and the servers are in `servers.py`.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from aimu import aio
from aimu.providers import Request
from aimu.testing import ScriptedProvider, Step, reply

SERVERS = Path(__file__).with_name("servers.py")
QUESTION = "Why did Hallstad build a sea wall?"
RESEARCHERS = {  # name, which is also that of the server: the system message
    "library": "You are the librarian. Find what books say.",
    "figures": "You are the statistician. Find figures.",
    "archive": "You are the archivist. Find letters.",
}
WRITER = "You are the writer. Write a report from what the researchers found. Say what is missing."
CRITIC = "You are the critic. Say PASS if the report names its sources, else what to mend."


def server(name: str, *, crash: bool) -> aio.MCPClient:
    """A child process that serves the tools of one researcher; none, with a warning, if it does not start."""
    env = {"CRASH": "1"} if crash and name == "archive" else {}
    config = {name: {"command": sys.executable, "args": [str(SERVERS), name], "env": env}}
    return aio.MCPClient(config=config, on_error="skip")


async def research(client: aio.AsyncBaseModelClient, question: str, crash: bool = False) -> aio.Answer:
    """Return the report; print each tool call."""
    async with AsyncExitStack() as servers:
        researchers: list[aio.Agent] = []
        for name, prompt in RESEARCHERS.items():
            tools = await servers.enter_async_context(server(name, crash=crash))
            researchers.append(aio.Agent(client, prompt, name, tools=[tools]))
        report = aio.EvaluatorOptimizer(
            aio.Agent(client, WRITER, "writer"), aio.Agent(client, CRITIC, "critic"), max_rounds=3
        )
        team = aio.Chain([aio.Parallel(researchers, on_error="collect"), report])
        async with team.run(question, stream=True, timeout=300) as stream:
            async for chunk in stream:
                show(chunk)
        return stream.result


def show(chunk: aio.StreamChunk) -> None:
    if chunk.is_tool_call() and "response" in chunk.content:
        result = str(chunk.content["response"]).replace("\n", " ")
        print(f"{chunk.agent:>10}  {chunk.content['name']}({chunk.content['arguments']}) -> {result}", flush=True)


def scripted(request: Request) -> str | Step:
    """Answer in each role as a model might."""
    role, last = request.messages[0]["content"].split()[3].strip("."), request.messages[-1]
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "librarian": ("find_books", {"words": "storm"}),
        "statistician": ("highest_tide", {"year": 1921}),
        "archivist": ("find_letters", {"name": "Lie"}),
    }
    if last["role"] == "tool":
        failed = last["content"].startswith("Error")
        return f"The {role} could not look." if failed else f"The {role} found: {last['content']}"
    if role in calls:
        return reply(calls=[calls[role]])
    if role == "critic":
        return "PASS" if "Sources:" in last["content"] else "Name the sources."
    found = [line for line in request.messages[1]["content"].splitlines() if line.startswith("The ")]
    return "\n".join(["Hallstad built its wall after 1921.", *["Sources:"] * ("Name the" in last["content"]), *found])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Research a question with three MCP servers.")
    parser.add_argument("--crash", action="store_true", help="let a server die in the middle of a call")
    crash = parser.parse_args().crash
    client = aio.client(ScriptedProvider(scripted, repeat=True))  # aio.client("anthropic:claude-sonnet-4-6")
    try:
        report = anyio.run(research, client, QUESTION, crash)  # on trio: add backend="trio"
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{report}")
