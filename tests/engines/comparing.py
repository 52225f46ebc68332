"""Conversations that reuse states in every way, each reply compared with what the library itself computes afresh."""

import anyio
from attrs import define, field

from tests.engines.asking import ask, user

LENGTH = 8
END = "<|im_end|>"
STORY = "Tell me a story about a cat and a dog. " * 3
TURNS = "first", "again", "next", "branch", "shared system", "back", "long"


@define
class Comparison:
    """The turns whose tokens differ from the library's, and the number of tokens that each turn reused."""

    differ: list = field(factory=list)
    reused: dict = field(factory=dict)


async def compare(engine, differs):
    """Hold conversations with `engine`; `differs(ids, known)` computes the ids afresh from the first `known`.

    The turns: a question, the same once more, the next one, another one in its place, another conversation with the
    same system message, the first conversation again, and a prompt of several slices.
    """
    found = Comparison()

    async def say(turn, history):
        reply = await engine.complete(ask(*history, max_tokens=LENGTH, temperature=0))
        entry = engine.prefix_cache._entries[-1]
        if differs(entry.ids, reply.usage.input):
            found.differ.append(turn)
        found.reused[turn] = reply.usage.cache_read
        # The text as the model wrote it, so that the next prompt continues it: a reply's text is stripped.
        text = entry.text[entry.marks[-2][0] :].removesuffix(END)
        return [*history, {"role": "assistant", "content": text}]

    system = {"role": "system", "content": "You are a helpful assistant who knows a lot of stories."}
    first = await say("first", [system, user(STORY)])
    assert await say("again", first[:2]) == first
    second = await say("next", [*first, user("Say hello.")])
    await say("branch", [*first, user("Who are you?")])
    await say("shared system", [system, user("What is 3 plus 4? " * 4)])
    await say("back", [*second, user("Thanks!")])
    await say("long", [system, user(STORY * 16)])
    return found


async def compare_together(engine, differs):
    """Let `engine` answer three requests of different lengths at once; return whether any answer differs."""

    async def say(times):
        await engine.complete(ask(user("Say hello. " * times), max_tokens=LENGTH, temperature=0))

    engine.prefix_cache.clear()
    async with anyio.create_task_group() as group:
        for times in (1, 15, 4):
            group.start_soon(say, times)
    entries = [(entry.ids, entry.marks[-2][1]) for entry in engine.prefix_cache._entries]
    assert len(entries) == 3
    return any(differs(written, known) for written, known in entries)
