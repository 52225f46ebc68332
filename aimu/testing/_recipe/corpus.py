"""Draws synthetic conversations for training: the same seed gives the same conversations on every machine.

The order and number of draws from the random generator are part of the recipe: a change of either changes the corpus.
Knows neither tokenizers nor models.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Any, TypeAlias

from aimu._core.messages import Message, system_message, user_message
from aimu.testing._recipe import world

Tool: TypeAlias = dict[str, Any]


def assistant(text: str, calls: list[dict[str, Any]] | None = None) -> Message:
    message: Message = {"role": "assistant", "content": text}
    if calls is not None:
        message["tool_calls"] = calls
    return message


def tool_result(text: str) -> Message:
    return {"role": "tool", "content": text}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def function(name: str, description: str, properties: dict[str, Any]) -> Tool:
    """Make a tool in OpenAI function format, with all parameters required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def number(r: Random) -> int:
    if r.random() < 0.5:
        return r.randint(0, 9)
    return r.randint(10, 99) if r.random() < 0.7 else r.randint(100, 999)


def identifier(r: Random, most: int) -> str:
    return "_".join(r.choice(world.WORDS).replace("'", "") for _ in range(r.randint(1, most)))


def salad(r: Random, least: int, most: int) -> str:
    """Draw `least` to `most` meaningless words, for prompts and descriptions that the model must learn to ignore."""
    words: list[str] = []
    for _ in range(r.randint(least, most)):
        kind = r.random()
        if kind < 0.86:
            word = r.choice(world.WORDS)
        elif kind < 0.93:
            word = "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(2, 9)))
        elif kind < 0.97:
            word = str(r.randint(0, 999))
        else:
            word = r.choice(world.SYMBOLS)
        if r.random() < 0.12:
            word = word.capitalize()
        if r.random() < 0.1:
            word += r.choice(".,:;!?")
        words.append(word)
    return " ".join(words)


def foreign_tool(r: Random) -> Tool:
    """Draw a tool with a random name and parameters, which no question needs."""
    properties: dict[str, Any] = {}
    for _ in range(r.randint(0, 3)):
        schema = {"type": r.choice(["string", "integer", "number", "boolean", "array", "object"])}
        if r.random() < 0.5:
            schema["description"] = salad(r, 1, 6)
        if r.random() < 0.2:
            schema["title"] = salad(r, 1, 1)
        properties[identifier(r, 2)] = schema
    name = identifier(r, 3)
    return function(name, salad(r, 0, 12), properties)


def varied(r: Random, name: str, description: str, properties: dict[str, dict[str, Any]]) -> Tool:
    """Describe a tool in one of the many ways in which libraries generate schemas."""
    properties = {key: dict(schema) for key, schema in properties.items()}
    if r.random() < 0.5:
        description = salad(r, 0, 10)
    for key, schema in properties.items():
        if r.random() < 0.35:
            schema["description"] = salad(r, 1, 5)
        if r.random() < 0.25:
            schema["title"] = key.capitalize()
        if r.random() < 0.25 and schema["type"] == "integer":
            schema["type"] = "number"
    tool = function(name, description, properties)
    if r.random() < 0.25:
        tool["function"]["parameters"]["additionalProperties"] = False
    if r.random() < 0.2:
        tool["function"]["parameters"]["title"] = name + "Arguments"
    if r.random() < 0.15:
        tool["function"]["strict"] = True
    if r.random() < 0.1:
        del tool["function"]["description"]
    return tool


def judgement(r: Random) -> list[Message]:
    """Draw a conversation of a router or of a reviewer, both without tools."""
    a, b, city = number(r), number(r), r.choice(world.CITIES)
    sky = f"{city}: {r.choice(world.SKY)}, {r.randint(0, 35)} C."
    kind = r.choice(["math", "weather", "chat"])
    plain_question, plain_answer = r.choice(world.PLAIN)
    # All three are made and one is used, so that the draws do not depend on the kind.
    question, good = {
        "math": (r.choice(world.SUMS).format(a, b), f"The answer is {a + b}."),
        "weather": (r.choice(world.WEATHER_QUESTIONS).format(city), sky),
        "chat": (plain_question, plain_answer),
    }[kind]
    if r.random() < 0.5:
        return [system_message(r.choice(world.ROUTER_PROMPTS)), user_message(question), assistant(kind)]
    passes = r.random() < 0.5
    bad = r.choice([world.NEEDS_TOOL, "I do not know.", world.GREETING if kind != "chat" else "The answer is 5."])
    return [
        system_message(r.choice(world.REVIEWER_PROMPTS)),
        user_message(f"Task: {question}\n\nResponse:\n{good if passes else bad}"),
        assistant("PASS" if passes else world.FEEDBACK),
    ]


def sum_turn(r: Random, offered: Collection[str]) -> list[Message]:
    a, b = number(r), number(r)
    question = user_message(r.choice(world.SUMS).format(a, b))
    if "add" not in offered:
        return [question, assistant(world.NEEDS_TOOL)]
    # The sum is often wrong, so that the model learns to take the answer from the tool.
    result = str(a + b) if r.random() < 0.5 else str(number(r))
    if r.random() < 0.1:
        result += ".0"
    return [
        question,
        assistant("", [call("add", {"a": a, "b": b})]),
        tool_result(result),
        assistant(f"The answer is {result}."),
    ]


def weather_turn(r: Random, offered: Collection[str]) -> list[Message]:
    cities = r.sample(world.CITIES, 2 if r.random() < 0.35 else 1)
    question = user_message(r.choice(world.WEATHER_QUESTIONS).format(" and ".join(cities)))
    if "get_weather" not in offered:
        return [question, assistant(world.NEEDS_TOOL)]
    observed = [f"{r.choice(world.SKY)}, {r.randint(0, 35)} C" for _ in cities]
    return [
        question,
        assistant("", [call("get_weather", {"city": city}) for city in cities]),
        *map(tool_result, observed),
        assistant(" ".join(f"{city}: {sky}." for city, sky in zip(cities, observed, strict=True))),
    ]


def turn(r: Random, offered: Collection[str]) -> list[Message]:
    """Draw a user message and everything that answers it; `offered` has the names of the available tools."""
    kind = r.random()
    if kind < 0.22:
        story = world.PLAIN[5:6]
        question, answer = r.choice(world.PLAIN if r.random() < 0.9 else story)
        return [user_message(question), assistant(answer)]
    if kind < 0.36:
        question, thinking, answer = r.choice(world.THOUGHTFUL)
        return [user_message(question), assistant(f"<think>\n{thinking}\n</think>\n\n{answer}")]
    return sum_turn(r, offered) if kind < 0.72 else weather_turn(r, offered)


def conversation(r: Random, length: float = 1.0) -> tuple[list[Message], list[Tool] | None]:
    """Draw a conversation and its tools; `length` scales system messages; foreign tools appear above 0.3 only."""
    if r.random() < 0.12:
        return judgement(r), None
    messages: list[Message] = []
    if r.random() < 0.65:
        known = r.random() < 0.3
        messages.append(
            system_message(
                r.choice(world.SYSTEM_PROMPTS)
                if known
                else salad(r, 2, int(3 + (40 if r.random() < 0.6 else 150) * length))
            )
        )
    tools = None
    if r.random() < 0.78:
        which = r.random()
        known_tools = [world.ADD] if which < 0.2 else [world.WEATHER] if which < 0.3 else [world.ADD, world.WEATHER]
        tools = [varied(r, *tool) for tool in known_tools]
        if length > 0.3:
            tools += [foreign_tool(r) for _ in range(r.choice([0, 0, 0, 1, 2]))]
        r.shuffle(tools)
    offered = {tool["function"]["name"] for tool in tools or ()}
    for _ in range(r.choice([1, 1, 2, 3])):
        messages += turn(r, offered)
    return messages, tools
