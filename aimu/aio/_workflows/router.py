"""The router: one runner chooses another, which does the task. Owns how the answer of the classifier is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Self

from attrs import define, field

from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import not_empty
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, StepRunner
from aimu.aio._workflows.flow import Ask, Flow, follow
from aimu.errors import RoutingError

_BARE = re.compile(r"[^\W_]")


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False)
class Router(StepRunner):
    """Let one agent choose the handler that does the task.

    The routing agent chooses a handler by answering with its name; quotes, punctuation and case are ignored. A longer
    answer also chooses a handler if it contains exactly one of the names as a whole word. Otherwise `fallback` does the
    task. The routing agent and the handler both get the whole task, including images.

    Args:
        routing_agent: The runner that names a handler.
        handlers: The runners by name, at least one.
        name: The name of the router in chunks and in notes on errors.
        fallback: The runner for answers that choose no handler; without one, the run raises RoutingError.

    Raises:
        InvalidOptionError: `handlers` is empty.

    Example:
        handlers = {"math": aio.Agent(client, "Calculate."), "prose": aio.Agent(client, "Write.")}
        router = aio.Router(aio.Agent(client, "Answer with one word: math or prose."), handlers)
        print(await router.run("What is 2 plus 2?"))
    """

    routing_agent: AsyncRunner
    handlers: Mapping[str, AsyncRunner] = field(validator=not_empty)
    name: str = "router"
    fallback: AsyncRunner | None = None

    @classmethod
    def from_client(
        cls,
        client: AsyncBaseModelClient,
        classifier_prompt: str,
        handlers: Mapping[str, AsyncRunner | str],
        *,
        fallback: AsyncRunner | str | None = None,
        name: str = "router",
    ) -> Self:
        """Make a router with a new agent as classifier, and a new agent for each handler that is a system message.

        Args:
            client: Each new agent gets a conversation of its own, forked from this client without its history.
            classifier_prompt: The system message of the classifier. It must list the names of the handlers.
            handlers: For each name, a runner or the system message of a new agent.
            fallback: A runner, or the system message of a new agent, for answers that choose no handler.
            name: The name of the router.

        Returns:
            The router.

        Raises:
            InvalidOptionError: `handlers` is empty.
        """

        def runner(given: AsyncRunner | str, label: str) -> AsyncRunner:
            return Agent(client, name=label).fork(given) if isinstance(given, str) else given

        return cls(
            runner(classifier_prompt, "classifier"),
            {label: runner(given, label) for label, given in handlers.items()},
            name,
            None if fallback is None else runner(fallback, "fallback"),
        )

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.routing_agent, *self.handlers.values(), *([] if self.fallback is None else [self.fallback])]

    def _writers(self) -> Iterable[AsyncRunner]:
        return [*self.handlers.values(), *([] if self.fallback is None else [self.fallback])]

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        answer = yield Ask(self.routing_agent, task.untyped(), 0)
        name = named(answer, self.handlers)
        handler = self.fallback if name is None else self.handlers[name]
        if handler is None:
            raise RoutingError(str(answer), self.handlers)
        yield (yield Ask(handler, task, 1))


def named(answer: str, names: Collection[str]) -> str | None:
    """Return the name that the answer contains, or None if it contains none or more than one."""
    bare, whole = _bare(answer), answer.strip().casefold()
    exact = [name for name in names if _bare(name) == bare != ""]
    if len(exact) != 1:
        exact = [name for name in names if name.casefold() == whole]
    if len(exact) == 1:
        return exact[0]
    # The longest first, so that "code review" in an answer does not count as "code".
    longest_first = sorted({name.casefold() for name in names}, key=len, reverse=True)
    word = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    found = set(word.findall(answer.casefold()))
    meant = [name for name in names if name.casefold() in found]
    return meant[0] if len(meant) == 1 else None


def _bare(text: str) -> str:
    first, last = _BARE.search(text), _BARE.search(text[::-1])  # searching for the end of a run is not linear
    return "" if first is None or last is None else text[first.start() : len(text) - last.start()].casefold()
