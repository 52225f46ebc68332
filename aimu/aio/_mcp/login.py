"""How requests over HTTP are authorised: headers and a token, by value or from a function, anew after a 401."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, final

import anyio
import httpx2

from aimu._core.foreign_logs import keep_out_of_logs
from aimu._core.secrets import Secrets, in_headers
from aimu._core.threads import settled_in_thread
from aimu.aio._mcp.options import Settings
from aimu.aio._mcp.variables import is_line


@final
class Login(httpx2.Auth):  # type: ignore[misc,unused-ignore]
    """Adds `headers=` and `bearer=` to each request.

    A function is called before the first request, and once more after an answer of 401; if it then gives something
    else, the request is sent again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, str] | None = None
        self._logged: Secrets | None = None
        self._lock = anyio.Lock()

    @property
    def secrets(self) -> Iterator[str]:
        """What errors must not show."""
        return in_headers(self._known or {})

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        sent = await self._headers(instead_of=None)
        request.headers.update(sent)
        response = yield request
        if response.status_code == 401 and (callable(self._settings.headers) or callable(self._settings.bearer)):
            renewed = await self._headers(instead_of=sent)
            if renewed != sent:
                request.headers.update(renewed)
                yield request

    async def _headers(self, *, instead_of: dict[str, str] | None) -> dict[str, str]:
        """Return the headers; ask for new ones if the known ones are those that were refused."""
        async with self._lock:  # so that of many requests refused at once, one asks
            if self._known is None or self._known == instead_of:
                headers, bearer = await _value(self._settings.headers), await _value(self._settings.bearer)
                known = {**_checked_headers(headers), **_checked_bearer(bearer)}
                self._known, self._logged = known, Secrets(in_headers(known))
                keep_out_of_logs(self._logged)
            return self._known


def _checked_headers(given: Any) -> dict[str, str]:
    """Return headers that a function may have given.

    Raises:
        httpx2.TransportError: They are not headers; the text does not show them.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(is_line(item) for pair in given.items() for item in pair):
        raise httpx2.TransportError("headers= must give a dict of names and values in one line of ASCII each")
    return dict(given)


def _checked_bearer(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not (is_line(given) and given):
        raise httpx2.TransportError("bearer= must give a token in one line of ASCII, or None; strip a line end")
    return {"Authorization": f"Bearer {given}"}


async def _value(given: Any) -> Any:
    """Return a value, or what a function gives, which may be `async def`.

    Raises:
        httpx2.TransportError: The function fails.
    """
    if not callable(given):
        return given
    try:
        return await settled_in_thread(given)  # since it may send a request
    except (Exception, SystemExit) as exc:  # a user's function may raise anything, which fails this request
        raise httpx2.TransportError(f"headers= or bearer= failed: {type(exc).__name__}: {exc}") from exc


def is_needed(settings: Settings) -> bool:
    """Return whether requests are to be changed."""
    headers = settings.headers
    return settings.bearer is not None or callable(headers) or (isinstance(headers, Mapping) and bool(headers))
