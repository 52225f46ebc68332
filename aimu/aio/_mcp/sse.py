"""HTTP with SSE, the transport of 2024-11-05: one event stream from the server, and a POST for each message to it.

The SDK's own is not used, because its first failed POST ends all later calls without an answer.
Format: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse (read 2026-11-26).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aimu.aio._mcp.faults import RefusedError
from aimu.aio._mcp.http import Client, network_fault, refused_fault, unanswered
from aimu.aio._mcp.messages import read_messages


class EndpointError(Exception):
    """The stream of events does not begin as the transport requires."""


@asynccontextmanager
async def streams(client: Client, url: str) -> AsyncGenerator[tuple[Any, Any]]:
    """Connect, and yield the two streams of messages: from the server, and to it.

    Raises:
        RefusedError: The server cannot be reached, or answers with an HTTP error.
        EndpointError: The server does not say where to send messages.
    """
    to_session, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, from_session = anyio.create_memory_object_stream[Any](0)
    with to_session, incoming, outgoing, from_session:
        try:
            request = client.build_request("GET", url, headers={"Accept": "text/event-stream"})
            response = await client.send(request, stream=True)
        except httpx2.TransportError as exc:
            raise RefusedError(network_fault(exc)) from exc
        async with aclosing(response):
            if response.is_error:
                raise RefusedError(await refused_fault(request, response, client.hide))
            async with anyio.create_task_group() as group:
                endpoint = await group.start(_read, response, url, to_session)
                group.start_soon(_write, client, endpoint, from_session, to_session)
                try:
                    yield incoming, outgoing
                finally:
                    group.cancel_scope.cancel()


async def _read(
    response: httpx2.Response,
    url: str,
    to_session: MemoryObjectSendStream[Any],
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    from mcp.shared.message import SessionMessage

    endpoint = ""
    with to_session, suppress(httpx2.TransportError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for event in httpx2.EventSource(response, max_event_size=None):
            if event.event == "endpoint" and not endpoint:
                endpoint = urljoin(url, event.data.strip())
                if urlsplit(endpoint)[:2] != urlsplit(url)[:2]:
                    raise EndpointError(f"it names an endpoint on another host: {urlsplit(endpoint).netloc}")
                task_status.started(endpoint)
            elif event.event == "message":
                for message in read_messages(event.data.encode()):
                    await to_session.send(SessionMessage(message))
    if not endpoint:
        raise EndpointError("its stream of events names no endpoint; if it speaks streamable HTTP, write type: http")


async def _write(
    client: Client,
    endpoint: str,
    from_session: MemoryObjectReceiveStream[Any],
    to_session: MemoryObjectSendStream[Any],
) -> None:
    async with anyio.create_task_group() as group:
        async for item in from_session:
            if hasattr(item.message, "id"):
                group.start_soon(_post, client, endpoint, item.message, to_session)
            else:  # in order, because a server may refuse requests before `notifications/initialized`
                await _post(client, endpoint, item.message, to_session)


async def _post(client: Client, endpoint: str, message: Any, to_session: MemoryObjectSendStream[Any]) -> None:
    """Send a message; if that fails, answer it in the place of the server."""
    from mcp.shared.message import SessionMessage

    response = await client.post(endpoint, json=message.model_dump(by_alias=True, mode="json", exclude_unset=True))
    request = getattr(message, "id", None)
    if response.is_error and request is not None and hasattr(message, "method"):
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await to_session.send(SessionMessage(unanswered(response, request)))
