"""What a server says and asks of its own accord: changed lists, log records, questions to the user, roots.

Owns the callbacks that the SDK's client takes. They run in the event loop that holds the connection.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from anyio import to_thread

from aimu._core.escaping import escaping
from aimu.aio._mcp.options import Elicitation, Settings
from aimu.aio._mcp.schemas import problem_of, validator_of
from aimu.aio._mcp.sent import json_object
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))
server_log = escaping(logging.getLogger("aimu.aio").getChild("mcp"))

_LEVELS = {  # https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/logging (read 2026-11-26)
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "emergency": logging.CRITICAL,
}


@final
class Unasked:
    """The callbacks for one server. `revision` grows when it says that its tools have changed."""

    def __init__(self, server: str, settings: Settings) -> None:
        self.revision = 0
        self._server = server
        self._settings = settings

    def callbacks(self) -> dict[str, Any]:
        """Return the keyword arguments for the SDK's client; what is not given there is refused to the server."""
        given: dict[str, Any] = {
            "message_handler": self._notified,
            "logging_callback": self._logged,
            "log_level": next((name for name, level in _LEVELS.items() if server_log.isEnabledFor(level)), None),
        }
        if self._settings.elicit is not None:
            given["elicitation_callback"] = self._asked
        if self._settings.roots:
            given["list_roots_callback"] = self._roots
        return given

    async def _notified(self, message: Any) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self.revision += 1

    async def _logged(self, params: Any) -> None:
        source = f" ({params.logger})" if params.logger else ""
        level = _LEVELS.get(params.level, logging.INFO)
        server_log.log(level, "MCP server %r%s: %s", self._server, source, _words(params.data))

    async def _asked(self, _: Any, params: Any) -> Any:
        from mcp_types import ElicitResult

        ask = self._settings.elicit
        assert ask is not None
        question = Elicitation(
            server=self._server,
            message=params.message,
            schema=getattr(params, "requested_schema", None),
            url=getattr(params, "url", None),
        )
        try:
            # In a thread, since it may wait for the user, whom the end of the connection does not wait for; in a list,
            # since trio refuses a coroutine as the result.
            answer: Any = (await to_thread.run_sync(lambda: [ask(question)], abandon_on_cancel=True))[0]
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is None:
                return ElicitResult(action="decline")
            return ElicitResult(action="accept", content=_checked(answer, question))
        except (Exception, SystemExit):  # a user's callback may raise anything; the server is told that nobody answers
            log.warning("MCP server %r: elicit= failed", self._server, exc_info=True)
            return ElicitResult(action="cancel")

    async def _roots(self, _: Any) -> Any:
        from mcp_types import ListRootsResult, Root

        return ListRootsResult(roots=[Root.model_validate(root) for root in self._folders()])

    def _folders(self) -> list[dict[str, str]]:
        paths = [Path(root).expanduser().absolute() for root in self._settings.roots]
        return [{"uri": path.as_uri(), "name": path.name} for path in paths]


def _checked(answer: Any, question: Elicitation) -> dict[str, Any] | None:
    """Return the answer to a question as the protocol wants it: texts, numbers, booleans and lists of texts by name.

    Raises:
        InvalidOptionError: It is nothing of that kind, or does not fit the question.
    """
    if question.url is not None:
        return None
    if not isinstance(answer, Mapping):
        raise InvalidOptionError(f"elicit= must return a dict of answers or None, got {type(answer).__name__}")
    content = json_object({name: value for name, value in answer.items() if value is not None}, "the answer of elicit=")
    for name, value in content.items():
        if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
            raise InvalidOptionError(
                f"elicit= must return simple values and lists of texts, got {value!r} for {name!r}"
            )
    schema = question.schema or {}
    who = f"MCP server {question.server!r}: its question"
    validator = validator_of(schema, f"{who} has an invalid schema, so the answer is not checked")
    problem = problem_of(content, validator, f"{who} has a schema")
    if problem is not None:
        raise InvalidOptionError(f"the answer of elicit= does not fit the question: {problem}")
    return content


def _words(data: Any) -> str:
    """Return what a log record says; FastMCP puts the text beside its extra fields."""
    if isinstance(data, dict) and isinstance(data.get("msg"), str):
        extra = data.get("extra")
        return f"{data['msg']} {extra}" if extra else str(data["msg"])
    return str(data)
