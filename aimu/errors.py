"""Every exception that aimu raises, one tree; each is also the builtin that fits.

::

    AimuError
    ├── UsageError                      the calling program must change
    │   ├── UnknownProviderError        (ValueError)   no such provider in a model string
    │   ├── InvalidOptionError          (ValueError)   an argument or generate kwarg that cannot be meant
    │   ├── WeightsLoadedTwiceError     (ValueError)   an async client asked to load weights of its own
    │   ├── InvalidImageError           (ValueError)   no image, or a model without vision
    │   ├── InvalidHistoryError         (ValueError)   `messages` breaks the rule, at an index
    │   ├── ToolNameClashError          (ValueError)   two tools of one name
    │   ├── ToolSignatureError          (TypeError)    no schema can be made of a function
    │   ├── MissingExtraError           (ImportError)  an optional dependency is not installed
    │   ├── MissingKeyError             (ValueError)   no API key given or in the environment
    │   ├── BusyConversationError       (RuntimeError) a second task on a conversation
    │   ├── SystemMessageError          (RuntimeError) the system message after the first turn
    │   ├── StreamClosedError           (RuntimeError) a stream read after its end was forced
    │   └── ClosedClientError           (RuntimeError) a client used after it was closed
    ├── ProviderError                   (RuntimeError) a model service answered badly, or not
    │   ├── AuthenticationError         (PermissionError)
    │   ├── RateLimitError
    │   ├── OverloadedError
    │   ├── BadRequestError             (ValueError)
    │   │   ├── ContextLengthError
    │   │   └── ModelNotFoundError      (LookupError)
    │   ├── RefusedError                the model or a filter declined
    │   ├── TruncatedError              cut by `max_tokens` without usable text, or inside a tool call
    │   ├── TruncatedStreamError        (EOFError) the stream ended before its terminal event
    │   ├── MalformedResponseError      (ValueError)
    │   ├── ProviderConnectionError     (ConnectionError)
    │   └── ProviderTimeoutError        (TimeoutError)
    ├── ToolError                       (RuntimeError) a tool cannot give a result
    │   ├── ToolArgumentsError          (ValueError)   arguments that do not fit the schema
    │   └── UnknownToolError            (LookupError)  no tool of that name
    ├── EngineError                     (RuntimeError) weights in this process
    ├── MCPError                        (RuntimeError)
    │   ├── MCPConnectionError          (ConnectionError)
    │   └── MCPTimeoutError             (TimeoutError)
    ├── SkillError                      (ValueError)   a skill that breaks a rule or cannot be used
    └── RunnerError                     (RuntimeError) a workflow cannot go on
        ├── RoutingError                (ValueError)
        └── ScoringError                (ValueError)

A failing tool is data for the model, so `ToolError` reaches a caller only where a tool is called directly. Errors
hold facts as attributes and word their own message; none ever holds an API key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import final


class AimuError(Exception):
    """Base of every error of this library."""


class UsageError(AimuError):
    """The program asked for something that cannot be; the text names the thing and the remedy."""


@final
class UnknownProviderError(UsageError, ValueError):
    """A model string names a provider that does not exist.

    `provider` is the name that was given, `known` those that exist.
    """

    def __init__(self, provider: str, known: Iterable[str]) -> None:
        self.provider = provider
        self.known = tuple(known)
        super().__init__(
            f"unknown provider {provider!r}; a model string is 'provider:model_id' with one of: {', '.join(self.known)}"
        )


@final
class InvalidOptionError(UsageError, ValueError):
    """An argument has a value that cannot be meant."""


@final
class WeightsLoadedTwiceError(UsageError, ValueError):
    """An async client was asked to load weights of its own.

    `model` is what was asked for, as the user would write it in code.
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
    """An image that is none, cannot be read, or is given to a model without vision."""


@final
class InvalidHistoryError(UsageError, ValueError):
    """`messages` breaks the rule of `aimu.core.messages`; `index` is the first message that does."""

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(f"messages[{index}] {reason}")


@final
class ToolNameClashError(UsageError, ValueError):
    """Two tools of one conversation have the same name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name = name
        super().__init__(
            f"two tools are named {name!r}: one from {first}, one from {second}; "
            "rename one (`@tool(name=...)`) or leave one out"
        )


class ToolSignatureError(UsageError, TypeError):
    """No JSON Schema can be made of a function's signature; the text names the parameter and the remedy."""


@final
class MissingExtraError(UsageError, ImportError):
    """An optional dependency is not installed; `extra` is the one to install."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package!r} is not installed; it comes with the extra {extra!r}: "
            f"in the checkout of aimu run `pip install '.[{extra}]'`"
        )


@final
class MissingKeyError(UsageError, ValueError):
    """No API key was given and none is in the environment; `variable` is where it is looked for."""

    def __init__(self, provider: str, variable: str) -> None:
        self.provider = provider
        self.variable = variable
        super().__init__(f"no API key for {provider!r}: set the environment variable {variable} or pass api_key=")


@final
class BusyConversationError(UsageError, RuntimeError):
    """A second task uses a conversation whose turn is still running; nothing of either was mixed."""

    def __init__(self, who: str = "this conversation") -> None:
        super().__init__(
            f"{who} is busy with another task's turn; wait for it, close its stream, "
            "or give each task a conversation of its own with client.fork()"
        )


@final
class SystemMessageError(UsageError, RuntimeError):
    """The system message was set after the first turn."""

    def __init__(self) -> None:
        super().__init__(
            "the system message cannot change after the first turn; "
            "call reset(system_message=...) to start over, or fork(system=...) for another conversation"
        )


@final
class StreamClosedError(UsageError, RuntimeError):
    """A stream was read on after it was closed, or after a newer turn on its conversation took its place."""


@final
class ClosedClientError(UsageError, RuntimeError):
    """A client was used after it was closed."""

    def __init__(self, who: str = "this client") -> None:
        super().__init__(f"{who} is closed; make a new one")


class ProviderError(AimuError, RuntimeError):
    """A model service answered badly, or not at all.

    Attributes: `provider` (name or None), `status` (HTTP status or None), `request_id` (the service's own, or None),
    `retryable` (the same request may succeed later), `retry_after` (seconds that the service asked to wait, or None)
    and `partial` (text that had arrived, "" when none).
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
    """The service refused the credentials (401, 403)."""


@final
class RateLimitError(ProviderError):
    """Too many requests or tokens (429)."""

    retryable = True


@final
class OverloadedError(ProviderError):
    """The service failed or has no capacity (5xx, 529)."""

    retryable = True


class BadRequestError(ProviderError, ValueError):
    """The service refused the request itself (other 4xx)."""


@final
class ContextLengthError(BadRequestError):
    """The prompt is longer than the model's context."""


@final
class ModelNotFoundError(BadRequestError, LookupError):
    """The service has no such model."""


@final
class RefusedError(ProviderError):
    """The model, or a filter before it, declined to answer."""


@final
class TruncatedError(ProviderError):
    """`max_tokens` ended a turn before it had usable text, or inside a tool call."""


@final
class TruncatedStreamError(ProviderError, EOFError):
    """A stream ended before the terminal event of its format: what had arrived is no answer."""

    retryable = True


@final
class MalformedResponseError(ProviderError, ValueError):
    """The response is not of the format that the service promises."""


@final
class ProviderConnectionError(ProviderError, ConnectionError):
    """No connection, or one that broke."""

    retryable = True


@final
class ProviderTimeoutError(ProviderError, TimeoutError):
    """The service did not answer within the request's own timeout."""

    retryable = True


class ToolError(AimuError, RuntimeError):
    """A tool could not give a result. Inside a run its text goes to the model."""


@final
class ToolArgumentsError(ToolError, ValueError):
    """The arguments of a call do not fit the tool's schema."""


@final
class UnknownToolError(ToolError, LookupError):
    """A call names a tool that the conversation does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"there is no tool {name!r}; available: {', '.join(known) or 'none'}")


class EngineError(AimuError, RuntimeError):
    """Weights in this process cannot be loaded or used."""


class MCPError(AimuError, RuntimeError):
    """An MCP server answered with a protocol error."""


@final
class MCPConnectionError(MCPError, ConnectionError):
    """An MCP server cannot be reached, or died; `server` names it, `stderr` has its last lines."""

    def __init__(self, server: str, reason: str, *, stderr: str = "") -> None:
        self.server = server
        self.reason = reason
        self.stderr = stderr
        tail = f"; its last lines on stderr:\n{stderr}" if stderr else ""
        super().__init__(f"MCP server {server!r}: {reason}{tail}")


@final
class MCPTimeoutError(MCPError, TimeoutError):
    """An MCP request did not end within its own timeout."""


class SkillError(AimuError, ValueError):
    """A skill breaks a rule of the format, or cannot be used.

    `path` is the file or folder that is meant, `problem` what is wrong with it, `remedy` what to do about it. `loaded`
    is true of an entry of `SkillManager.problems` whose skill is used all the same.
    """

    def __init__(self, problem: str, *, path: Path | str | None = None, remedy: str = "", loaded: bool = False) -> None:
        self.path = path
        self.problem = problem
        self.remedy = remedy
        self.loaded = loaded
        text = problem if path is None else f"{path}: {problem}"
        super().__init__(f"{text}; {remedy}" if remedy else text)


class RunnerError(AimuError, RuntimeError):
    """A workflow cannot go on."""


@final
class RoutingError(RunnerError, ValueError):
    """A classifier's answer names no handler and there is no fallback."""

    def __init__(self, answer: str, handlers: Iterable[str]) -> None:
        self.answer = answer
        self.handlers = tuple(handlers)
        super().__init__(
            f"the classifier answered {answer!r}, which names none of the handlers: {', '.join(self.handlers)}; "
            "give the Router a fallback= or a stricter classifier prompt"
        )


@final
class ScoringError(RunnerError, ValueError):
    """A judge's verdict could not be read."""
