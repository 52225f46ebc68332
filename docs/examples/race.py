"""A race on trio: three models get the same question under one deadline, and the first good answer wins.

    pip install '.[trio]'
    python docs/examples/race.py

`Parallel(first=1)` cancels the losers as soon as one model has answered; a model that fails is out of the race, and
does not end it. When the block ends, every request is closed: `leak_check` looks for tasks, threads and connections.
Runs on trio.

For your own: put real models into `racers`; with `first=2` the two fastest answer. No key is needed as it is: scripts
stand for the models, of which one is fast, one slow, and one out of order.
"""

from __future__ import annotations

import sys

import trio

from aimu import aio
from aimu.errors import OverloadedError
from aimu.testing import ScriptedProvider, leak_check, reply

QUESTION = "Name the highest mountain of Norway."
DEADLINE = 10.0  # s
ANSWER = "Galdhøpiggen, 2,469 metres above the sea."


def racers() -> list[aio.Agent]:
    """The models; a real one is `aio.client("anthropic:claude-sonnet-4-6")`."""
    broken = OverloadedError("too many requests", provider="broken", retryable=False)
    clients = {
        "quick": aio.client(ScriptedProvider(reply(ANSWER, delay=0.1))),  # s before each word
        "slow": aio.client(ScriptedProvider(reply("I believe that it is " + ANSWER, delay=0.25))),
        "broken": aio.client(ScriptedProvider(reply(error=broken, delay=0.05))),
    }
    return [aio.Agent(client, "Answer in one sentence.", name) for name, client in clients.items()]


async def race(agents: list[aio.Agent]) -> aio.Answer | None:
    """Return the first good answer, or None if there is none before the deadline; print the words as they come."""
    began = trio.current_time()
    field = aio.Parallel(agents, "race", first=1, on_error="collect")
    winner = None
    try:
        async with field.run(QUESTION, stream=True, timeout=DEADLINE) as stream:
            async for chunk in stream:
                if chunk.is_text():
                    print(f"{trio.current_time() - began:5.2f} s  {chunk.agent:>6}  {chunk.content}")
        (winner,) = stream.result.parts
    except TimeoutError:
        print(f"Nobody answered within {DEADLINE:g} s.")
    for name, history in field.messages.items():  # what a loser had said is in its history, and marked
        cut = [message["content"] for message in history if message.get("interrupted")]
        print(f"{name:>14}  {'won' if winner and winner.agent == name else 'lost'}", *cut)
    return winner


async def main() -> None:
    async with leak_check():  # raises an AssertionError that names what is left
        answer = await race(racers())
    if answer is not None:
        print(f"\n{answer.agent} wins: {answer}\nNothing is left of the others.")


if __name__ == "__main__":
    try:
        trio.run(main)
    except KeyboardInterrupt:
        sys.exit(130)
