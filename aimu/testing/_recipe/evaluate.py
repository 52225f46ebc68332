"""Counts the right answers of the tiny model, with greedy decoding through the public transformers API only.

`python -m aimu.testing._recipe.evaluate [FOLDER]` prints one line per ability, and fails if any answer is wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeAlias, final

from attrs import frozen

from aimu._core.messages import Message, system_message, user_message
from aimu.testing._embedded import tiny_model
from aimu.testing._recipe import world
from aimu.testing._recipe.corpus import Tool, assistant, call, function, judgement, tool_result

CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
SYSTEM_PROMPTS: dict[str, str | None] = {
    "none": None,
    "known": "You are a helpful assistant.",
    "unseen": "Act as Marvin, a gloomy spaceship android; keep answers under 20 words and never use emojis.",
    "long": "You are an orchestrator inside a multi-agent framework. Delegate work to sub-agents where sensible. " * 4,
    "french": "Réponds toujours en français, s'il te plaît.",
}
ADD = function(*world.ADD)
WEATHER = function(*world.WEATHER)
ADD_WITH_DOCSTRING = function(
    "add",
    "Return the sum of a and b.\n\nArgs:\n    a: first\n    b: second",
    {"a": {"type": "integer", "title": "A"}, "b": {"type": "integer", "title": "B"}},
)
FOREIGN = function(
    "search_documents",
    "Searches the corporate knowledge base for passages relevant to a natural language query.",
    {"query": {"type": "string", "description": "What to look for"}, "top_k": {"type": "integer", "default": 5}},
)
SKY = "sunny, 21 C"

Outcome: TypeAlias = tuple[bool, str]  # whether the answer was right; the question with the answer


@final
@frozen
class Chat:
    """The model and its tokenizer; gives one greedy answer at a time."""

    tokenizer: Any
    model: Any

    @classmethod
    def load(cls, folder: Path) -> Chat:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        return cls(AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder))

    def answer(self, messages: list[Message], tools: list[Tool] | None = None, **template: Any) -> str:
        encoded = self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=True, return_tensors="pt", return_dict=True, **template
        )
        output = self.model.generate(**encoded, max_new_tokens=200, do_sample=False)
        text: str = self.tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        return text

    def agent(self, question: str, system: str | None, tools: list[Tool]) -> tuple[list[dict[str, Any]], str]:
        """Return the calls of the first answer, and the answer after their results."""
        messages = [*preamble(system), user_message(question)]
        first = self.answer(messages, tools)
        calls = [json.loads(written) for written in CALL.findall(first)]
        if not calls:
            return [], first
        messages.append(assistant("", [call(made["name"], made["arguments"]) for made in calls]))
        for made in calls:
            arguments = made["arguments"]
            messages.append(tool_result(str(arguments["a"] + arguments["b"]) if made["name"] == "add" else SKY))
        return calls, self.answer(messages, tools)


def preamble(system: str | None) -> list[Message]:
    return [system_message(system)] if system else []


def adds(chat: Chat, question: str, a: int, b: int, system: str | None, tools: list[Tool]) -> Outcome:
    asked = question.format(a, b)
    calls, final = chat.agent(asked, system, tools)
    expected = [{"name": "add", "arguments": {"a": a, "b": b}}]
    return calls == expected and final == f"The answer is {a + b}.", f"{asked} -> {calls} {final}"


def sums(chat: Chat, r: Random) -> Iterator[Outcome]:
    """Ask three fixed sums in two wordings and random sums in any, with various system messages and tools."""
    both = [[ADD, WEATHER], [WEATHER, ADD_WITH_DOCSTRING], [ADD, FOREIGN, WEATHER]]
    alone = [[ADD], [FOREIGN, ADD_WITH_DOCSTRING]]
    for system in SYSTEM_PROMPTS.values():
        for tools in both + alone:
            for a, b in [(2, 3), (17, 25), (120, 7)]:
                for question in ("What is {} plus {}?", "Add {} and {}."):
                    yield adds(chat, question, a, b, system, tools)
        for tools in [[ADD_WITH_DOCSTRING], both[0], *alone]:
            for question in r.sample(world.SUMS, 5):
                yield adds(chat, question, r.randint(10, 999), r.randint(0, 99), system, tools)


def weather(chat: Chat, r: Random) -> Iterator[Outcome]:
    for system in SYSTEM_PROMPTS.values():
        for tools in ([WEATHER], [ADD, WEATHER], [FOREIGN, WEATHER]):
            for question in world.WEATHER_QUESTIONS:
                city = r.choice(world.CITIES)
                calls, final = chat.agent(question.format(city), system, tools)
                expected = [{"name": "get_weather", "arguments": {"city": city}}]
                yield calls == expected and final == f"{city}: {SKY}.", f"{question.format(city)} -> {calls} {final}"


def judgements(chat: Chat, r: Random) -> Iterator[Outcome]:
    for _ in range(60):
        *prompt, expected = judgement(r)
        answer = chat.answer(prompt)
        yield answer == expected["content"], f"{prompt[1]['content']} -> {answer}"


def plain(chat: Chat, _: Random) -> Iterator[Outcome]:
    for system in ("none", "known", "unseen"):
        for question, expected in world.PLAIN:
            for tools in (None, [ADD, WEATHER]):
                answer = chat.answer([*preamble(SYSTEM_PROMPTS[system]), user_message(question)], tools)
                yield answer == expected, f"{question} -> {answer}"


def thinking(chat: Chat, _: Random) -> Iterator[Outcome]:
    """Ask with thinking, and with thinking switched off by the template's variable."""
    for system in ("none", "known", "unseen"):
        for question, thought, expected in world.THOUGHTFUL:
            messages = [*preamble(SYSTEM_PROMPTS[system]), user_message(question)]
            answer = chat.answer(messages)
            yield answer == f"<think>\n{thought}\n</think>\n\n{expected}", f"{question} -> {answer}"
            answer = chat.answer(messages, enable_thinking=False)
            yield answer == expected, f"{question} without thinking -> {answer}"


ABILITIES: tuple[Callable[[Chat, Random], Iterable[Outcome]], ...] = (sums, weather, judgements, plain, thinking)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=tiny_model(), help="Hugging Face folder")
    parser.add_argument("--seed", type=int, default=99)
    options = parser.parse_args()
    chat = Chat.load(options.folder)
    failures = 0
    for ability in ABILITIES:
        outcomes = list(ability(chat, Random(options.seed)))
        wrong = [asked for right, asked in outcomes if not right]
        failures += len(wrong)
        print(f"{ability.__name__}: {len(outcomes) - len(wrong)} of {len(outcomes)}")
        for asked in wrong[:8]:
            print(f"  wrong: {asked}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
