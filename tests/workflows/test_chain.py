"""Chain: the answer of each step is the task of the next."""

import pytest

from aimu import aio
from aimu.aio import Chain, StreamingContentType
from aimu.errors import InvalidOptionError, RateLimitError
from tests.workflows.models import Shout, agent, live, model, read, requests_of, text_by

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16


async def test_the_answer_of_each_step_is_the_task_of_the_next():
    provider = model()
    chain = Chain.from_client(aio.client(provider), ["outline", "write", "polish"])
    assert await chain.run("tea") == "polish(write(outline(tea)))"
    assert [part.name for part in chain.agents] == ["step_1", "step_2", "step_3"]
    assert {name: len(history) for name, history in chain.messages.items()} == {"step_1": 3, "step_2": 3, "step_3": 3}


@pytest.mark.parametrize("way", [read, live])
async def test_a_streamed_chain_shows_every_step_and_ends_with_one_done(way):
    chain = Chain.from_client(aio.client(model({"write": "two words"})), ["outline", "write"], name="essay")
    stream = chain.run("tea", stream=True)
    chunks = await way(stream)
    assert text_by(chunks) == {"step_1": "outline(tea)", "step_2": "two words"}
    done = [chunk for chunk in chunks if chunk.phase is StreamingContentType.DONE]
    assert done == [aio.StreamChunk(StreamingContentType.DONE, "two words", "essay", 1)]
    assert chunks[-1] is done[0]
    assert stream.result == "two words"


async def test_images_go_to_the_first_step_and_generate_kwargs_to_all():
    provider = model()
    chain = Chain.from_client(aio.client(provider), ["look", "tell"])
    await chain.run("what is it?", {"temperature": 0.5}, images=[PNG])
    first, second = provider.requests
    assert isinstance(first.messages[-1]["content"], list)
    assert second.messages[-1]["content"] == "look(what is it?)"
    assert first.options["temperature"] == second.options["temperature"] == 0.5


async def test_steps_do_not_see_the_history_of_the_client_they_were_made_from():
    provider = model()
    client = aio.client(provider, system="boss")
    await client.chat("secret")
    chain = Chain.from_client(client, ["a", "b"])
    await chain.run("task")
    for system in "ab":
        (request,) = requests_of(provider, system)
        assert [message["role"] for message in request.messages] == ["system", "user"]
    assert [message["content"] for message in client.messages] == ["boss", "secret", "boss(secret)"]


async def test_the_error_of_a_step_is_raised_with_notes_that_name_the_step():
    provider = model({"b": RateLimitError("slow down", retryable=False)})
    chain = Chain([agent(provider, "a"), agent(provider, "b")], "pipeline")
    with pytest.raises(RateLimitError) as failed:
        await chain.run("task")
    assert failed.value.__notes__ == ["in agent 'b', iteration 0", "in 'pipeline', step 1"]
    assert [message["content"] for message in chain.messages["a"]] == ["a", "task", "a(task)"]
    assert chain.messages["b"] == [{"role": "system", "content": "b"}]


@pytest.mark.parametrize("way", [read, live])
async def test_a_user_runner_can_be_a_step(way):
    shout = Shout()
    chain = Chain([agent(model(), "a"), shout, agent(model(), "b")])
    assert await chain.run("hi") == "b(A(HI))"
    chunks = await way(chain.run("hi", stream=True))
    assert text_by(chunks)["shout"] == "A(HI) "
    assert shout.seen == ["a(hi)"] * 2
    assert chain.messages["shout"] == shout.messages["shout"]


async def test_a_chain_calls_the_run_of_an_agent_subclass():
    class Loud(aio.Agent):
        async def run(self, task, *args, **kwargs):
            return (await super().run(task)).upper()

    chain = Chain([Loud(aio.client(model()), "a", "loud"), agent(model(), "b")])
    assert await chain.run("hi") == "b(A(HI))"
    assert text_by(await live(chain.run("hi", stream=True))) == {"b": "b(A(HI))"}


def test_a_chain_without_steps_is_refused():
    with pytest.raises(InvalidOptionError, match="agents is empty"):
        Chain([])


@pytest.mark.parametrize("answer", [None, 3])
async def test_a_step_without_an_answer_raises_an_error_that_names_it(answer):
    class Mute(aio.AsyncRunner):
        @property
        def messages(self):
            return {}

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return answer

    with pytest.raises(InvalidOptionError, match=f"a run returned {type(answer).__name__}; return the answer"):
        await Chain([Mute()]).run("go")
