"""The agent: a conversation of its own, a name, and the loop of a turn with the agent's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from attrs import Attribute, define, evolve, field

from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.loop import Policy
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import AsyncRunner, MessageHistory, StepRunner, foreign_steps
from aimu.core.field_docs import with_field_docs
from aimu.errors import InvalidOptionError

DEFAULT_CONTINUATION_PROMPT = "Your last message was empty. Go on with the task, or answer it if it is done."


def _share_tools(agent: Agent, attribute: Attribute[list[Any]], tools: list[Any]) -> list[Any]:
    agent.model_client.tools = tools
    return agent.model_client.tools


def _share_system_message(agent: Agent, attribute: Attribute[str | None], text: str | None) -> str | None:
    agent.model_client.system_message = text
    return text


@with_field_docs
@define(eq=False)
class Agent(StepRunner):
    """A model that works on a task, with tools, until it answers.

    The history stays from run to run. Agents that were made from one client disturb neither it nor each other.

    Args:
        model_client: The client of the agent's own conversation; it is forked, with its history, from the one given
            here.
        system_message: The system message; None keeps that of the client.
        name: The agent's name in chunks, in `messages` and in notes on errors.
        tools: Functions (`@tool` or plain), `Tool` objects, MCP clients; without any, those of the client.
        max_iterations: How many model requests of a run may call tools, at least 1. At the limit, open calls are marked
            as not executed and one more request asks for the answer.
        continuation_prompt: What is sent if the model's reply is empty.
        reset_messages_on_run: Whether each run begins with an empty history.
        concurrent_tool_calls: Whether the calls of one model reply overlap; a number lets at most so many.

    Raises:
        InvalidOptionError: `max_iterations` is less than 1, or `model_client` is not an async client.

    Example:
        agent = aio.Agent(aio.client("ollama:qwen3.5:9b"), "You are a careful clerk.", tools=[add])
        print(await agent.run("What is 17 plus 25?"))
    """

    model_client: AsyncBaseModelClient
    system_message: str | None = field(default=None, on_setattr=_share_system_message)
    name: str | None = None
    tools: list[Callable[..., Any]] = field(factory=list[Callable[..., Any]], on_setattr=_share_tools)
    max_iterations: int = 10
    continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT
    reset_messages_on_run: bool = False
    concurrent_tool_calls: bool | int = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.model_client, AsyncBaseModelClient):
            hint = "; wrap it: aio.client(sync_client)" if hasattr(self.model_client, "__aio__") else ""
            raise InvalidOptionError(f"an agent needs an async client, not {type(self.model_client).__name__}{hint}")
        if self.max_iterations < 1:
            raise InvalidOptionError(f"max_iterations is at least 1, not {self.max_iterations!r}")
        given = self.tools
        client = self.model_client._fork(self.system_message, keep_history=True)
        self._adopt(client, given or client.tools)

    def _adopt(self, client: AsyncBaseModelClient, tools: list[Callable[..., Any]]) -> None:
        # Past the hooks of attrs: these are the conversation's own values, or are given to it here.
        client.tools = tools
        for name, value in (
            ("model_client", client),
            ("tools", client.tools),
            ("system_message", client.system_message),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        name, size = self.name or "agent", len(self._history())
        return f"<{type(self).__name__} {name!r} {self.model_client.spec}, {size} messages>"

    @property
    def messages(self) -> MessageHistory:
        """This agent's history under its name."""
        return {self.name or "agent": self._history()}

    def _history(self) -> list[dict[str, Any]]:
        return self.model_client.messages

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _policy(self) -> Policy:
        return Policy(
            limit=self.max_iterations,
            continuation=self.continuation_prompt,
            concurrent=self.concurrent_tool_calls or self.model_client.concurrent_tool_calls,
            reset=self.reset_messages_on_run,
        )

    def _steps(self, task: Task, run: Run, *, label: str | None = None) -> Steps:
        client, label = self.model_client, label or run.label(self, self.name or "agent")
        if type(client).chat is not AsyncBaseModelClient.chat:  # a client of the user's own, with a chat of its own
            kwargs, images = task.copies()
            return foreign_steps(lambda: client.chat(task.text, kwargs, True, run.streaming, images), run)
        return client._steps(task, run, policy=self._policy(), label=label)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Make the same agent on a new conversation.

        Args:
            system: The system message of the new agent; None keeps this one's.
            keep_history: Whether the new conversation begins with a copy of this one's history.

        Returns:
            The new agent.
        """
        twin = evolve(self, model_client=self.model_client, system_message=system, tools=list(self.model_client.tools))
        if not keep_history:
            twin.model_client.reset(system)
        return twin

    def as_model_client(self) -> AsyncBaseModelClient:
        """Give a client of this agent's conversation whose `chat` runs this agent."""
        return self.model_client._answering(self)
