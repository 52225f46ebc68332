"""Which protocol to speak with a server, and how to begin again with one that does not survive the question.

The protocol of 2026-07-28 begins with the request `server/discover`, all earlier ones begin with `initialize`. In mode
"auto" the SDK asks first and falls back to `initialize` if the answer is an error. Servers in the wild do other things:
some exit at an unknown first request, some never answer it, some answer it and then leave out fields that the protocol
requires. They get a second attempt: a new process or HTTP session, which begins with `initialize`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import anyio
from attrs import frozen

from aimu.aio._mcp.config import HTTPSpec, ProcessSpec, Spec
from aimu.aio._mcp.faults import fault_of, words
from aimu.aio._mcp.options import Protocol
from aimu.errors import MCPConnectionError

PROBE = 3.0  # s; wait for the answer to `server/discover` before `initialize` is sent too
HANDSHAKE = 30.0  # s; wait for any answer, where there is no timeout, before a process is started again or given up


class IncompleteAnswerError(Exception):
    """The server says that it speaks 2026-07-28, but its answers lack required fields."""


def _always(_: BaseException | None) -> bool:
    return True


def _could_be_started(failure: BaseException | None) -> bool:
    return not isinstance(failure, MCPConnectionError)


def _answers_incompletely(failure: BaseException | None) -> bool:
    return isinstance(failure, IncompleteAnswerError)


def _speaks_no_streamable_http(failure: BaseException | None) -> bool:
    # https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#backwards-compatibility
    fault = fault_of(failure)
    return fault is not None and fault.status in (400, 404, 405)


@final
@frozen(kw_only=True)
class Attempt:
    """One way to connect: the SDK's mode, the time at which to give up, and the failures `after` which it helps."""

    mode: str
    deadline: float
    probe: float = PROBE
    after: Callable[[BaseException | None], bool] = _always
    sse: bool = False


def attempts(spec: Spec, protocol: Protocol, timeout: float | None) -> list[Attempt]:
    """Return the ways to connect to a server, in order; `timeout` bounds them together.

    Each but the first is for certain failures of the one before.
    """
    now = anyio.current_time()
    end = float("inf") if timeout is None else now + timeout
    sse = isinstance(spec, HTTPSpec) and spec.transport == "sse"
    found_out = isinstance(spec, HTTPSpec) and spec.transport is None and protocol != "2026-07-28"
    fallback = [Attempt(mode="legacy", deadline=end, after=_speaks_no_streamable_http, sse=True)] if found_out else []
    if sse or protocol != "auto":
        mode = "legacy" if protocol == "auto" else protocol
        return [Attempt(mode=mode, deadline=end, probe=HANDSHAKE if timeout is None else timeout, sse=sse), *fallback]
    process = isinstance(spec, ProcessSpec)
    probe = PROBE if timeout is None else min(PROBE, timeout / 3)
    # A silent process may have choked on the probe; over HTTP, requests do not disturb each other.
    first = end if not process else now + (HANDSHAKE if timeout is None else timeout * 2 / 3)
    afresh = _could_be_started if process else _answers_incompletely
    return [
        Attempt(mode="auto", deadline=first, probe=probe),
        Attempt(mode="legacy", deadline=end, after=afresh),
        *fallback,
    ]


async def confirm(client: Any, mode: str) -> None:
    """Check that a connected server speaks the protocol that was agreed on.

    Raises:
        IncompleteAnswerError: It speaks 2026-07-28 incompletely.
    """
    from mcp import MCPError
    from mcp_types import DiscoverResult
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS
    from pydantic import ValidationError

    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return
    try:
        if mode in MODERN_PROTOCOL_VERSIONS:  # then the SDK has sent nothing yet
            client.session.adopt(DiscoverResult.model_validate(await client.session.send_discover(mode)))
        with suppress(MCPError):  # a server may have no tools
            await client.list_tools()
    except ValidationError as exc:
        raise IncompleteAnswerError(f"it speaks {client.protocol_version} incompletely: {words(exc)}") from exc
