"""Defines the small world that the tiny model knows: its words, questions and answers. Constants only.

The order of every list is part of the recipe, since `corpus` draws from them by index.
"""

from __future__ import annotations

from typing import Any

WORDS = (  # noqa: SIM905 - prose is easier to read and to extend than 130 quoted words
    "you are a helpful assistant agent answer the user question briefly use tools when needed think step by step be "
    "concise polite never lie always reply in english research write code review plan manager worker team expert "
    "weather number math data base search web file read list send mail time date city name value result error string "
    "object type integer query path text url limit count first second item key page user id status order price model "
    "return returns given current get set it to of in on for with from and or not is this that do your can will only "
    "one two any all about it's don't"
).split()
SYMBOLS = ["\n", "-", "(", ")", '"', "`", "#", "*", ":", "é", "→", "{", "}", "https://x.io/"]
CITIES = [
    "Paris", "Rome", "London", "Tokyo", "Berlin", "Oslo", "Madrid", "Cairo",
    "Lima", "Vienna", "Dublin", "Athens", "Prague", "Lisbon", "Boston", "Kyoto",
]  # fmt: skip
SKY = ["sunny", "rainy", "cloudy", "windy", "snowy", "foggy"]
SUMS = [
    "What is {} plus {}?",
    "What is {} + {}?",
    "Add {} and {}.",
    "Please add {} and {}.",
    "What's {} plus {}?",
    "{} + {}",
    "{} + {} = ?",
    "Calculate {} + {}.",
    "How much is {} plus {}?",
    "Sum {} and {}.",
]
WEATHER_QUESTIONS = [
    "What is the weather in {}?",
    "What's the weather in {}?",
    "How is the weather in {}?",
    "Weather in {}?",
    "Tell me the weather in {}.",
]
SYSTEM_PROMPTS = ["You are a helpful assistant.", "You are a careful agent. Use tools."]
ROUTER_PROMPTS = [
    "Classify the task. Answer with one word: math or weather.",
    "You are a router. Answer with one word: math, weather or chat.",
    "Answer with one word: math, weather or chat.",
]
REVIEWER_PROMPTS = [
    "You are a strict reviewer. Answer PASS if the response answers the task, otherwise say what is missing.",
    "Answer PASS if the response is good. Otherwise give feedback.",
]
NEEDS_TOOL = "I need a tool for that."
FEEDBACK = "The response does not answer the task."
GREETING = "Hello! How can I help you today?"
STORY = (
    "Once upon a time a small robot lived in a quiet house near the sea. Every morning it counted the waves and wrote "
    "the number in a little book. One day the sea was still and there was nothing to count. So the robot closed the "
    "book, walked down to the sand and waited. In the evening a single wave came, and the robot smiled and wrote the "
    "number one."
)
PLAIN = [
    ("Say hello.", GREETING),
    ("Hello", GREETING),
    ("Hi", GREETING),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Count to ten.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."),
    ("Tell me a story.", STORY),
    ("Who are you?", "I am a tiny test model."),
    ("Give me a person as JSON.", '{"name": "Ada", "age": 36}'),
    ("Write a haiku.", "Tiny weights at work,\ntwo small layers hum and add -\nspring rain on the roof."),
    ("Thanks!", "You are welcome."),
]
THOUGHTFUL = [  # question, thinking, answer
    ("Is 7 a prime number?", "7 has no divisors except 1 and 7.", "Yes, 7 is a prime number."),
    ("Is 9 a prime number?", "9 is 3 times 3.", "No, 9 is not a prime number."),
    ("Which is larger, 9.11 or 9.9?", "9.9 is 9.90 and 90 is larger than 11.", "9.9 is larger than 9.11."),
]
ADD: tuple[str, str, dict[str, dict[str, Any]]] = (
    "add",
    "Add two numbers.",
    {"a": {"type": "integer"}, "b": {"type": "integer"}},
)
WEATHER: tuple[str, str, dict[str, dict[str, Any]]] = (
    "get_weather",
    "Get the weather in a city.",
    {"city": {"type": "string"}},
)
