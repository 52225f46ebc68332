"""The agent: a runner that runs turns under its own name and limits, in a conversation of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from attrs import Attribute, define, field, frozen

from aimu._core.answer import Answer
from aimu._core.chunks import Include
from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._core.messages import Message
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu.aio._base_client import AsyncBaseModelClient, duplicate
from aimu.aio._checks import at_least_one, tool_list
from aimu.aio._conversation import Conversation
from aimu.aio._foreign import foreign_steps
from aimu.aio._outcome import Terms
from aimu.aio._responder import Responder
from aimu.aio._restore import loading
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, StepRunner, labels, run_of, start, steps_of
from aimu.aio._stream import Stream
from aimu.errors import InvalidOptionError
from aimu.tools._like import ToolLike

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

DEFAULT_CONTINUATION_PROMPT = (
    "Your last message was empty or was cut off. Go on with the task, or answer it if it is done."
)


def _async_client(instance: object, attribute: Attribute[Any], client: Any) -> None:
    if not isinstance(client, AsyncBaseModelClient):
        hint = "; wrap it: aio.client(sync_client)" if hasattr(client, "__aio__") else ""
        raise InvalidOptionError(f"model_client must be an async client, got {type(client).__name__}{hint}")


@public("aimu.aio")
@define(eq=False, slots=False)
class Agent(StepRunner):
    """A model that works on a task, with tools, until it answers.

    The history persists from run to run. Agents made from the same client do not affect the client or each other. They
    use its provider without keeping it open: an agent works as long as that client or a fork of it is open.

    Args:
        model_client: The client of the agent's own conversation. The constructor forks it, with its history, from the
            client that is passed.
        system_message: The system message; None keeps that of the client.
        name: The agent's name in chunks, in `messages` and in notes on errors.
        tools: Functions (`@tool` or plain), `Tool` objects and MCP clients; an empty list keeps those of the client.
        max_iterations: The number of model requests of a run that may call tools, at least 1. At the limit, open calls
            are marked as not executed, and one more request asks for the answer.
        continuation_prompt: The text to send if the model's reply is empty, and to resume an answer that was cut off.
        reset_messages_on_run: Whether each run starts with an empty history.
        concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once. False
            keeps the setting of the client.

    Raises:
        InvalidOptionError: `max_iterations` is less than 1, or `model_client` is not an async client.

    Example:
        agent = aio.Agent(aio.client("ollama:qwen3.5:9b"), "You are a careful clerk.", tools=[add])
        print(await agent.run("What is 17 plus 25?"))
    """

    model_client: AsyncBaseModelClient = field(validator=_async_client)
    system_message: str | None = None
    name: str | None = None
    tools: list[ToolLike] = field(factory=list[ToolLike], converter=tool_list)
    max_iterations: int = field(default=10, validator=at_least_one)
    continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT
    reset_messages_on_run: bool = False
    concurrent_tool_calls: bool | int = field(default=False, kw_only=True)

    _constructed = False  # a flag of the instance, not an attrs field

    def __attrs_post_init__(self) -> None:
        given = {name: vars(self).pop(name) for name in _OF_CONVERSATION}
        self.model_client = self.model_client._fork(given.pop("system_message"), keep_history=True)
        self._constructed = True
        for name, value in given.items():
            if value:
                setattr(self, name, value)

    def __repr__(self) -> str:
        name, size = self.name or "agent", len(self.history)
        return f"<{type(self).__name__} {name!r} {self.model_client.spec}, {size} messages>"

    def _kept(self) -> Mapping[str, list[Message]]:
        return {self.name or "agent": self.history}

    def _loader(self, saved: dict[str, Any]) -> Callable[[], None]:
        [history] = saved.values()
        return loading(self.model_client.conversation, history)

    @property
    def history(self) -> list[Message]:
        """The messages of the agent's own conversation; those of `model_client`.

        Assign another history between runs; the next request checks it. If it has no system message, the agent keeps
        its own.

        Raises:
            InvalidOptionError: On assignment, the value is not a list.
            BusyConversationError: On assignment, a turn is running.
        """
        return self.model_client.messages

    @history.setter
    def history(self, messages: Sequence[Message]) -> None:
        self.model_client.messages = messages

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _steps(self, task: Task, run: Run) -> Steps:
        client = self.model_client
        if type(client).chat is AsyncBaseModelClient.chat:
            return self._loop(client._responder, task, run)
        kwargs, images = task.copies()  # the user's own `chat`
        label = run.label(self, self.name or "agent")
        return self._begin(
            run,
            lambda: foreign_steps(
                lambda: client.chat(task.text, kwargs, True, run.streaming, images), run, label, task.expected
            ),
        )

    def _loop(
        self, responder: Responder, task: Task, run: Run, label: str | None = None, *, resume: bool = False
    ) -> Steps:
        terms = Terms(
            max_iterations=self.max_iterations,
            continuation_prompt=self.continuation_prompt,
            reset=self.reset_messages_on_run,
            resume=resume,
        )
        label = label or run.label(self, self.name or "agent")
        return self._begin(run, lambda: responder.chat(task, run, terms=terms, label=label))

    def _begin(self, run: Run, steps: Callable[[], Steps]) -> Steps:
        """Return the steps of a run. A subclass can prepare the conversation first."""
        return steps()

    @overload
    def resume(
        self,
        *,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: None = None,
    ) -> Coroutine[Any, Any, Answer]: ...
    @overload
    def resume(
        self,
        *,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[T],
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[T]]: ...
    @overload
    def resume(
        self,
        *,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[True],
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Stream: ...
    @overload
    def resume(
        self,
        *,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream: ...
    def resume(
        self,
        *,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream:
        """Continue the history as it stands, after a run that was cut off or a history that was loaded.

        The first request sends the history. If it ends with an answer that did not end normally, `continuation_prompt`
        goes along.

        Args:
            generate_kwargs: Options for every model request of this run; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            timeout: Seconds for the whole run; None is no limit.
            include: The phases that a stream yields; None yields all.
            context: Any object for the tools of this run, which get it with `aimu.tools.current_call().context`.
            output_type: The type that the answer must have, as in `run`; None takes any text.
            output_mode: How the model is held to the type, as in `run`.
            output_retries: How often the model may give another answer after one that does not fit.
            output_validator: A function, sync or async, that gets the value and raises ValueError with what is wrong.
                A sync one runs where sync tools run, and a timeout or a cancellation waits for its end.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            NothingToResumeError: The history is empty, or ends with a final answer.
            InvalidOptionError: An option is invalid.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            BusyConversationError: The conversation is in use.
            ProviderError: The model service fails, or its answer is unusable.
        """
        expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
        task = Task("", generate_kwargs, expected=expected)
        return start(
            lambda run: self._loop(self.model_client._responder.beneath, task, run, resume=True),
            name=f"{type(self).__name__}.resume",
            what=lambda: run_of(self),
            stream=stream,
            labels=lambda: labels(self),
            timeout=timeout,
            include=include,
            context=context,
        )

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Return a copy of this agent with a new conversation.

        Args:
            system: The system message of the new agent; None keeps this one's.
            keep_history: Whether the new conversation starts with a copy of this one's history.

        Returns:
            The new agent.
        """
        fork = duplicate(self)
        fork.model_client = self.model_client._fork(system, keep_history)
        return fork

    def as_model_client(self) -> AsyncBaseModelClient:
        """Return a client of this agent's conversation whose `chat` runs this agent."""
        return self.model_client._with(AgentResponder(self))


class _OfConversation:
    """A field of an agent that its conversation stores.

    The agent itself keeps the value that the constructor sets until it has its conversation.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, agent: Agent | None, owner: type | None = None) -> Any:
        return self if agent is None else getattr(agent.model_client, self._name)

    def __set__(self, agent: Agent, value: Any) -> None:
        if agent._constructed:
            setattr(agent.model_client, self._name, value)
        else:
            vars(agent)[self._name] = value


_OF_CONVERSATION = ("system_message", "tools", "concurrent_tool_calls")
for _name in _OF_CONVERSATION:  # after attrs has made the constructor, so that access now goes to the client
    setattr(Agent, _name, _OfConversation(_name))
with_known_attributes(with_field_docs(Agent))


@frozen(eq=False)
class AgentResponder(Responder):
    """Makes a client stand for an agent: every `chat` is a run of the agent."""

    agent: Agent

    @property
    def conversation(self) -> Conversation:
        return self.agent.model_client.conversation

    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        return self._run(task, run, label) if use_tools else self._below.chat(task, run, use_tools=False, label=label)

    def generate(self, task: Task, run: Run) -> Steps:
        return self._below.generate(task, run)

    @property
    def _below(self) -> Responder:
        return self.agent.model_client._responder.beneath

    def _run(self, task: Task, run: Run, label: str | None) -> Steps:
        if type(self.agent).run is not StepRunner.run:  # the user's own `run`
            return steps_of(self.agent, task, run)
        return self.agent._loop(self._below, task, run, label)

    def fork(self, system_message: str | None, keep_history: bool) -> Responder:
        return AgentResponder(self.agent.fork(system_message, keep_history))
