"""SkillAgent: the catalog is always there, once, and costs no history."""

import json
import threading

import anyio
import pytest

import aimu.agents
from aimu import aio
from aimu.aio import Parallel, SkillAgent
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider, reply
from tests.workflows.models import live, read


@pytest.fixture
def skills(tmp_path):
    folder = tmp_path / "haiku"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: haiku\ndescription: Writes haiku.\n---\nFive, seven, five.\n")
    (folder / "words.txt").write_text("frog, pond")
    return SkillManager([tmp_path])


def skilled(provider, skills, **fields):
    return SkillAgent(aio.client(provider, system="You write."), skill_manager=skills, **fields)


def answer(request):
    """Activates the skill, then answers."""
    if request.messages[-1]["role"] == "tool":
        return "An old silent pond"
    return reply(calls=[("activate_skill", {"name": "haiku"})])


def catalogs(agent):
    return agent.model_client.system_message.count("- haiku: Writes haiku.")


@pytest.mark.parametrize("way", [read, live, None])
async def test_a_skill_is_listed_and_loaded_with_and_without_streaming(skills, way):
    provider = ScriptedProvider(answer, repeat=True)
    agent = skilled(provider, skills)
    if way is None:
        assert await agent.run("a poem") == "An old silent pond"
    else:
        await way(agent.run("a poem", stream=True))
    system = provider.requests[0].messages[0]["content"]
    assert system.startswith("You write.\n\n")
    assert "- haiku: Writes haiku." in system
    names = [schema["function"]["name"] for schema in provider.requests[0].tools]
    assert names == ["activate_skill", "list_skill_files", "read_skill_file"]
    assert "Five, seven, five." in provider.requests[1].messages[-1]["content"]


async def test_the_catalog_is_added_once_and_keeps_the_history(skills):
    agent = skilled(ScriptedProvider("ok", repeat=True), skills)
    agent.model_client.messages = [
        {"role": "system", "content": "You write."},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "yes"},
    ]
    for _ in range(3):
        await agent.run("now")
    assert catalogs(agent) == 1
    assert [message["content"] for message in agent.messages["agent"][1:4]] == ["before", "yes", "now"]
    assert len(agent.messages["agent"]) == 9
    assert len(agent.tools) == 3


async def test_a_history_saved_with_the_catalog_has_one_catalog_after_loading(skills):
    agent = skilled(ScriptedProvider("ok", repeat=True), skills)
    await agent.run("first")
    saved = json.loads(json.dumps(agent.messages["agent"]))
    other = skilled(ScriptedProvider("ok", repeat=True), skills)
    other.model_client.messages = saved
    await other.run("second")
    assert catalogs(other) == 1
    assert len(other.messages["agent"]) == 5


async def test_after_a_reset_the_catalog_is_there_again(skills):
    agent = skilled(ScriptedProvider("ok", repeat=True), skills, reset_messages_on_run=True)
    await agent.run("first")
    await agent.run("second")
    assert catalogs(agent) == 1
    assert len(agent.messages["agent"]) == 3
    agent.model_client.reset(system_message="Another.")
    await agent.run("third")
    assert agent.model_client.system_message.startswith("Another.\n\n")
    assert catalogs(agent) == 1


async def test_a_new_skill_is_in_the_catalog_after_refresh(skills, tmp_path):
    agent = skilled(ScriptedProvider("ok", repeat=True), skills)
    await agent.run("first")
    (tmp_path / "sonnet").mkdir()
    (tmp_path / "sonnet" / "SKILL.md").write_text("---\nname: sonnet\ndescription: Writes sonnets.\n---\nText\n")
    skills.refresh()
    await agent.run("second")
    assert catalogs(agent) == 1
    assert "- sonnet: Writes sonnets." in agent.model_client.system_message


async def test_new_tools_replace_neither_own_tools_nor_skill_tools(skills):
    async def mine() -> str:
        """Mine."""
        return "mine"

    provider = ScriptedProvider("ok", repeat=True)
    agent = skilled(provider, skills, tools=[mine])
    await agent.run("first")
    agent.tools = [mine]
    await agent.run("second")
    for request in provider.requests:
        assert [schema["function"]["name"] for schema in request.tools][:2] == ["mine", "activate_skill"]


async def test_forks_and_skill_agents_inside_workflows_have_the_catalog(skills):
    agent = skilled(ScriptedProvider(answer, repeat=True), skills, name="poet")
    await agent.run("one")
    both = Parallel([agent.fork(), agent.fork("You sing.")])
    assert await both.run("two") == "An old silent pond\n\n---\n\nAn old silent pond"
    systems = [history[0]["content"] for history in both.messages.values()]
    assert [system.count("- haiku:") for system in systems] == [1, 1]
    assert systems[1].startswith("You sing.")


async def test_a_skill_agent_without_skills_is_a_plain_agent(tmp_path):
    provider = ScriptedProvider("ok")
    agent = SkillAgent(aio.client(provider), skill_manager=SkillManager([tmp_path]))
    await agent.run("first")
    assert [message["role"] for message in agent.messages["agent"]] == ["user", "assistant"]
    assert provider.requests[0].tools == ()


@pytest.mark.parametrize("way", [read, live, None])
async def test_folders_are_searched_once_for_concurrent_runs_in_a_worker_thread(skills, monkeypatch, way):
    searched = []
    search = SkillManager._search

    def watched(manager):
        searched.append(threading.get_ident())
        return search(manager)

    monkeypatch.setattr(SkillManager, "_search", watched)
    agent = skilled(ScriptedProvider("ok", repeat=True), skills)
    both = Parallel([agent.fork(), agent.fork()])
    for _ in range(2):
        await (both.run("go") if way is None else way(both.run("go", stream=True)))
    assert len(searched) == 1
    assert searched != [threading.get_ident()]


def test_the_sync_surface_searches_folders_in_the_callers_thread(skills, monkeypatch):
    searched = []
    search = SkillManager._search

    def watched(manager):
        searched.append(threading.get_ident())
        return search(manager)

    monkeypatch.setattr(SkillManager, "_search", watched)
    agent = aimu.agents.SkillAgent(aimu.client(ScriptedProvider("ok")), skill_manager=skills)
    assert agent.run("go") == "ok"
    assert searched == [threading.get_ident()]


async def test_a_run_cancelled_during_the_search_of_folders_leaves_nothing_and_the_next_run_works(skills, monkeypatch):
    began, go_on = anyio.Event(), threading.Event()
    search = SkillManager._search

    def held(manager):
        anyio.from_thread.run_sync(began.set)
        assert go_on.wait(10)
        return search(manager)

    monkeypatch.setattr(SkillManager, "_search", held)
    agent = skilled(ScriptedProvider("ok"), skills)
    async with anyio.create_task_group() as group:
        group.start_soon(agent.run, "first")
        await began.wait()
        group.cancel_scope.cancel()
        go_on.set()
    assert [message["role"] for message in agent.messages["agent"]] == ["system"]
    assert await agent.run("second") == "ok"
    assert catalogs(agent) == 1


async def test_skill_tools_are_added_to_tools_set_on_the_agents_client(skills):
    async def mine() -> str:
        """Mine."""
        return "mine"

    provider = ScriptedProvider("ok", repeat=True)
    agent = skilled(provider, skills)
    agent.model_client.tools = [mine]
    for each in (agent.fork(), agent):
        await each.run("go")
    for request in provider.requests:
        names = [schema["function"]["name"] for schema in request.tools]
        assert names == ["mine", "activate_skill", "list_skill_files", "read_skill_file"]
