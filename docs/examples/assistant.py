"""An assistant in the terminal, with skills and the tools of MCP servers.

    pip install '.[mcp,skills]'
    python docs/examples/assistant.py

Ask for release notes, and it loads the skill in docs/examples/skills; ask about the storm, and it looks into the
library of an MCP server. Text appears as it is written. Ctrl-C stops an answer, and the conversation goes on with what
was said so far; Ctrl-D ends. This is the sync surface, so there is no `await`, and your own tools run on your thread.

For your own: put a real model into `client`, at the end; write skills into docs/examples/skills or ~/.agents/skills;
name your servers in `SERVERS`, or take over the file of another program with `MCPClient(file="mcp.json")`. No key is
needed as it is: `scripted` stands for the model.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import aimu
from aimu.agents import SkillAgent
from aimu.errors import AimuError
from aimu.providers import Request
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider, Step, reply
from aimu.tools import MCPClient

with suppress(ImportError):  # Windows has none
    import_module("readline")  # `input` then edits lines and remembers them

HERE = Path(__file__).parent
SERVERS = {"library": {"command": sys.executable, "args": [str(HERE / "research_team" / "servers.py"), "library"]}}
DIM, RESET = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")


def chat(client: aimu.ModelClient) -> None:
    """Answer until the user ends the input."""
    with MCPClient(config=SERVERS, on_error="skip") as servers:
        skills = SkillManager(project=HERE)
        agent = SkillAgent(client, "You are a helpful assistant.", tools=[servers], skill_manager=skills)
        while True:
            try:
                task = input("\n> ")
            except (EOFError, KeyboardInterrupt):
                print()
                return
            try:
                answer(agent, task)
            except KeyboardInterrupt:
                print(f" {DIM}[stopped]{RESET}")
            except AimuError as error:  # such as a model service that does not answer; ask again
                print(f"{DIM}[{error}]{RESET}")


def answer(agent: SkillAgent, task: str) -> None:
    """Run one task, and print it as it comes."""
    with agent.run(task, stream=True) as stream:
        for chunk in stream:
            if chunk.is_text():
                print(chunk.content, end="", flush=True)
            elif chunk.is_tool_call() and "response" not in chunk.content:
                print(f"{DIM}[{chunk.content['name']} {chunk.content['arguments']}]{RESET}", flush=True)
    print()


def scripted(request: Request) -> str | Step:
    """Answer as a model might."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return f"I read this:\n{last['content']}"
    if "release notes" in last["content"]:
        return reply(calls=[("activate_skill", {"name": "release-notes"})])
    if "storm" in last["content"]:
        return reply(calls=[("find_books", {"words": "storm"})])
    return reply(
        f"You said {last['content']!r}. " + "I am only a script, but I can go on for a while. " * 9, delay=0.05
    )


if __name__ == "__main__":
    with aimu.client(ScriptedProvider(scripted, repeat=True)) as client:  # aimu.client("anthropic:claude-sonnet-4-6")
        chat(client)
