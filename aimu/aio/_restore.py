"""The histories of a team of runners: the dict that shows them, and how saved ones are loaded again.

Loading changes all or none: everything that can be wrong is checked before the first history changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from aimu._core.messages import Message, check_history
from aimu.aio._conversation import Conversation
from aimu.errors import InvalidHistoryError, InvalidOptionError


class Histories(dict[str, list[Message]]):
    """The histories of a runner by name. The lists are live, but the dict is made anew for each access.

    So a change of the dict would have no effect, and raises TypeError. A copy is a plain dict.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _refuse_change(self: Histories, *args: object, **kwargs: object) -> None:
    raise TypeError(
        "the dict that `messages` of a runner returns cannot be changed, since it is made anew each time; "
        "to load histories, assign a dict of them: runner.messages = {...}, or agent.history = [...] for one agent"
    )


for _name in ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear"):
    setattr(Histories, _name, _refuse_change)


def load(places: Iterable[tuple[Any, str, str]], saved: Any) -> None:
    """Load saved histories.

    Args:
        places: For each history that there is now: the runner that has it, the runner's own name for it, its key.
        saved: The histories by key. A history without a key here stays as it is.

    Raises:
        InvalidOptionError: `saved` is not a dict of lists, has a key that no runner has, or a runner of the user's own
            cannot take its history back.
        InvalidHistoryError: A history is not valid.
        BusyConversationError: A turn of one of the conversations is running.
    """
    if not isinstance(saved, Mapping):
        raise InvalidOptionError(
            f"messages must be a dict of histories by the names of the runners, got {type(saved).__name__}; "
            "to load the history of a single agent, assign the list to agent.history"
        )
    known = {key: (runner, own) for runner, own, key in places}
    given: dict[int, dict[str, Any]] = {}
    for key, history in saved.items():
        runner, own = _place(known, key)
        _check(key, history)
        given.setdefault(id(runner), {})[own] = history
    runners = {id(runner): runner for runner, _ in known.values() if id(runner) in given}
    own_last = sorted(runners, key=lambda which: hasattr(runners[which], "_loader"))  # users' setters may raise
    for change in [_loader(runners[which], given[which]) for which in own_last]:
        change()


def _place(known: Mapping[str, tuple[Any, str]], key: Any) -> tuple[Any, str]:
    """Return the runner that a key belongs to, and the runner's own name for the history."""
    if key in known:
        return known[key]
    first, mark, call = str(key).rpartition("#")
    if mark and call.isdecimal() and first in known:
        runner, own = known[first]
        if getattr(runner, "has_calls", False):
            return runner, f"{own}#{call}"
    raise InvalidOptionError(f"no runner is named {key!r}; the names are: {', '.join(map(repr, known)) or 'none'}")


def _check(key: str, history: Any) -> None:
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Sequence):
        raise InvalidOptionError(f"the history of {key!r} must be a list of dicts, got {type(history).__name__}")
    try:
        check_history(history)
    except InvalidHistoryError as exc:
        exc.add_note(f"in the history of {key!r}")
        raise


def _loader(runner: Any, given: dict[str, Any]) -> Callable[[], None]:
    """Return the function that loads these histories into a runner, which can load them now.

    The `_loader` of the library's own runners makes it; `messages` of a user's runner is assigned.

    Raises:
        InvalidOptionError: `messages` of a user's runner cannot be assigned.
    """
    own: Callable[[dict[str, Any]], Callable[[], None]] | None = getattr(runner, "_loader", None)
    if own is not None:
        return own(given)
    runner = getattr(runner, "__sync__", runner)  # of the sync surface, behind its adapter
    attribute = getattr(type(runner), "messages", None)
    if isinstance(attribute, property) and attribute.fset is None:
        raise InvalidOptionError(
            f"{type(runner).__name__} cannot take its histories back; give its property `messages` a setter"
        )
    return partial(setattr, runner, "messages", {**dict(runner.messages), **given})


def loading(conversation: Conversation, history: Any) -> Callable[[], None]:
    """Return the function that loads a history into a conversation, which is free now.

    Raises:
        BusyConversationError: A turn is running.
    """
    conversation.ensure_free()
    return partial(conversation.load, history)
