"""Scores an output by asking a model. Owns the judge's prompt and the parser of its verdict, which never guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Generator, Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Any, final

from aimu._doors import public
from aimu.errors import InvalidOptionError, ScoringError
from aimu.evals._scorer import Score, Scorer

DEFAULT_CRITERIA = "The output does what the task asks for: correct, complete, and nothing beside the point."
FORM = "End your answer with one line of this form, the number from 0 (useless) to 1 (perfect):\nScore: <number>"


@public("aimu.evals")
@final
class LLMJudgeScorer(Scorer):
    """Ask a model to score a row, from 0 to 1, with its reasons.

    If the score in a verdict cannot be read, the model is asked once more.

    Args:
        client: A client with `generate`, async or sync; it decides whether `score` is awaited.
        criteria: Criteria for rows that have no `criteria` of their own. By default: correct, complete and to the
            point.
        generate_kwargs: Options of the judge's requests, such as `{"temperature": 0}`.

    Raises:
        InvalidOptionError: `client` has no `generate`.

    Example:
        judge = LLMJudgeScorer(aio.client("openai:gpt-4o-mini"), "The summary names all three authors.")
        score, reasons = await judge.score({"task": "Summarize the paper.", "output": summary})
    """

    def __init__(
        self, client: Any, criteria: str | None = None, *, generate_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        if not callable(getattr(client, "generate", None)):
            raise InvalidOptionError(
                f"a judge needs a client with generate(), got {type(client).__name__}; pass aimu.client(...)"
            )
        self.client = client
        self.criteria = criteria
        self.generate_kwargs: dict[str, Any] = dict(generate_kwargs or {})

    @property
    def is_async(self) -> bool:
        """Whether `score` is to be awaited: it is if the client is async."""
        return hasattr(self.client, "__aenter__") or iscoroutinefunction(self.client.generate)

    def score(self, row: Mapping[str, Any]) -> Score | Awaitable[Score]:
        """Score a row.

        Args:
            row: What to score, by name: `task`, `output` and so on. `criteria` replaces the scorer's own.

        Returns:
            The score, from 0 (useless) to 1 (perfect), and the judge's verdict; an awaitable of them if `is_async`.

        Raises:
            ScoringError: Two verdicts in a row had no readable score.
            AimuError: The client failed.
        """
        judging = self._judging(row)
        return self._awaited(judging) if self.is_async else self._at_once(judging)

    def _judging(self, row: Mapping[str, Any]) -> Generator[str, str, Score]:
        """Yield each prompt, receive the verdict, and return the score."""
        criteria = row.get("criteria") or self.criteria or DEFAULT_CRITERIA
        parts = [f"## {key}\n{value}" for key, value in row.items() if key != "criteria"]
        prompt = "\n\n".join(
            ["Judge the output below by the criteria. Say briefly why.", f"## criteria\n{criteria}", *parts, FORM]
        )
        verdict = yield prompt
        score = read_score(verdict)
        if score is None:
            verdict = yield f"{prompt}\n\nYour last answer had no readable score:\n{verdict}\n\n{FORM}"
            score = read_score(verdict)
        if score is None:
            raise ScoringError(
                f"the judge gave two verdicts without a readable score; use a stronger model as judge. "
                f"The last verdict: {verdict[:500]!r}"
            )
        return score, verdict.strip()

    def _at_once(self, judging: Generator[str, str, Score]) -> Score:
        try:
            prompt = next(judging)
            while True:
                prompt = judging.send(str(self.client.generate(prompt, dict(self.generate_kwargs))))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _awaited(self, judging: Generator[str, str, Score]) -> Score:
        try:
            prompt = next(judging)
            while True:
                prompt = judging.send(str(await self.client.generate(prompt, dict(self.generate_kwargs))))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


# Repetitions are possessive or bounded: a verdict is a model's text, and any text must take linear time.
_NUMBER = r"(?P<number>[-+]?+(?:\d++(?:[.,]\d++)?+|\.\d++)(?:e[-+]?+\d++)?+)"
_SCALE = r"(?:(?:/|out of)\s*+(?P<scale>\d++(?:\.\d++)?+)|(?P<percent>%))(?![\d-])"
_MARKS = r"[\s*_`~|\"'“”]*+"
_VALUE = rf"{_MARKS}{_NUMBER}(?:{_MARKS}{_SCALE}|(?![\d-]))"
_WHOLE = re.compile(rf"{_VALUE}{_MARKS}\.?+{_MARKS}", re.IGNORECASE)
_LABELLED = re.compile(
    rf"\b(?:score|rating)\b(?:[^\n:=]{{0,40}}[:=]|{_MARKS}(?:(?:is|of)(?=\W))?+){_VALUE}", re.IGNORECASE
)
_LINE = re.compile(
    rf"^(?:[^\w\n]|_)*+(?:(?:final|overall|total)\s++)?+(?:{_LABELLED.pattern})", re.IGNORECASE | re.MULTILINE
)
_OBJECT = re.compile(r'\{\s*+"')
_ATTEMPTS = 64  # objects in a verdict that are not JSON


def read_score(verdict: str) -> float | None:
    """Return the score, 0 to 1, that a verdict states; None if it states none or several different ones.

    Reads `0.8`, `8/10`, `8 out of 10` and `80 %`, in the first of these places: the value of a JSON key `score`, the
    last line that begins with "Score", a "score" in running text, a verdict that consists of the number only.
    """
    for value in _json_scores(verdict):
        return value
    lines = [_value(match) for match in _LINE.finditer(verdict)]
    if lines:
        return lines[-1]
    whole = _WHOLE.fullmatch(verdict)
    found = {_value(match) for match in ([whole] if whole else _LABELLED.finditer(verdict))}
    return found.pop() if len(found) == 1 else None


def _value(match: re.Match[str]) -> float | None:
    number = float(match["number"].replace(",", "."))
    scale = 100.0 if match["percent"] else float(match["scale"] or 1)
    return number / scale if scale and 0 <= number <= scale else None


def _json_scores(verdict: str) -> Iterator[float | None]:
    decoder, end, failed = json.JSONDecoder(), 0, 0
    while failed < _ATTEMPTS and (begin := _OBJECT.search(verdict, end)):
        try:
            found, end = decoder.raw_decode(verdict, begin.start())
        except (ValueError, RecursionError):
            failed += 1
            end = begin.start() + 1
            continue
        score = {key.lower(): value for key, value in found.items()}.get("score")
        match = _WHOLE.fullmatch(str(score)) if isinstance(score, str | int | float) else None
        if match is not None:
            yield _value(match)
