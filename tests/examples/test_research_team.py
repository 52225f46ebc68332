"""docs/examples/research_team: the report with all servers, and without those that die or do not start."""

import anyio
import pytest

from aimu import aio
from aimu.testing import ScriptedProvider, leak_check, reply
from tests.examples import programs

TEAM = programs.load("research_team/team.py")
WALL = "The archivist found: "


async def research(answer=TEAM.scripted, **options):
    """The report, after which no process, task or connection may be left."""
    client = aio.client(ScriptedProvider(answer, repeat=True))
    async with leak_check():
        with anyio.fail_after(programs.PATIENCE):
            return await TEAM.research(client, TEAM.QUESTION, **options)


async def test_the_report_has_what_each_server_knows_and_has_passed_the_critic(capsys):
    report = await research()
    assert report.splitlines()[:2] == ["Hallstad built its wall after 1921.", "Sources:"]
    for found in ("the sea took eleven houses", "The statistician found: 4.1", WALL + '["Mayor Lie'):
        assert found in report
    said = capsys.readouterr().out
    assert {line.split()[0] for line in said.splitlines()} == {"library", "figures", "archive"}


async def test_a_server_that_dies_in_a_call_does_not_end_the_run(capsys):
    report = await research(crash=True)
    assert "The archivist could not look." in report
    assert "The statistician found: 4.1" in report
    assert "MCPConnectionError: MCP server 'archive'" in capsys.readouterr().out


async def test_a_server_that_does_not_start_is_left_out(monkeypatch):
    def server(name, *, crash):
        if name != "archive":
            return as_written(name, crash=crash)
        return aio.MCPClient(config={name: {"command": "no-such-command"}}, on_error="skip")

    as_written = TEAM.server
    monkeypatch.setattr(TEAM, "server", server)
    report = await research()
    assert "The archivist could not look." in report
    assert "The statistician found: 4.1" in report


async def test_a_cancelled_run_leaves_no_server():
    reached = anyio.Event()

    def answer(request):
        if "librarian" in request.messages[0]["content"]:
            reached.set()
            return reply(delay=3600.0)
        return TEAM.scripted(request)

    async def stop():
        await reached.wait()
        group.cancel_scope.cancel()

    async with leak_check():
        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await TEAM.research(aio.client(ScriptedProvider(answer, repeat=True)), TEAM.QUESTION)
    assert reached.is_set()


@pytest.mark.parametrize("crash", [[], ["--crash"]])
def test_the_program_runs_as_the_index_says(crash):
    said = programs.run("research_team/team.py", *crash)
    assert "\nHallstad built its wall after 1921.\nSources:\n" in said
    assert (WALL in said) is not bool(crash)


@pytest.mark.parametrize("arguments", [[], ["nowhere"]])
def test_a_server_that_is_not_named_is_refused_in_words(arguments, tmp_path):
    said = programs.refused("research_team/servers.py", *arguments, cwd=tmp_path)
    assert "name" in said
    assert "library" in said
