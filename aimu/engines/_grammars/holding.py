"""Holds the replies of an engine to grammars, and loads what that needs when a request first has one.

Grammars are made in threads of their own, so that the requests that run meanwhile go on: compiling a large one takes
longer than many tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, final

from attrs import define, field

from aimu.engines._formats.chat_format import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._rounds import Idle, Steps, StopFlag, Stopped
from aimu.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from aimu.engines._grammars.constraint import Constraint
    from aimu.engines._grammars.grammars import Grammars, Key

PACKAGE = "llguidance"


class HasVocabulary(Protocol):
    """A model whose tokens are known as bytes."""

    def vocabulary(self, shown: Callable[[str], bool]) -> Vocabulary:
        """Return what each token writes; tokens that are `shown` are marks. Raises ValueError if that is not known."""
        ...


def is_possible() -> bool:
    """Return whether replies can be held to grammars here."""
    return find_spec(PACKAGE) is not None


@final
@define(eq=False)
class Holding:
    """Makes the constraints of one engine; used in its thread.

    Args:
        extra: The extra of aimu that installs what is needed.
        warn: Logs a warning about a subject, once.
    """

    extra: str
    warn: Callable[[str, str], object]
    _grammars: Grammars | None = field(default=None, init=False)
    _makers: dict[Key, Thread] = field(factory=dict[Any, Thread], init=False)

    def constraint(
        self,
        model: HasVocabulary,
        asked: Asked,
        form: ChatFormat,
        stopped: StopFlag,
        *,
        begun: bool,
        options: Mapping[str, Any],
    ) -> Steps[Constraint | None]:
        """Return what holds a text to what is asked; None if nothing can, which is logged.

        Args:
            model: The model that writes.
            asked: What a request asks.
            form: The chat format of its prompt.
            stopped: Whether the request has to stop.
            begun: Whether the prompt has begun the thinking.
            options: The options of the request.

        Raises:
            InvalidOptionError: A grammar that the user gave cannot be enforced.
            Stopped: `stopped()` became true while the grammar was made.
            MissingExtraError: llguidance is not installed, and the user gave a grammar.
        """
        if self._grammars is None:
            if not is_possible():
                if asked.own:
                    raise MissingExtraError(PACKAGE, self.extra)
                self.warn(PACKAGE, f"{PACKAGE} is not installed, so outputs and tool calls are only validated")
                return None
            from aimu.engines._grammars.grammars import Grammars

            self._grammars = Grammars(model.vocabulary, self.warn)
        from aimu.engines._grammars.grammars import key_of

        kind: dict[str, bool] = {"begun": begun, "thinking": options.get("thinking") is not False}
        key = key_of(asked, form, **kind)
        if not self._grammars.has(key):
            maker = self._makers.get(key) or self._started(key, partial(self._grammars.constraint, asked, form, **kind))
            while maker.is_alive():
                if stopped():
                    raise Stopped
                yield Idle(maker.join)
            self._makers.pop(key, None)
        return self._grammars.constraint(asked, form, **kind)

    def _started(self, key: Key, make: Callable[[], object]) -> Thread:
        """Start a thread that makes a grammar; what it raises is raised when the grammar is asked for."""

        def run() -> None:
            with suppress(Exception):
                make()

        # No daemon: the interpreter waits for it at its end, since native code that computes then crashes.
        maker = Thread(target=run, name="aimu grammar", daemon=False)
        maker.start()
        # Those that have ended stay here if their requests stopped, and nobody asks the same again.
        self._makers = {each: other for each, other in self._makers.items() if other.is_alive()} | {key: maker}
        return maker

    def ends(self, constraint: Constraint, token: int, asked: Asked) -> bool:
        """Go on behind a token; return whether the text is complete, so that nothing can follow.

        Raises:
            EngineError: llguidance gave up, and the user gave the grammar.
        """
        constraint.accept(token)
        if constraint.failed:
            text = f"a reply was not held to its grammar up to its end: {constraint.failed}"
            if asked.own:
                raise EngineError(f"{text}; use a simpler grammar")
            self.warn(text, text)
        return constraint.ended

    def clear(self) -> None:
        """Forget all that was compiled; waits for what is being compiled, since that reads the vocabulary."""
        for maker in self._makers.values():
            maker.join()
        self._makers.clear()
        self._grammars = None
