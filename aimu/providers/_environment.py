"""The proxies and certificates that the environment names: checked before httpx2 reads them, and shown in errors.

httpx2 would raise its own errors, or none, at the first request. Reads the variables as httpx2 does: see
https://www.python-httpx.org/environment_variables/ and `urllib.request.getproxies`. Never shows a password.
"""

from __future__ import annotations

import os
import ssl
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aimu.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMES = ("http", "https", "socks5", "socks5h")
_TLS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


def check_environment() -> None:
    """Check the variables with proxies and certificates.

    Raises:
        InvalidOptionError: One has a value that no request can use; the text names it and says what to do.
    """
    found = getproxies()
    for kind in ("http", "https", "all"):
        if found.get(kind):
            _check_proxy(_name(f"{kind}_proxy", found[kind]), found[kind])
    if found:
        _try_clients(found)
    if any(os.environ.get(name) for name in _TLS):
        tls()


def tls() -> ssl.SSLContext:
    """Return the TLS settings for all clients of the process: loading certificates takes longer than many a request.

    Raises:
        InvalidOptionError: A variable names a file or folder that cannot be used.
    """
    return _tls(*(os.environ.get(name) or None for name in _TLS))


def names_proxies() -> bool:
    """Return whether the environment names a proxy for some URL."""
    found = getproxies()
    return any(found.get(kind) for kind in ("http", "https", "all"))


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL as `VARIABLE='value'`, without password; None if none."""
    parts = urlsplit(url)
    found = getproxies()
    for kind in (parts.scheme, "all"):
        if found.get(kind) and not proxy_bypass(parts.hostname or ""):
            return f"{_name(f'{kind}_proxy', found[kind])}={_shown(found[kind])!r}"
    return None


@cache
def _tls(file: str | None, folder: str | None, log: str | None) -> ssl.SSLContext:
    import httpx2

    if file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except OSError as exc:
            reason = "it has no certificates in PEM format" if isinstance(exc, ssl.SSLError) else exc.strerror
            raise _invalid("SSL_CERT_FILE", file, f"{reason}; name a file with certificates, or unset it") from exc
    elif folder is not None and not Path(folder).is_dir():
        raise _invalid("SSL_CERT_DIR", folder, "there is no such folder; name a folder with certificates, or unset it")
    try:
        context: ssl.SSLContext = httpx2.create_ssl_context()
    except OSError as exc:
        if log is None:
            raise InvalidOptionError(f"cannot load the certificates of this system: {exc}") from exc
        raise _invalid("SSLKEYLOGFILE", log, f"{exc.strerror or exc}; name a file that can be written") from exc
    return context


def _check_proxy(name: str, value: str) -> None:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid(name, value, "its host or port is invalid; write http://host:port") from None
    if parts.scheme not in _SCHEMES:
        meant = "socks5h" if parts.scheme.startswith("socks") else "http"
        raise _invalid(
            name, value, f"the scheme {parts.scheme!r} is none of {', '.join(_SCHEMES)}; write {meant}://host:port"
        )
    if not parts.hostname or port == 0 or len(url.split()) != 1:
        raise _invalid(name, value, f"it has no usable host or port; write {parts.scheme}://host:port")
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        raise _invalid(name, value, "SOCKS needs the package 'socksio'; run `pip install socksio`, or unset it")


def _try_clients(found: dict[str, str]) -> None:
    """Let httpx2 read the variables; only what it cannot read raises."""
    import httpx2

    try:
        httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except (ValueError, ImportError, httpx2.InvalidURL) as exc:
        for kind in ("no", "http", "https", "all"):
            if found.get(kind):
                raise _invalid(_name(f"{kind}_proxy", found[kind]), found[kind], "httpx2 cannot read it") from exc
        raise


def _name(lower: str, value: str) -> str:
    """Return the name of the variable as it is spelt in the environment."""
    spelt = [name for name in _spellings(lower) if os.environ[name] == value]
    return spelt[0] if spelt else lower.upper()


def _spellings(lower: str) -> Iterator[str]:
    return (name for name in sorted(os.environ, reverse=True) if name.lower() == lower)


def _shown(value: str) -> str:
    """Return the value of a proxy variable without user name and password."""
    scheme, colon, rest = value.rpartition("://")
    return f"{scheme}{colon}***@{rest.rpartition('@')[2]}" if "@" in rest else value


def _invalid(name: str, value: str, reason: str) -> InvalidOptionError:
    return InvalidOptionError(f"the environment variable {name} has the value {_shown(value)!r}: {reason}")
