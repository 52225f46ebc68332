"""Scripted models for workflows, whose answers depend on the agent that asks and not on the order of requests."""

from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import text_of
from aimu.aio import AsyncRunner, StreamingContentType
from aimu.testing import ScriptedProvider, reply


def system_of(request):
    first = request.messages[0]
    return first["content"] if first["role"] == "system" else None


def asked(request):
    """Return the text of the newest user message."""
    return text_of([message for message in request.messages if message["role"] == "user"][-1])


def model(answers=None):
    """Make a provider that answers an agent by its system message.

    An answer is a text, a step, an error, a function of the request, or a list of these, used one after the other. An
    agent without an answer says its system message and its task.
    """
    queues = {system: list(given) for system, given in (answers or {}).items() if isinstance(given, list)}

    def answer(request):
        system = system_of(request)
        if system in queues:
            given = queues[system].pop(0)
        else:
            given = (answers or {}).get(system, f"{system}({asked(request)})")
        return given(request) if callable(given) else given

    return ScriptedProvider(answer, repeat=True)


def agent(provider, system, name=None, **fields):
    return aio.Agent(aio.client(provider), system, name or system, **fields)


def requests_of(provider, system):
    return [request for request in provider.requests if system_of(request) == system]


def one_tool(name, text):
    """Make the two steps of a model that calls the tool `name`, then says `text`."""

    def answer(request):
        if request.messages[-1]["role"] == "tool":
            return text
        return reply(calls=[(name, {})])

    return answer


async def read(stream):
    return [chunk async for chunk in stream]


async def live(stream):
    async with stream:
        return await read(stream)


def text_by(chunks):
    """Join the text of each agent."""
    texts = {}
    for chunk in chunks:
        if chunk.phase is StreamingContentType.GENERATING:
            texts[chunk.agent] = texts.get(chunk.agent, "") + chunk.content
    return texts


class Shout(AsyncRunner):
    """A user runner, written from the reference page alone."""

    def __init__(self):
        self.seen = []

    @property
    def messages(self):
        return {"shout": [{"role": "user", "content": task} for task in self.seen]}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        await checkpoint()
        self.seen.append(task)
        if not stream:
            return task.upper()
        return self.chunks(task)

    async def chunks(self, task):
        for word in task.upper().split():
            await checkpoint()
            yield aio.StreamChunk(StreamingContentType.GENERATING, f"{word} ", "shout", 0)
        yield aio.StreamChunk(StreamingContentType.DONE, task.upper(), "shout", 0)
