"""What the user can do about a service's error: a sentence, added to the error's text.

Knows the table of providers and the address that was asked; the failure itself is classified in `_failures`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from aimu.errors import AuthenticationError, BadRequestError, MalformedResponseError, ModelNotFoundError, ProviderError
from aimu.models._resolve import near_models
from aimu.models._row import Connection
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE

# Some servers answer a request for what they do not have with status 200, and this in the body.
_NOTHING_THERE = re.compile(r"\bunexpected endpoint\b|\bnot found\b", re.IGNORECASE)
_API = re.compile(r"/(v\d+|api)(/|$)")


def advice(error: ProviderError, spec: ModelSpec, base_url: str) -> str:
    """Return what to do about an error; empty if nothing is known.

    Args:
        error: The error.
        spec: The model that was asked.
        base_url: The URL below which it was asked.
    """
    row = TABLE.get(spec.provider)
    at = row.connection if row is not None else None
    if isinstance(error, AuthenticationError):
        variables = (*at.key_variables, *at.token_variables) if at is not None else ()
        place = f" or the environment variable {' or '.join(variables)}" if variables else ""
        return f"; check the key in api_key={place}"
    if isinstance(error, ModelNotFoundError):
        near = near_models(spec)
        return f"; the catalog of {spec.provider!r} has these similar ids: {', '.join(near)}" if near else ""
    if at is not None and _found_nothing(error):
        return _wrong_path(spec.provider, at, base_url)
    return ""


def unreachable(provider: str) -> str:
    """Return what to check if a server cannot be reached."""
    row = TABLE.get(provider)
    variables = row.connection.url_variables[:1] if row is not None and row.connection is not None else ()
    place = "".join(f" (or {name} in the environment)" for name in variables)
    return f"check that the server runs and that base_url= is right{place}"


def _found_nothing(error: ProviderError) -> bool:
    """Return whether the server perhaps has no API where it was asked."""
    if isinstance(error, BadRequestError):
        return error.status in (404, 405)
    if isinstance(error, MalformedResponseError):
        return True
    return (error.status or 200) < 300 and _NOTHING_THERE.search(str(error)) is not None


def _wrong_path(provider: str, at: Connection, base_url: str) -> str:
    """Return how the path of a base URL differs from the provider's own, if it does."""
    usual = at.default_path or urlsplit(at.base_url or "").path.rstrip("/")
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if usual:
        fits, difference = path.endswith(usual[usual.rindex("/") :]), f"does not end in {usual!r}"
    else:
        found = _API.search(path)
        fits, difference = found is None, f"has {path[found.start() :]!r} at its end" if found else ""
    if fits:
        return ""
    shown = parts._replace(query="").geturl()
    places = " or ".join(["base_url=", *at.url_variables[:1]])
    return f"; check {places}: {shown!r} {difference}, unlike the usual URL of {provider!r}"
