"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of Agent, SkillAgent, OrchestratorAgent. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from aimu._core.answer import Answer
from aimu._core.chunks import Include
from aimu._core.messages import Message
from aimu._doors import public
from aimu._output._expected import RETRIES, OutputMode, OutputValidator
from aimu._sync import bridge
from aimu._sync.client import BaseModelClient
from aimu._sync.own import Orchestrating, client_of
from aimu._sync.reader import perform
from aimu._sync.runner import TwinRunner
from aimu._sync.stream import Stream
from aimu._sync.twin import FACTORY, aio_of, field_of, twin_of
from aimu.aio._agent import DEFAULT_CONTINUATION_PROMPT, T
from aimu.aio._agent import Agent as AsyncAgent
from aimu.aio._orchestrator import OrchestratorAgent as AsyncOrchestratorAgent
from aimu.aio._skill_agent import SkillAgent as AsyncSkillAgent
from aimu.skills import SkillManager
from aimu.tools._like import ToolLike

if TYPE_CHECKING:
    from typing_extensions import TypeForm


@public("aimu.agents")
@twin_of(AsyncAgent)
class Agent(TwinRunner):
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
        concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once. If they
            may, sync tools run in worker threads, otherwise on the caller's thread. False keeps the setting of the
            client.

    Raises:
        InvalidOptionError: `max_iterations` is less than 1, or `model_client` is one of `aimu.aio`.

    Example:
        agent = Agent(aimu.client("ollama:qwen3.5:9b"), "You are a careful clerk.", tools=[add])
        print(agent.run("What is 17 plus 25?"))
    """

    __aio__: AsyncAgent  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        model_client: BaseModelClient,
        system_message: str | None = None,
        name: str | None = None,
        tools: list[ToolLike] = FACTORY,
        max_iterations: int = 10,
        continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT,
        reset_messages_on_run: bool = False,
        *,
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        self._hold(
            AsyncAgent(
                aio_of(model_client),
                system_message,
                name,
                tools,
                max_iterations,
                continuation_prompt,
                reset_messages_on_run,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )

    @property
    def model_client(self) -> BaseModelClient:
        """The client of the agent's own conversation. The constructor forks it, with its history, from the client that
        is passed.
        """
        value: BaseModelClient = field_of(self.__aio__, "model_client")
        return value

    @model_client.setter
    def model_client(self, value: BaseModelClient) -> None:
        self.__aio__.model_client = aio_of(value)

    @property
    def system_message(self) -> str | None:
        """The system message; None keeps that of the client."""
        return self.__aio__.system_message

    @system_message.setter
    def system_message(self, value: str | None) -> None:
        self.__aio__.system_message = value

    @property
    def name(self) -> str | None:
        """The agent's name in chunks, in `messages` and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str | None) -> None:
        self.__aio__.name = value

    @property
    def tools(self) -> list[ToolLike]:
        """Functions (`@tool` or plain), `Tool` objects and MCP clients; an empty list keeps those of the client."""
        return self.__aio__.tools

    @tools.setter
    def tools(self, value: list[ToolLike]) -> None:
        self.__aio__.tools = value

    @property
    def max_iterations(self) -> int:
        """The number of model requests of a run that may call tools, at least 1. At the limit, open calls are marked as
        not executed, and one more request asks for the answer.
        """
        return self.__aio__.max_iterations

    @max_iterations.setter
    def max_iterations(self, value: int) -> None:
        self.__aio__.max_iterations = value

    @property
    def continuation_prompt(self) -> str:
        """The text to send if the model's reply is empty, and to resume an answer that was cut off."""
        return self.__aio__.continuation_prompt

    @continuation_prompt.setter
    def continuation_prompt(self, value: str) -> None:
        self.__aio__.continuation_prompt = value

    @property
    def reset_messages_on_run(self) -> bool:
        """Whether each run starts with an empty history."""
        return self.__aio__.reset_messages_on_run

    @reset_messages_on_run.setter
    def reset_messages_on_run(self, value: bool) -> None:
        self.__aio__.reset_messages_on_run = value

    @property
    def concurrent_tool_calls(self) -> bool | int:
        """Whether the calls of one reply may overlap; a number limits how many run at once. If they may, sync tools run
        in worker threads, otherwise on the caller's thread. False keeps the setting of the client.
        """
        return self.__aio__.concurrent_tool_calls

    @concurrent_tool_calls.setter
    def concurrent_tool_calls(self, value: bool | int) -> None:
        self.__aio__.concurrent_tool_calls = value

    @property
    def history(self) -> list[Message]:
        """The messages of the agent's own conversation; those of `model_client`.

        Assign another history between runs; the next request checks it. If it has no system message, the agent keeps
        its own.

        Raises:
            InvalidOptionError: On assignment, the value is not a list.
            BusyConversationError: On assignment, a turn is running.
        """
        return self.__aio__.history

    @history.setter
    def history(self, value: Sequence[Message]) -> None:
        bridge.call(setattr, self.__aio__, "history", value)

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
    ) -> Answer: ...
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
    ) -> Answer[T]: ...
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
    ) -> Answer[Any] | Stream: ...
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
    ) -> Answer[Any] | Stream:
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
        return perform(
            self.__aio__.resume(
                generate_kwargs=generate_kwargs,
                stream=stream,
                timeout=timeout,
                include=include,
                context=context,
                output_type=output_type,
                output_mode=output_mode,
                output_retries=output_retries,
                output_validator=output_validator,
            )
        )

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Return a copy of this agent with a new conversation.

        Args:
            system: The system message of the new agent; None keeps this one's.
            keep_history: Whether the new conversation starts with a copy of this one's history.

        Returns:
            The new agent.
        """
        return self._like(self.__aio__.fork(system, keep_history))

    def as_model_client(self) -> BaseModelClient:
        """Return a client of this agent's conversation whose `chat` runs this agent."""
        return client_of(self)


@public("aimu.agents")
@twin_of(AsyncSkillAgent)
class SkillAgent(Agent):
    """An agent whose model sees which skills there are, and loads one when a task needs it.

    At the start of each run, the agent updates the catalog of skills in the system message and keeps your own text and
    the history. It adds `activate_skill`, `list_skill_files`, `read_skill_file` and, if the catalog is shortened,
    `search_skills` to `tools`, unless tools of these names are already there. Without skills it works like a plain
    `Agent`, whose other arguments it accepts too.

    Args:
        skill_manager: Finds the skills; it cannot be replaced later.
    """

    __aio__: AsyncSkillAgent  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        model_client: BaseModelClient,
        system_message: str | None = None,
        name: str | None = None,
        tools: list[ToolLike] = FACTORY,
        max_iterations: int = 10,
        continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT,
        reset_messages_on_run: bool = False,
        skill_manager: SkillManager = FACTORY,
        *,
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        self._hold(
            AsyncSkillAgent(
                aio_of(model_client),
                system_message,
                name,
                tools,
                max_iterations,
                continuation_prompt,
                reset_messages_on_run,
                skill_manager,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )

    @property
    def skill_manager(self) -> SkillManager:
        """Finds the skills; it cannot be replaced later."""
        return self.__aio__.skill_manager


@public("aimu.agents")
@twin_of(AsyncOrchestratorAgent)
class OrchestratorAgent(TwinRunner, Orchestrating):
    """An agent that delegates parts of its task to workers by tool calls.

    `assemble` makes an orchestrator from a list of agents. A subclass makes its workers and tools in `__init__`, then
    calls `_init_orchestrator`; `messages` includes the runners that it keeps as attributes, or in lists and dicts that
    are attributes.

    Example:
        workers = [Agent(client, "Search.", "search"), Agent(client, "Write.", "write")]
        team = OrchestratorAgent.assemble(client, "Delegate each part of the task.", workers=workers)
        print(team.run("Report on tides."))
    """

    __aio__: AsyncOrchestratorAgent  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def agent(self) -> Agent:
        """The orchestrating agent.

        Raises:
            InvalidOptionError: The subclass has not called `_init_orchestrator`.
        """
        value: Agent = field_of(self.__aio__, "agent")
        return value

    @property
    def name(self) -> str | None:
        """The name of the orchestrating agent."""
        return self.__aio__.name

    def _init_orchestrator(
        self,
        model_client: BaseModelClient,
        *,
        name: str,
        system_message: str | None,
        tools: Sequence[ToolLike],
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        """Make the orchestrating agent; a subclass calls this at the end of its `__init__`.

        Args:
            model_client: The agent gets a conversation of its own, forked from this client.
            name: The agent's name in chunks and in `messages`.
            system_message: The agent's system message; None keeps that of the client.
            tools: The functions that call the workers.
            concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once. If
                they may, sync tools run in worker threads, otherwise on the caller's thread.
        """
        bridge.call(
            self.__aio__._init_orchestrator,
            aio_of(model_client),
            name=name,
            system_message=system_message,
            tools=tools,
            concurrent_tool_calls=concurrent_tool_calls,
        )

    @classmethod
    def assemble(
        cls,
        model_client: BaseModelClient,
        system_message: str,
        *,
        workers: Sequence[Agent],
        name: str = "orchestrator",
        concurrent_tool_calls: bool | int = True,
    ) -> Self:
        """Make an orchestrator with one tool for each worker.

        The tool has the name of the worker, and the first line of its system message as description. Each call of a
        worker starts a new conversation with the worker's system message and tools. `messages` has the calls of the
        latest run that called the worker, in the order in which they started, as `name`, `name#2`, `name#3`, …; chunks
        carry the same names.

        Args:
            model_client: The orchestrating agent gets a conversation of its own, forked from this client.
            system_message: The system message of the orchestrating agent.
            workers: The agents that it may call; their names must differ.
            name: The name of the orchestrating agent in chunks and in `messages`.
            concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once. If
                they may, sync tools run in worker threads, otherwise on the caller's thread.

        Returns:
            The orchestrator.

        Raises:
            ToolNameClashError: Two workers have the same name.
        """
        return cls._of(
            AsyncOrchestratorAgent.assemble(
                aio_of(model_client),
                system_message,
                workers=aio_of(workers),
                name=name,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )
