"""How to reach a service: its URL, key, headers and HTTP client, from arguments, the environment and its row.

The vendors' SDKs supply headers and nothing else: their typed models cost more than the rest of a
request, and their retries would run inside ours. URL and key are read at construction, so that a missing key is
reported before the first request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from aimu._core.secrets import Secrets, in_headers, in_url
from aimu.errors import InvalidOptionError, MissingExtraError, MissingKeyError
from aimu.models._row import Connection
from aimu.providers._environment import check_environment, names_proxies
from aimu.providers._http import ClientHttp, Connect, Endpoint, Http, OwnHttp

if TYPE_CHECKING:
    import httpx2


def connect(provider: str, at: Connection, *, base_url: str | None, api_key: str | None) -> Connect:
    """Return the function that gives each event loop what sends its requests.

    Args:
        provider: The provider's name, for errors.
        at: How the provider is reached.
        base_url: The URL that the user gave, if any.
        api_key: The key that the user gave, if any.

    Raises:
        InvalidOptionError: The URL or the key is invalid, or there is no URL.
        MissingExtraError: The vendor's package is not installed.
        MissingKeyError: The service needs a key and has none.
    """
    sdk = None if at.sdk is None else _sdk(at.sdk)
    key = _key(api_key, at.key_variables)
    token = None if key else _key(None, at.token_variables)
    if at.key_required and not (key or token):
        own_url = at.base_url is not None and url_of(provider, at, base_url) != at.base_url
        raise MissingKeyError(provider, at.key_variables[0], own_url=own_url)
    url = url_of(provider, at, base_url)
    headers = _headers(at, sdk, url, key, token)
    endpoint = Endpoint(url, headers, Secrets((key, token, *in_headers(headers), *in_url(url))))

    def make(client: httpx2.AsyncClient | None) -> Http:
        if client is None:
            check_environment()  # the variables may have changed since construction
            if not names_proxies():
                return OwnHttp(endpoint)
        return ClientHttp(client, endpoint)

    return make


def _headers(at: Connection, vendor: Any, url: str, key: str | None, token: str | None) -> dict[str, str]:
    """Return the headers of every request, which include the key."""
    if vendor is None:
        given = {"Content-Type": "application/json"}
        return given if key is None else {**given, "Authorization": f"Bearer {key}"}
    import httpx2

    unused = httpx2.AsyncClient(transport=httpx2.AsyncBaseTransport())  # a usable one takes milliseconds to make
    if at.sdk == "anthropic":
        sdk = vendor.AsyncAnthropic(api_key=key, auth_token=token, base_url=url, http_client=unused)
    else:
        sdk = vendor.AsyncOpenAI(api_key=key or token or "none", base_url=url, http_client=unused)
    headers = _sent({**sdk.default_headers, **sdk.auth_headers})
    if at.key_header is not None and key is not None:
        del headers["Authorization"]
        headers[at.key_header] = key
    if not (key or token):
        headers.pop("Authorization", None)
    if not at.account_headers:
        headers = {name: value for name, value in headers.items() if not name.startswith("OpenAI-")}
    return headers


def url_of(provider: str, at: Connection, given: str | None = None) -> str:
    """Return the given URL, else the environment's, else the row's."""
    url = given or _environment(at.url_variables) or at.base_url
    if url is None:
        variables = "".join(f" or set the environment variable {name}" for name in at.url_variables[:1])
        raise InvalidOptionError(f"{provider!r} has no base URL of its own; pass base_url={variables}")
    if at.default_port is not None:
        return url_of_host(url, at.default_port)
    parts = _split_url(url)
    if at.default_path and parts.path in ("", "/"):
        parts = parts._replace(path=at.default_path)
    return parts.geturl()


def url_of_host(host: str, default_port: int) -> str:
    """Return the base URL that a value of OLLAMA_HOST means.

    Reads it as Ollama's own programs do, see https://github.com/ollama/ollama/blob/main/envconfig/config.go (read
    2026-11-24): a URL without a port has the port of its scheme, a bare host has `default_port`, and the address that
    a server listens on for all interfaces becomes the loopback address.

    Args:
        host: A URL, a host, or a host and port.
        default_port: The port of a host that is written without one.

    Raises:
        InvalidOptionError: `host` is none of these.
    """
    host = str(host).strip("\"' \t\r\n")
    if "://" in host:
        port = None
    else:
        port = default_port
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
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}{query}"


def _split_url(url: str, *, needs_host: bool = True) -> SplitResult:
    """Split a base URL; raise InvalidOptionError if a path cannot be appended to it."""
    url = str(url).strip()
    try:
        parts = urlsplit(url)
        fits = parts.port != 0 and parts.scheme in ("http", "https") and not parts.fragment
    except ValueError:  # the port is not a number
        parts, fits = SplitResult("", "", "", "", ""), False
    if not fits or (needs_host and not parts.hostname) or len(url.split()) != 1:
        shown = url.rpartition("@")[2].partition("?")[0]  # the rest may have a password or a key
        raise InvalidOptionError(f"{shown!r} is not a base URL; use the form https://host/path, without a fragment")
    if parts.username is not None or parts.password is not None:
        raise InvalidOptionError(
            f"the base URL of host {parts.hostname!r} must not have a user name or password; pass api_key=, "
            "or an http_client= with your own headers"
        )
    return parts


def checked_read_timeout(timeout: Any) -> float | None:
    """Return `timeout` if it is None or a number above 0; raise InvalidOptionError otherwise."""
    if timeout is None or (isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0):
        return timeout
    raise InvalidOptionError(f"timeout= must be a number of seconds above 0, got {timeout!r}")


def checked_client(http_client: Any) -> httpx2.AsyncClient | None:
    """Return the user's HTTP client; raise InvalidOptionError if it is of another type."""
    import httpx2

    if http_client is not None and not isinstance(http_client, httpx2.AsyncClient):
        kind = f"{type(http_client).__module__}.{type(http_client).__name__}"
        raise InvalidOptionError(f"http_client= must be an httpx2.AsyncClient, not {kind}")
    return http_client


def _sdk(package: str) -> Any:
    """Import a vendor's SDK: when a provider is made, because it takes seconds that no request should wait for."""
    try:
        return import_module(package)
    except ImportError as exc:
        raise MissingExtraError(package, package) from exc


def _key(given: str | None, variables: tuple[str, ...]) -> str | None:
    if not isinstance(given, str | None):
        raise InvalidOptionError(f"api_key= must be a string, not {type(given).__name__}")
    key = (given or _environment(variables) or "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidOptionError("the API key has characters that are not allowed in an HTTP header")
    return key or None


def _environment(variables: tuple[str, ...]) -> str | None:
    return next(filter(None, (os.environ.get(name, "").strip() for name in variables)), None)


def _sent(headers: Mapping[str, object]) -> dict[str, str]:
    """Drop headers that are empty or that the SDK marks as omitted, and its reports about the user's machine.

    Those reports are half of all headers, and cost time in every request.
    """
    return {
        name: value
        for name, value in headers.items()
        if isinstance(value, str) and value and not name.lower().startswith("x-stainless-")
    }
