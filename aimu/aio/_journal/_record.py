"""What a journal keeps of a finished task: which task it was, and its Answer with all facts but the typed value.

Owns the form of a record, and which one belongs to a task: the digest of its text, and its number among equal texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, TypeAlias

import attrs

from aimu._core.answer import Answer, AnyAnswer
from aimu._core.reply import StopReason, Usage

Key: TypeAlias = bytes
"""Of a task: its digest, then, for all but the first of equal tasks, its number."""

_BYTES = 16  # of a digest


def digest(text: str) -> bytes:
    """Return the digest of a text, also of one that UTF-8 cannot encode."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()


def key(task: bytes, number: int) -> Key:
    """Return the key of the task of this digest that has this number, from 0, among equal ones."""
    return task if number == 0 else task + number.to_bytes(8)


def line_of(task: Key, answer: AnyAnswer, *, typed: bool) -> bytes:
    """Return the record of a task as a line.

    Args:
        task: The task.
        answer: Its answer.
        typed: Whether the value is made of the text when the record is read, so that it need not be kept.

    Raises:
        ValueError: The answer holds something that is not JSON.
    """
    try:
        facts = _facts(answer, typed=typed)
        return _encoded({"task": task[:_BYTES].hex(), "number": int.from_bytes(task[_BYTES:]), "answer": facts})
    except (TypeError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc


def _encoded(record: Any) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def key_of(line: bytes) -> Key | None:
    """Return the key of the task that a line records; None if the line is not a record."""
    try:
        record = json.loads(line)
        task, number = bytes.fromhex(record["task"]), record["number"]
        sound = (
            len(task) == _BYTES
            and type(number) is int
            and 0 <= number < 1 << 64
            and isinstance(record["answer"]["text"], str)
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return key(task, number) if sound else None


def answer_of(line: bytes) -> AnyAnswer:
    """Return the answer that a line records.

    Raises:
        ValueError: The line is not a record.
    """
    try:
        return _answer(json.loads(line)["answer"])
    except (LookupError, TypeError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc


def _facts(answer: AnyAnswer, *, typed: bool) -> dict[str, Any]:
    """Return the facts of an answer that are known, as JSON."""
    usage = answer.usage
    facts = {
        "text": str(answer),
        "usage": usage if usage is None else attrs.asdict(usage, filter=lambda _, number: number is not None),
        "cost": answer.cost,
        "stop_reason": answer.stop_reason,
        "model": answer.model,
        "agent": answer.agent,
        "iterations": answer.iterations or None,
        "requests": answer.requests or None,
        "parts": [_facts(part, typed=False) for part in answer.parts] or None,
        "new_messages": list(answer.new_messages) or None,
        "output": None if typed else _plain(answer.output),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _plain(output: Any) -> Any:
    """Return the value that a runner of the user's gave its answer, if JSON keeps it as it is."""
    if output is None or json.loads(json.dumps(output)) == output:
        return output
    raise ValueError(f"its output is a {type(output).__name__}")


def _answer(facts: Mapping[str, Any]) -> AnyAnswer:
    given = dict(facts)
    if "usage" in given:
        given["usage"] = Usage(**given["usage"])
    if "stop_reason" in given:
        with suppress(ValueError):  # one that a runner of the user's own made up
            given["stop_reason"] = StopReason(given["stop_reason"])
    if "parts" in given:
        given["parts"] = tuple(map(_answer, given["parts"]))
    return Answer(given.pop("text"), **given)
