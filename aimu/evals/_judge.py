"""A scorer that asks a model. Owns the judge's prompt and how a verdict is read; refuses to guess at one."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Generator, Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Any, final

from aimu.errors import InvalidOptionError, ScoringError
from aimu.evals._scorer import Score, Scorer

DEFAULT_CRITERIA = "The output does what the task asks for: correct, complete, and nothing beside the point."
FORM = "End your answer with one line of this form, the number from 0 (useless) to 1 (perfect):\nScore: <number>"


@final
class LLMJudgeScorer(Scorer):
    """A model's score of a row, from 0 to 1, with its reasons.

    `client` is any chat client with `generate`, async or sync: with an async one `score` is awaited, with a sync one it
    returns at once. `criteria` hold for rows that bring none of their own. `generate_kwargs` hold for the judge's
    requests. A verdict that cannot be read is asked for once more, then ScoringError is raised.
    """

    def __init__(
        self, client: Any, criteria: str | None = None, *, generate_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        if not callable(getattr(client, "generate", None)):
            raise InvalidOptionError(f"a judge needs a client with generate(), not {type(client).__name__}")
        self.client = client
        self.criteria = criteria
        self.generate_kwargs = dict(generate_kwargs or {})

    @property
    def is_async(self) -> bool:
        return hasattr(self.client, "__aenter__") or iscoroutinefunction(self.client.generate)

    def score(self, row: Mapping[str, Any]) -> Score | Awaitable[Score]:
        """The score and reasons; raises ScoringError, and what the client raises."""
        judging = self._judging(row)
        return self._awaited(judging) if self.is_async else self._at_once(judging)

    def _judging(self, row: Mapping[str, Any]) -> Generator[str, str, Score]:
        """Yields each prompt and is sent the verdict; returns the score."""
        criteria = row.get("criteria") or self.criteria or DEFAULT_CRITERIA
        parts = [f"## {key}\n{value}" for key, value in row.items() if key != "criteria"]
        prompt = "\n\n".join(
            ["Judge the output below by the criteria. Say briefly why.", f"## criteria\n{criteria}", *parts, FORM]
        )
        verdict = yield prompt
        score = read_score(verdict)
        if score is None:
            verdict = yield f"{prompt}\n\nYour last answer had no score that could be read:\n{verdict}\n\n{FORM}"
            score = read_score(verdict)
        if score is None:
            raise ScoringError(f"the judge's verdict has no readable score, twice: {verdict[:500]!r}")
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


_NUMBER = r"(?P<number>[-+]?(?:\d+(?:[.,]\d+)?|\.\d+)(?:e[-+]?\d+)?)"
_SCALE = r"(?:\s*(?:/|out of)\s*(?P<scale>\d+(?:\.\d+)?)|\s*(?P<percent>%))?"
_MARKS = r"[\s*_`~|\"'“”]*"
_VALUE = rf"{_MARKS}{_NUMBER}{_MARKS}{_SCALE}(?![\d-])"
_WHOLE = re.compile(rf"{_VALUE}{_MARKS}\.?{_MARKS}", re.IGNORECASE)
_LABELLED = re.compile(rf"\b(?:score|rating)\b(?:[^\n:=]{{0,40}}[:=]|{_MARKS}(?:is|of)?(?=\W)){_VALUE}", re.IGNORECASE)
_LINE = re.compile(rf"^[\W_]*(?:(?:final|overall|total)\s+)?(?:{_LABELLED.pattern})", re.IGNORECASE | re.MULTILINE)


def read_score(verdict: str) -> float | None:
    """The one score, 0 to 1, that a verdict states; None where it states none, or several that differ.

    Read are `0.8`, `8/10`, `8 out of 10` and `80 %`: the value of a JSON key `score`, else the last line that begins
    with "Score", else a "score" in running text, else a verdict that is nothing but the number.
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
    decoder, start = json.JSONDecoder(), verdict.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(verdict, start)
        except ValueError:
            end = start + 1
        else:
            score = {key.lower(): value for key, value in found.items()}.get("score")
            match = None if score is None else _WHOLE.fullmatch(str(score))
            if match is not None:
                yield _value(match)
        start = verdict.find("{", end)
