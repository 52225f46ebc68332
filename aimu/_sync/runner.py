"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of AsyncRunner, StepRunner. They decide nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from aimu._core.answer import Answer
from aimu._core.chunks import Include, StreamChunk
from aimu._core.messages import Message
from aimu._doors import public
from aimu._output._expected import RETRIES, OutputMode, OutputValidator
from aimu._sync import bridge
from aimu._sync.own import AdaptedRunner
from aimu._sync.reader import perform
from aimu._sync.stream import Stream
from aimu._sync.twin import Facade, twin_of
from aimu.aio._runner import MessageHistory, StepRunner, T

if TYPE_CHECKING:
    from typing_extensions import TypeForm


@public("aimu.agents")
class Runner(AdaptedRunner, ABC):
    """Base of every agent and workflow.

    An instance of your own subclass works wherever a runner is expected. Implement `messages` and `run`; other runners
    pass `run` only the four parameters below.

    Example:
        class Echo(Runner):
            messages = {}

            def run(self, task, generate_kwargs=None, stream=False, images=None):
                return task
    """

    @property
    @abstractmethod
    def messages(self) -> MessageHistory:
        """The histories of all sub-runners, keyed by runner name; equal names are numbered."""

    @abstractmethod
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
    ) -> str | Iterator[StreamChunk]:
        """Run the task and return the answer.

        Args:
            task: The user's text.
            generate_kwargs: Options for every model request of this run.
            stream: Whether to return the chunks of the run instead of its answer.
            images: Images to send with the text.

        Returns:
            The answer, or with `stream=True` an iterator of chunks. If the last chunk is a `done`, its content is the
            answer; otherwise the answer is the text of all chunks.
        """


@twin_of(StepRunner)
class TwinRunner(Runner, Facade):
    """Base of the library's own runners."""

    __aio__: StepRunner

    @property
    def messages(self) -> MessageHistory:
        """The histories of all sub-runners, keyed by runner name; equal names are numbered.

        Assign what it gave earlier, also through JSON and in another process, to load the histories of a whole team: of
        all runners in it, or of none if one cannot be loaded. A runner that has no key keeps its history; so does a
        system message if the loaded history has none.

        Raises:
            InvalidOptionError: On assignment, a key is not the name of a runner, or a value is not a list.
            InvalidHistoryError: On assignment, a history is not valid.
            BusyConversationError: On assignment, a turn is running.
        """
        return self.__aio__.messages

    @messages.setter
    def messages(self, value: Mapping[str, Sequence[Message]]) -> None:
        bridge.call(setattr, self.__aio__, "messages", value)

    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: None = None,
    ) -> Answer: ...
    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[T],
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Answer[T]: ...
    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        *,
        stream: Literal[True],
        images: list[Any] | None = None,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Stream: ...
    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Answer[Any] | Stream: ...
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Answer[Any] | Stream:
        """Run the task and return the answer.

        Args:
            task: The user's text.
            generate_kwargs: Options for every model request of this run; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images to send with the text: paths, bytes, URLs or data URLs.
            timeout: Seconds for the whole run; None is no limit.
            include: The phases that a stream yields; None yields all.
            context: Any object for the tools of this run, which get it with `aimu.tools.current_call().context`.
            output_type: The type that the answer must have; its value is `output` of the answer. None takes any text.
            output_mode: How the model is held to the type: "schema" by the service's mode for JSON Schemas, "tool" by a
                tool that takes the answer, "prompt" by asking; "auto" takes the strongest that there is.
            output_retries: How often the model may give another answer after one that does not fit.
            output_validator: A function, sync or async, that gets the value and raises ValueError with what is wrong.
                A sync one runs where sync tools run, and a timeout or a cancellation waits for its end.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            InvalidOptionError: `task` is not a str, or is blank and has no images; an option is invalid; or a runner is
                a part of itself.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            BusyConversationError: A conversation of the runner is in use.
            ProviderError: A model service fails, or its answer is unusable.
        """
        return perform(
            self.__aio__.run(
                task,
                generate_kwargs,
                stream,
                images,
                timeout=timeout,
                include=include,
                context=context,
                output_type=output_type,
                output_mode=output_mode,
                output_retries=output_retries,
                output_validator=output_validator,
            )
        )
