"""What the vendors' SDKs are asked for: credentials, base URL, headers and an HTTP client, and nothing else.

Their typed models cost more than all the rest of a request, and their retries would run inside ours. Keys are looked
for at construction, so that a missing one is known before the first request.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from aimu.errors import InvalidOptionError, MissingExtraError, MissingKeyError
from aimu.providers.openai_compatible import Server
from aimu.providers.transport import Connect, Endpoint, timeouts

if TYPE_CHECKING:
    import httpx2

_OLLAMA_PORT = 11434


def openai(server: Server, *, base_url: str | None, api_key: str | None) -> Connect:
    """For OpenAI and the servers that speak its formats."""
    vendor = _sdk("openai")
    key = _key(api_key, server.key_variables)
    if key is None and server.key_required:
        raise MissingKeyError(server.name, server.key_variables[0])
    url = _base_url(base_url, server.url_variables, server.base_url)

    def connect(client: httpx2.AsyncClient | None) -> tuple[httpx2.AsyncClient, Endpoint]:
        http: httpx2.AsyncClient = client or vendor.DefaultAsyncHttpxClient(timeout=timeouts(), verify=_tls())
        sdk = vendor.AsyncOpenAI(api_key=key or "none", base_url=url, http_client=http, max_retries=0)
        headers = _texts({**sdk.default_headers, **sdk.auth_headers})
        if key is None:
            headers.pop("Authorization", None)
        if server.name != "openai":  # these are OpenAI's business, also when the environment sets them
            headers = {name: value for name, value in headers.items() if not name.startswith("OpenAI-")}
        return http, Endpoint(str(sdk.base_url), headers, key)

    return connect


def anthropic(*, base_url: str | None, api_key: str | None) -> Connect:
    vendor = _sdk("anthropic")
    key = _key(api_key, ("ANTHROPIC_API_KEY",))
    token = None if key else _key(None, ("ANTHROPIC_AUTH_TOKEN",))
    if key is None and token is None:
        raise MissingKeyError("anthropic", "ANTHROPIC_API_KEY")
    url = _base_url(base_url, ("ANTHROPIC_BASE_URL",), "https://api.anthropic.com")

    def connect(client: httpx2.AsyncClient | None) -> tuple[httpx2.AsyncClient, Endpoint]:
        http: httpx2.AsyncClient = client or vendor.DefaultAsyncHttpxClient(timeout=timeouts(), verify=_tls())
        sdk = vendor.AsyncAnthropic(api_key=key, auth_token=token, base_url=url, http_client=http, max_retries=0)
        headers = _texts({**sdk.default_headers, **sdk.auth_headers})
        return http, Endpoint(str(sdk.base_url).rstrip("/") + "/", headers, key or token)

    return connect


def ollama(*, base_url: str | None, api_key: str | None) -> Connect:
    """Ollama has no SDK worth its import; its cloud takes a key, a server of one's own none."""
    key = _key(api_key, ("OLLAMA_API_KEY",))
    url = ollama_url(base_url or os.environ.get("OLLAMA_HOST"))

    def connect(client: httpx2.AsyncClient | None) -> tuple[httpx2.AsyncClient, Endpoint]:
        import httpx2

        client = client or httpx2.AsyncClient(
            timeout=timeouts(),
            verify=_tls(),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
            follow_redirects=True,
        )
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return client, Endpoint(url + "/", headers, key)

    return connect


def ollama_url(host: str | None) -> str:
    """The base URL that a value of OLLAMA_HOST means: a URL, a host, a host and port, or what a server listens on.

    As Ollama's own programs read it: a URL without a port has its scheme's, anything else 11434.
    https://github.com/ollama/ollama/blob/main/envconfig/config.go (read 2026-11-24)
    """
    host = str(host or "").strip("\"' \t\r\n") or "127.0.0.1"
    if "://" in host:
        port = None
    else:
        port = _OLLAMA_PORT
        with suppress(ValueError):
            host = f"[{IPv6Address(host)}]"
        host = f"http://{host}"
    parts = _split_url(host, needs_host=False)
    name = parts.hostname or "127.0.0.1"
    if name in ("0.0.0.0", "::"):
        name = "127.0.0.1" if name == "0.0.0.0" else "::1"
    port = parts.port or port or (443 if parts.scheme == "https" else 80)
    if ":" in name:
        name = f"[{name}]"
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"


def _base_url(given: str | None, variables: tuple[str, ...], default: str) -> str:
    """What is given, else what the environment says, else `default`."""
    return _split_url(given or _environment(variables) or default).geturl()


def _split_url(url: str, *, needs_host: bool = True) -> SplitResult:
    """InvalidOptionError where requests cannot be sent to paths below `url`."""
    url = str(url).strip()
    try:
        parts = urlsplit(url)
        fits = parts.port != 0 and parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
    except ValueError:  # of the port
        parts, fits = SplitResult("", "", "", "", ""), False
    if not fits or (needs_host and not parts.hostname) or len(url.split()) != 1:
        shown = url.rpartition("@")[2]  # what stands before may be a password
        raise InvalidOptionError(
            f"{shown!r} is no base URL; one begins with http:// or https:// and ends with the path of the API"
        )
    return parts


def checked_timeout(timeout: Any) -> float | None:
    """Seconds, if there can be so many."""
    if timeout is None or (isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0):
        return timeout
    raise InvalidOptionError(f"timeout= is a number of seconds above 0, not {timeout!r}")


def checked_client(http_client: Any) -> httpx2.AsyncClient | None:
    """The user's HTTP client, if it is one that can serve."""
    import httpx2

    if http_client is not None and not isinstance(http_client, httpx2.AsyncClient):
        kind = f"{type(http_client).__module__}.{type(http_client).__name__}"
        raise InvalidOptionError(f"http_client= takes an httpx2.AsyncClient, not {kind}")
    return http_client


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than many a request; all clients of the process share them."""
    import httpx2

    context: ssl.SSLContext = httpx2.create_ssl_context()
    return context


def _sdk(package: str) -> Any:
    """Imported when a provider is made: it takes seconds, which belong into no request's deadline."""
    try:
        return import_module(package)
    except ImportError as exc:
        raise MissingExtraError(package, package) from exc


def _key(given: str | None, variables: tuple[str, ...]) -> str | None:
    if not isinstance(given, str | None):
        raise InvalidOptionError(f"api_key= is a string, not {type(given).__name__}")
    key = (given or _environment(variables) or "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidOptionError("the API key has characters that no HTTP header can carry")
    return key or None


def _environment(variables: tuple[str, ...]) -> str | None:
    return next(filter(None, (os.environ.get(name, "").strip() for name in variables)), None)


def _texts(headers: Mapping[str, object]) -> dict[str, str]:
    """Headers without those that are empty or that the SDK marks as left out, and without what it reports of the
    user's machine: that is half of all headers, nobody asked for it, and each costs time in every request."""
    return {
        name: value
        for name, value in headers.items()
        if isinstance(value, str) and value and not name.lower().startswith("x-stainless-")
    }
