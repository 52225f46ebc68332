"""Every exception that aimu raises, in one tree; each is also the builtin exception that fits.

::

    AimuError
    ├── UsageError                      the calling program must change
    │   ├── UnknownProviderError        (ValueError)   no such provider in a model string
    │   ├── InvalidOptionError          (ValueError)   an invalid argument or generate kwarg
    │   ├── WeightsLoadedTwiceError     (ValueError)   an async client asked to load weights of its own
    │   ├── InvalidImageError           (ValueError)   not an image, or a model without vision
    │   ├── InvalidHistoryError         (ValueError)   `messages` is not a valid history
    │   ├── ToolNameClashError          (ValueError)   two tools share a name
    │   ├── ToolSignatureError          (TypeError)    a function has no usable schema
    │   ├── MissingExtraError           (ImportError)  an optional dependency is not installed
    │   ├── MissingKeyError             (ValueError)   no API key was given or found
    │   ├── BusyConversationError       (RuntimeError) a second task used a conversation
    │   ├── SystemMessageError          (RuntimeError) the system message was set too late
    │   ├── NoCurrentCallError          (LookupError)  current_call() outside a tool
    │   ├── NothingToResumeError        (RuntimeError) a history needs no further answer
    │   ├── StreamClosedError           (RuntimeError) a stream cannot be read or left at this point
    │   └── ClosedClientError           (RuntimeError) a client was used after it was closed
    ├── ProviderError                   (RuntimeError) a model service failed
    │   ├── AuthenticationError         (PermissionError)
    │   ├── RateLimitError
    │   ├── OverloadedError
    │   ├── BadRequestError             (ValueError)
    │   │   ├── ContextLengthError
    │   │   └── ModelNotFoundError      (LookupError)
    │   ├── RefusedError                the model or a filter refused
    │   ├── TruncatedError              `max_tokens` cut the answer off
    │   ├── TruncatedStreamError        (EOFError) the stream ended too early
    │   ├── MalformedResponseError      (ValueError)
    │   ├── ProviderConnectionError     (ConnectionError)
    │   └── ProviderTimeoutError        (TimeoutError)
    ├── ToolError                       (RuntimeError) a tool failed
    │   ├── ToolArgumentsError          (ValueError)   the arguments do not fit the schema
    │   └── UnknownToolError            (LookupError)  the conversation has no such tool
    ├── EngineError                     (RuntimeError) a model in this process failed
    │   └── NotEnoughMemoryError        (MemoryError)  its weights are larger than the memory that is free
    ├── MCPError                        (RuntimeError) an MCP server failed
    │   ├── MCPConnectionError          (ConnectionError)
    │   ├── MCPTimeoutError             (TimeoutError)
    │   └── MCPTooLargeError            (ValueError)   a message exceeds `max_message_bytes`
    ├── SkillError                      (ValueError)   a skill that breaks a rule or cannot be used
    ├── JournalError                    (RuntimeError) the journal of a batch cannot be used
    │   ├── JournalBusyError            another program or another `amap` uses it
    │   └── JournalWriteError           (OSError)      it cannot be written, as when the disk is full
    └── RunnerError                     (RuntimeError) an agent or workflow could not continue
        ├── EmptyAnswerError            the model answered without text, again after the continuation prompt
        ├── IterationLimitError         a turn reached its limit before the model had answered
        ├── OutputError                 (ValueError)   an answer does not have the type that was asked for
        ├── RoutingError                (ValueError)   the classifier's answer names no handler
        └── ScoringError                (ValueError)   a scorer gave no score

During a run the model sees the text of a `ToolError`; a caller sees one only after calling a tool directly. Errors
hold their facts as attributes, word their own message, and can be pickled and copied. None of them holds an API key.
"""

# Long, because the tree of errors is best read in one place.

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

__all__ = [
    "AimuError",
    "AuthenticationError",
    "BadRequestError",
    "BusyConversationError",
    "ClosedClientError",
    "ContextLengthError",
    "EmptyAnswerError",
    "EngineError",
    "InvalidHistoryError",
    "InvalidImageError",
    "InvalidOptionError",
    "IterationLimitError",
    "JournalBusyError",
    "JournalError",
    "JournalWriteError",
    "MCPConnectionError",
    "MCPError",
    "MCPTimeoutError",
    "MCPTooLargeError",
    "MalformedResponseError",
    "MissingExtraError",
    "MissingKeyError",
    "ModelNotFoundError",
    "NoCurrentCallError",
    "NotEnoughMemoryError",
    "NothingToResumeError",
    "OutputError",
    "OverloadedError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RefusedError",
    "RoutingError",
    "RunnerError",
    "ScoringError",
    "SkillError",
    "StreamClosedError",
    "SystemMessageError",
    "ToolArgumentsError",
    "ToolError",
    "ToolNameClashError",
    "ToolSignatureError",
    "TruncatedError",
    "TruncatedStreamError",
    "UnknownProviderError",
    "UnknownToolError",
    "UsageError",
    "WeightsLoadedTwiceError",
]


class AimuError(Exception):
    """Base of every error of this library.

    A pickled or copied error has the same class, text, attributes and notes. As with every Python exception, cause,
    context and traceback are left out.

    Remedy:
        Catch a narrower class where you can; catch this one at the edge of a program, and show its text.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited method would call the class with its finished text, and most classes take facts instead.
        inherited: Any = super().__reduce__()
        args, *rest = inherited[1:]
        state: dict[str, Any] = {**rest[0]} if rest else {}
        if "__notes__" in state:  # a copy gets its own list, so that add_note() changes one of the two
            state["__notes__"] = [*state["__notes__"]]
        return _restore, (type(self), args), state


def _restore(kind: type[AimuError], args: tuple[Any, ...]) -> AimuError:
    """Make an error without calling its own `__init__`; `__reduce__` supplies the attributes as state."""
    base: Any = kind
    while base.__module__ != "builtins":  # the base that gives instances their memory layout, such as OSError
        base = base.__base__
    error: AimuError = base.__new__(kind, *args)  # OSError takes them here or in its `__init__`, as it finds the class
    super(AimuError, error).__init__(*args)
    return error


class UsageError(AimuError):
    """The calling program made a mistake; the text says which one and how to correct it.

    Remedy:
        Correct the program as the text says. Do not catch this error and go on.
    """


_OTHER_SERVER = "; for any other OpenAI-compatible server, write 'vllm:model_id' and pass its base_url="


@final
class UnknownProviderError(UsageError, ValueError):
    """A model string names no provider or an unknown one.

    Remedy:
        Write the model string as `provider:model_id` with one of the names in `known`; `suggestion` may already be the
        right one.

    Attributes:
        provider: The name; of a model string without a provider, the whole string.
        known: The names of the providers that exist.
        missing: Whether the model string has no provider.
        suggestion: A model string that was perhaps meant, or None.
    """

    def __init__(
        self, provider: str, known: Iterable[str], *, missing: bool = False, suggestion: str | None = None
    ) -> None:
        self.provider = provider
        self.known: tuple[str, ...] = tuple(known)
        self.missing = missing
        self.suggestion = suggestion
        fault = f"the model string {provider!r} has no provider" if missing else f"unknown provider {provider!r}"
        meant = f"; did you mean {suggestion!r}? A" if suggestion else "; a"
        other = "" if suggestion or "vllm" not in self.known else _OTHER_SERVER
        super().__init__(
            f"{fault}{meant} model string is 'provider:model_id', where provider is one of: {', '.join(self.known)}"
            f"{other}"
        )


@final
class InvalidOptionError(UsageError, ValueError):
    """An argument has an invalid value.

    Remedy:
        Correct the argument that the text names; the text says which values are allowed.
    """


@final
class WeightsLoadedTwiceError(UsageError, ValueError):
    """An async client was asked to load the weights of `model`, which only a sync client does.

    Remedy:
        Load the weights once with `aimu.client(model)`, and share them with `aio.client(that_client)`.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"aio.client({model}) would load model weights into memory twice once a sync client uses them too; "
            "load them once and share them:\n"
            f"    sync_client = aimu.client({model})\n"
            "    async_client = aio.client(sync_client)"
        )


@final
class InvalidImageError(UsageError, ValueError):
    """An image is not valid, cannot be read, or was given to a model without vision.

    Remedy:
        Pass a path, bytes, an http(s) URL or a data URL of a PNG, JPEG, WebP or GIF image, to a model that sees images.
    """


@final
class InvalidHistoryError(UsageError, ValueError):
    """`messages` is not a valid history; `index` is the first invalid message, `reason` its fault.

    Remedy:
        Correct `messages[index]`; a history that `client.messages` gave and JSON has kept is always valid.
    """

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(f"messages[{index}] {reason}")


@final
class ToolNameClashError(UsageError, ValueError):
    """Two tools of one conversation have the same name.

    Remedy:
        Rename one tool with `@tool(name=...)` or with the `prefix=` of its MCP client, or remove one.

    Attributes:
        name: The name that both have.
        first: Where the first tool comes from.
        second: Where the second tool comes from.
    """

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name = name
        self.first = first
        self.second = second
        super().__init__(
            f"two tools are named {name!r}: one from {first}, one from {second}; "
            "rename one with @tool(name=...) or remove one"
        )


class ToolSignatureError(UsageError, TypeError):
    """A function's signature has no JSON Schema; the text names the parameter and the remedy.

    Remedy:
        Give each parameter a type that JSON can express: plain types, lists, dicts, dataclasses, attrs classes,
        TypedDicts or pydantic models, defined at module level.
    """


@final
class MissingExtraError(UsageError, ImportError):
    """An optional dependency, `package`, is not installed; the extra `extra` of aimu installs it.

    Remedy:
        Install the extra, `pip install '.[extra]'` in the checkout of aimu, in the environment that runs the program.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package!r} is not installed; it belongs to the extra {extra!r}: "
            f"run `pip install '.[{extra}]'` in the checkout of aimu"
        )


@final
class MissingKeyError(UsageError, ValueError):
    """`provider` needs an API key; none was given, and the environment variable `variable` is not set.

    Remedy:
        Set the environment variable `variable`, or pass `api_key=`. If the server at your `base_url=` needs no key, it
        takes any.

    Attributes:
        provider: The name of the provider.
        variable: The environment variable.
        own_url: Whether requests would go to another URL than the provider's own.
    """

    def __init__(self, provider: str, variable: str, *, own_url: bool = False) -> None:
        self.provider = provider
        self.variable = variable
        self.own_url = own_url
        other = "; if the server at your base URL needs no key, pass any, such as api_key='none'" if own_url else ""
        super().__init__(
            f"no API key for {provider!r}: set the environment variable {variable} or pass api_key={other}"
        )


@final
class BusyConversationError(UsageError, RuntimeError):
    """A task used a conversation (`who`) while another task's turn was running; that turn is unaffected.

    Remedy:
        Wait for that turn, close its stream, or give each task its own conversation with `client.fork()`.
    """

    def __init__(self, who: str = "this conversation") -> None:
        self.who = who
        super().__init__(
            f"{who} is busy with another task's turn; wait for that turn, close its stream, "
            "or give each task its own conversation with client.fork()"
        )


@final
class SystemMessageError(UsageError, RuntimeError):
    """The system message was set after the first turn.

    Remedy:
        Start over with `reset(system_message=...)`, or open a new conversation with `fork(system=...)`.
    """

    def __init__(self) -> None:
        super().__init__(
            "the system message cannot change after the first turn; "
            "call reset(system_message=...) to start over, or fork(system=...) for a new conversation"
        )


@final
class NoCurrentCallError(UsageError, LookupError):
    """`current_call()` was used where no tool is running.

    Remedy:
        Call `current_call()` inside a tool that a model calls, in the thread and async task in which the library runs
        it, and pass the result on to other threads.
    """

    def __init__(self) -> None:
        super().__init__(
            "no tool is running here; use current_call() inside a tool that a model calls, "
            "in the thread and async task in which the library runs it"
        )


@final
class NothingToResumeError(UsageError, RuntimeError):
    """A history cannot be resumed; `reason` says why.

    Remedy:
        Give the agent a task with `run()`.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"there is nothing to resume, because {reason}; give the agent a task with run()")


@final
class StreamClosedError(UsageError, RuntimeError):
    """A stream, or the results of `amap`, cannot be read or left at this point; the text says why.

    It was closed, a newer turn on its conversation replaced it, its event loop ended, its result is not there yet, or
    the program is not where it may use it: outside its block, in another async task, or inside the run itself.

    Remedy:
        Read a stream inside its `async with` or `with` block and before the next turn of its conversation; run the turn
        again for another stream.
    """


@final
class ClosedClientError(UsageError, RuntimeError):
    """A client (`who`) was used after it was closed.

    Remedy:
        Create a new client, or keep the client open, for example with `with` or `async with`, for as long as agents and
        streams use it.
    """

    def __init__(self, who: str = "this client") -> None:
        self.who = who
        super().__init__(f"{who} is closed; create a new one")


class ProviderError(AimuError, RuntimeError):
    """A model service gave an error, an unreadable answer or none.

    Remedy:
        Try again later if `retryable` is true: the client has already tried `max_retries` more times. Otherwise read
        `status` and the text of the service; `request_id` helps its support.

    Attributes:
        provider: The provider's name, or None.
        status: The HTTP status, or None.
        request_id: The service's id of the request, or None.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds that the service asked to wait, or None.
        partial: The text that arrived before the failure, or "".
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        partial: str = "",
    ) -> None:
        self.provider = provider
        self.status = status
        self.request_id = request_id
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.partial = partial
        facts = [f"status {status}"] if status is not None else []
        if request_id:
            facts.append(f"request {request_id}")
        where = f"{provider}: " if provider else ""
        super().__init__(f"{where}{message}" + (f" ({', '.join(facts)})" if facts else ""))


@final
class AuthenticationError(ProviderError, PermissionError):
    """The service rejected the credentials (HTTP 401, 403).

    Remedy:
        Check the API key, the account and its rights. A key in the environment may be an old one: `api_key=` comes
        before it.
    """


@final
class RateLimitError(ProviderError):
    """The client sent too many requests or tokens (HTTP 429).

    Remedy:
        Wait for `retry_after` seconds; send less at once with `max_concurrency=` or `aio.Limits`, or raise
        `max_retries=`. If the account has no credit left, `retryable` is False and waiting does not help.
    """

    retryable = True


@final
class OverloadedError(ProviderError):
    """The service failed or has no capacity (HTTP 5xx).

    Remedy:
        Try again later, or raise `max_retries=`; have another model as a fallback.
    """

    retryable = True


class BadRequestError(ProviderError, ValueError):
    """The service rejected the request as invalid (other HTTP 4xx).

    Remedy:
        Change the request as the text of the service says; sending it again gives the same error.
    """


@final
class ContextLengthError(BadRequestError):
    """The prompt is longer than the model's context.

    Remedy:
        Send less: shorten the history or the tools' results, start a new conversation, or use a model with a longer
        context (`n_ctx=` for GGUF files).
    """


@final
class ModelNotFoundError(BadRequestError, LookupError):
    """The service has no such model.

    Remedy:
        Check the model's id and whether the account may use it. Download it first if the server runs on your machine;
        `base_url=` may point to another server than you think.
    """


@final
class RefusedError(ProviderError):
    """The model, or a content filter, refused to answer.

    Remedy:
        Rephrase the task or use another model; sending it again seldom helps.
    """


@final
class TruncatedError(ProviderError):
    """`max_tokens` ended the answer before it had usable text, or inside a tool call.

    Remedy:
        Raise `max_tokens`; a model that thinks spends it on thinking too.
    """


@final
class TruncatedStreamError(ProviderError, EOFError):
    """A stream ended before the terminal event of its format, so its answer is incomplete.

    Remedy:
        Run the turn again; `partial` has the text that arrived. If it happens often, look for a proxy that ends long
        responses.
    """

    retryable = True


@final
class MalformedResponseError(ProviderError, ValueError):
    """The response does not have the format that the service documents.

    Remedy:
        Check that `base_url=` is the address of the API and that the server speaks the provider's format. If it does,
        report the response as a bug.
    """


@final
class ProviderConnectionError(ProviderError, ConnectionError):
    """The connection could not be made, or broke.

    Remedy:
        Check that the service runs at the address that the text names, and the proxies and certificates in the
        environment; then try again.
    """

    retryable = True


@final
class ProviderTimeoutError(ProviderError, TimeoutError):
    """The service did not answer within the timeout of the request.

    Remedy:
        Raise `timeout=`, the seconds without a byte; a stream shows sooner that the model is at work.
    """

    retryable = True


class ToolError(AimuError, RuntimeError):
    """A tool could not give a result. During a run the model sees the text of this error.

    Remedy:
        Raise it in a tool to tell the model what went wrong and what to try instead; let the tool raise another
        exception that `raises=` names to end the run.
    """


@final
class ToolArgumentsError(ToolError, ValueError):
    """The arguments of a call do not fit the tool's schema.

    Remedy:
        During a run, do nothing: the model reads the text and tries again. In direct calls, pass arguments that fit
        `tool.parameters`. If a model often fails, describe the parameters in the docstring, or simplify their types.
    """


@final
class UnknownToolError(ToolError, LookupError):
    """A call names a tool, `name`, that the conversation does not have; `known` has the names of those it has.

    Remedy:
        During a run, do nothing: the model reads which tools there are. If a history names tools that are gone, give
        the conversation tools of those names.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known: tuple[str, ...] = tuple(known)
        super().__init__(f"there is no tool {name!r}; available: {', '.join(self.known) or 'none'}")


class EngineError(AimuError, RuntimeError):
    """A model in this process could not be loaded or used.

    Remedy:
        Check the path, the format and the memory that the text names; the cause (`__cause__`) is the error of the
        library that loads the weights.
    """


@final
class NotEnoughMemoryError(EngineError, MemoryError):
    """The weights of a model, with the context that is allocated beside them, are larger than the memory that is free.

    Remedy:
        Close other programs, choose a smaller model, quant or context, or spread the model over devices.

    Attributes:
        model: The model.
        needed: Bytes that weights and context take.
        available: Bytes that are free.
        remedy: What to do about this model.
        context: Bytes of these that the context takes; 0 if it is not counted.
    """

    def __init__(self, model: str, needed: int, available: int, remedy: str, *, context: int = 0) -> None:
        self.model = model
        self.needed = needed
        self.available = available
        self.remedy = remedy
        self.context = context
        beside = f" and its context {context / 1e9:,.2f} GB" if context else ""
        super().__init__(
            f"the weights of {model!r} need {(needed - context) / 1e9:,.2f} GB of memory{beside}, and "
            f"{available / 1e9:,.2f} GB are free; {remedy}"
        )


class MCPError(AimuError, RuntimeError):
    """An MCP server answered with a protocol error.

    Remedy:
        Read the text of the server; list its tools or resources again if it says that one is missing.
    """


@final
class MCPConnectionError(MCPError, ConnectionError):
    """An MCP server could not be reached, refused a request, or died.

    Remedy:
        Run the server's command by hand, or open its URL, and read `stderr`; for status 401, log in with `bearer=` or
        `headers=`.

    Attributes:
        server: The server's name.
        reason: What happened.
        stderr: The last lines that it wrote to stderr, or "".
        status: The HTTP status of its answer, or None.
        www_authenticate: The answer's `WWW-Authenticate`, which says how to log in, or "".
        retry_after: The answer's `Retry-After`, in seconds or as a date, or "".
    """

    def __init__(
        self,
        server: str,
        reason: str,
        *,
        stderr: str = "",
        status: int | None = None,
        www_authenticate: str = "",
        retry_after: str = "",
    ) -> None:
        self.server = server
        self.reason = reason
        self.stderr = stderr
        self.status = status
        self.www_authenticate = www_authenticate
        self.retry_after = retry_after
        tail = f"; its last lines on stderr:\n{stderr}" if stderr else ""
        super().__init__(f"MCP server {server!r}: {reason}{tail}")


@final
class MCPTimeoutError(MCPError, TimeoutError):
    """An MCP request did not finish within its timeout.

    Remedy:
        Raise the timeout, or ask the server for less.
    """


@final
class MCPTooLargeError(MCPError, ValueError):
    """A message of an MCP server has more bytes than `max_message_bytes`, and was discarded.

    Remedy:
        Ask the server for less, or connect with a larger `max_message_bytes=`.

    Attributes:
        server: The server's name.
        limit: The largest number of bytes that is accepted.
    """

    def __init__(self, server: str, limit: int) -> None:
        self.server = server
        self.limit = limit
        super().__init__(
            f"MCP server {server!r}: its answer has more than {limit} bytes and was discarded; ask it for less, or "
            "connect with a larger max_message_bytes="
        )


class SkillError(AimuError, ValueError):
    """A skill breaks a rule of the format, or cannot be used.

    Remedy:
        Correct the file as `remedy` says.

    Attributes:
        path: The file or folder that is meant, or None.
        problem: What is wrong with it.
        remedy: What to do about it, or "".
        loaded: Whether the skill is used all the same, as in `SkillManager.problems`.
    """

    def __init__(self, problem: str, *, path: Path | str | None = None, remedy: str = "", loaded: bool = False) -> None:
        self.path: Path | str | None = path
        self.problem: str = problem
        self.remedy: str = remedy
        self.loaded: bool = loaded
        super().__init__(("" if path is None else f"{path}: ") + problem + (f"; {remedy}" if remedy else ""))


class JournalError(AimuError, RuntimeError):
    """The journal of an `amap` is damaged, is another kind of file, or was made with another runner.

    The file is left as it is.

    Remedy:
        Do what the text says; or give another path, and all tasks are asked again.

    Attributes:
        path: The journal.
        problem: What is wrong with it.
        remedy: What to do about it.
        line: The number of the line that is meant, from 1; or None.
    """

    def __init__(self, path: str, problem: str, remedy: str, *, line: int | None = None) -> None:
        self.path = path
        self.problem = problem
        self.remedy = remedy
        self.line = line
        where = path if line is None else f"{path}, line {line}"
        super().__init__(f"the journal {where}: {problem}; {remedy}")


@final
class JournalBusyError(JournalError):
    """Another process, or another `amap` of this one, uses the journal.

    Remedy:
        Wait until that run has ended, or give each run a journal of its own.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            path, "another run of amap uses it", "wait until that run has ended, or give each run its own journal"
        )


@final
class JournalWriteError(JournalError, OSError):
    """The journal cannot be opened or written: the disk is full, the folder is missing, rights do not suffice.

    What was recorded before is safe. The cause (`__cause__`) is the error of the operating system, if there is one.

    Remedy:
        Make room, or correct the path or its rights; then run the batch again with the same journal.

    Attributes:
        path: The journal.
        problem: What happened.
        remedy: What to do about it.
        line: None.
        answer: The answer that could not be recorded, or None.
    """

    def __init__(self, path: str, problem: str, remedy: str, *, answer: Any = None) -> None:
        super().__init__(path, problem, remedy)
        self.answer = answer


class RunnerError(AimuError, RuntimeError):
    """An agent or a workflow could not continue.

    Remedy:
        Resume or repeat the run; the history is valid and holds what was finished.
    """


@final
class EmptyAnswerError(RunnerError):
    """A model's answer to an agent had no text, and no tool call either, again after the continuation prompt.

    Remedy:
        Ask again with `resume()`. Raise `max_tokens` if the model thinks for long, or write a clearer
        `continuation_prompt`.
    """

    def __init__(self) -> None:
        super().__init__(
            "the model's answer was empty, and remained so after the continuation prompt; "
            "resume() asks again, and a higher max_tokens leaves room for text after long thinking"
        )


@final
class IterationLimitError(RunnerError):
    """A turn reached its limit of iterations before the model had given an answer.

    Remedy:
        Raise `max_iterations` of the agent or `max_tool_rounds` of the client, or give the model fewer steps to do;
        `partial` has the text so far.

    Attributes:
        limit: The number of iterations.
        partial: The text that the model had given, or "".
    """

    def __init__(self, limit: int, *, partial: str = "") -> None:
        self.limit = limit
        self.partial = partial
        super().__init__(
            f"the model had not answered after {limit} iterations and the last request; "
            "raise max_iterations (of an agent) or max_tool_rounds (of a client)"
        )


@final
class OutputError(RunnerError, ValueError):
    """The answer does not have the type that was asked for, nor do those that the model gave when it was told why.

    Remedy:
        Raise `output_retries`, simplify the type, describe its fields, or use a stronger model; `reasons` says what was
        wrong.

    Attributes:
        text: The last answer.
        reasons: What is wrong with it, one text for each problem.
        attempts: The number of answers that the model gave.
    """

    def __init__(self, text: str, reasons: Iterable[str], *, attempts: int = 1) -> None:
        self.text = text
        self.reasons: tuple[str, ...] = tuple(reasons)
        self.attempts = attempts
        given = "the answer does" if attempts == 1 else f"{attempts} answers do"
        super().__init__(
            f"{given} not fit the output type: {'; '.join(self.reasons)}. "
            "Raise output_retries, simplify the type, or describe its fields"
        )


@final
class RoutingError(RunnerError, ValueError):
    """A classifier's `answer` names none of the `handlers`, and the Router has no fallback.

    Remedy:
        Give the Router a `fallback=`, or tell the classifier to answer with one of the names and nothing else.
    """

    def __init__(self, answer: str, handlers: Iterable[str]) -> None:
        self.answer = answer
        self.handlers: tuple[str, ...] = tuple(handlers)
        super().__init__(
            f"the classifier answered {answer!r}, which names none of the handlers: {', '.join(self.handlers)}; "
            "give the Router a fallback= or a stricter classifier prompt"
        )


@final
class ScoringError(RunnerError, ValueError):
    """A judge's verdict had no readable score, or a scorer's `score` did not return a number and a text.

    Remedy:
        Use a stronger model as the judge; let `score` of a scorer of your own return a tuple `(number, reason)`.
    """
