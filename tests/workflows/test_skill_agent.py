"""SkillAgent: the catalog is always there, once, and costs no history."""

import json
import threading

import anyio
import pytest

import aimu.agents
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import Parallel, SkillAgent
from aimu.errors import InvalidHistoryError
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider, cancel_everywhere, reply
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


@pytest.mark.parametrize(
    "own",
    [
        "  You write.\n\n",
        "Mine:\n<available_skills>\n- mine: My own list.\n</available_skills>\nEnd.",
        '<available_skills digest="0123456789abcdef">\n- mine: My own.\n</available_skills>',
        "You close what nobody opened: </available_skills>",
    ],
)
async def test_text_of_the_user_s_own_that_looks_like_the_catalog_is_never_deleted(skills, own, tmp_path):
    agent = SkillAgent(aio.client(ScriptedProvider("ok", repeat=True), system=own), skill_manager=skills)
    await agent.run("first")
    assert agent.model_client.system_message.startswith(own)
    for text in ("---\nname: haiku\ndescription: Writes more.\n---\nx", None):
        (tmp_path / "haiku" / "SKILL.md").unlink()
        if text:
            (tmp_path / "haiku" / "SKILL.md").write_text(text)
        skills.refresh()
        await agent.run("again")
        assert agent.model_client.system_message.startswith(own)
        assert catalogs(agent) == 0
    assert agent.model_client.system_message == own


async def test_text_that_a_user_adds_behind_the_catalog_is_kept(skills):
    agent = skilled(ScriptedProvider("ok", repeat=True), skills)
    await agent.run("first")
    messages = json.loads(json.dumps(agent.messages["agent"]))
    messages[0] |= {"content": messages[0]["content"] + "\n\nBe brief.", "mark": "mine"}
    agent.model_client.messages = messages
    skills.refresh()
    await agent.run("second")
    assert agent.model_client.system_message == messages[0]["content"]
    (skills.get("haiku").folder / "SKILL.md").unlink()
    skills.refresh()
    await agent.run("third")
    assert agent.messages["agent"][0] == {"role": "system", "content": "You write.\n\nBe brief.", "mark": "mine"}


async def test_a_system_message_that_was_only_the_catalog_goes_with_it(skills, tmp_path):
    agent = SkillAgent(aio.client(ScriptedProvider("ok", repeat=True)), skill_manager=skills)
    await agent.run("first")
    assert agent.messages["agent"][0]["role"] == "system"
    (tmp_path / "haiku" / "SKILL.md").unlink()
    skills.refresh()
    await agent.run("second")
    assert [message["role"] for message in agent.messages["agent"]] == ["user", "assistant"] * 2


async def test_a_system_message_that_is_not_text_is_refused_and_left_as_it_is(skills):
    agent = skilled(ScriptedProvider("ok"), skills)
    wrong = {"role": "system", "content": [{"type": "text", "text": "You write."}]}
    agent.model_client.messages = [wrong]
    with pytest.raises(InvalidHistoryError, match="string"):
        await agent.run("first")
    assert agent.messages["agent"] == [wrong]


def write_crafts(root, numbers, words=""):
    for number in numbers:
        folder = root / f"craft-{number}"
        folder.mkdir()
        header = f"name: craft-{number}\ndescription: Craft number {number}{words}."
        (folder / "SKILL.md").write_text(f"---\n{header}\n---\nStep {number}.\n")


@pytest.fixture
def many(tmp_path):
    write_crafts(tmp_path, range(400), f" for makers of {'very ' * 20}fine things")
    return SkillManager([tmp_path])


def searching(request):
    """Searches, loads what it found, then answers."""
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not results:
        return reply(calls=[("search_skills", {"query": "number 123"})])
    if len(results) == 1:
        name = results[0].removeprefix("- ").partition(":")[0]
        return reply(calls=[("activate_skill", {"name": name})])
    return f"I follow: {results[1].splitlines()[0]}"


@pytest.mark.parametrize("way", [read, live, None])
async def test_of_hundreds_of_skills_the_right_one_is_searched_and_loaded(many, way):
    provider = ScriptedProvider(searching, repeat=True)
    agent = skilled(provider, many)
    if way is None:
        assert await agent.run("a craft") == "I follow: Step 123."
    else:
        assert (await way(agent.run("a craft", stream=True)))[-1].content == "I follow: Step 123."
    assert len(provider.requests[0].messages[0]["content"]) < 20_200
    names = [schema["function"]["name"] for schema in provider.requests[0].tools]
    assert names == ["activate_skill", "list_skill_files", "read_skill_file", "search_skills"]


def test_on_the_sync_surface_the_same_is_searched_and_loaded(many):
    histories = []

    async def on_async():
        agent = skilled(ScriptedProvider(searching, repeat=True), many)
        await agent.run("a craft")
        histories.append(agent.messages)

    anyio.run(on_async)
    twin = aimu.agents.SkillAgent(
        aimu.client(ScriptedProvider(searching, repeat=True), system="You write."), skill_manager=many
    )
    assert twin.run("a craft") == "I follow: Step 123."
    assert twin.messages == histories[0]


class Searching:
    """A run over many skills that is stopped somewhere, and one after it."""

    def __init__(self, skills, stream):
        skills.refresh()
        self.agent = skilled(ScriptedProvider(searching, repeat=True), skills)
        self.stream = stream

    async def run(self):
        if self.stream:
            await live(self.agent.run("a craft", stream=True))
        else:
            assert await self.agent.run("a craft") == "I follow: Step 123."

    async def check(self, *, completed):
        history = self.agent.messages["agent"]
        check_history(history)
        assert self.agent.model_client.system_message.startswith("You write.")
        self.agent.model_client.reset()
        assert await self.agent.run("a craft") == "I follow: Step 123."
        assert self.agent.model_client.system_message.count("<available_skills") == 1
        assert len(self.agent.tools) == 4


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "live"])
def test_a_run_over_many_skills_is_settled_wherever_it_is_cancelled(tmp_path, stream, backend, how):
    write_crafts(tmp_path, range(120, 130))
    skills = SkillManager(tmp_path, catalog_characters=100)
    cancel_everywhere(lambda: Searching(skills, stream), backend=backend, how=how, minimum=12)
