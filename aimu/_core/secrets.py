"""Hides secrets in texts that leave the program's own hands: error messages, and what a model is told."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import final
from urllib.parse import quote, unquote, unquote_plus, urlsplit

SHORTEST_SECRET = 8  # shorter ones, such as the "ollama" that local servers accept as a key, are words of usual texts
_CERTAIN = 16  # a secret of this length is hidden inside a longer word too, for example in a percent-encoded URL
_HIDDEN = "***"
# Names of headers, variables and parameters whose values are secret.
_SECRET_NAME = re.compile(r"auth|key|token|secret|passw|cookie|session|credential|signature|\Asig\Z", re.IGNORECASE)
# Arguments with such a name have a value that is no secret: a path, a number of tokens.
_NO_SECRET = re.compile(r"file|path|dir\Z|max|limit|tokens|author\Z", re.IGNORECASE)
_PAIRS = re.compile(r'"([^"]*)"\s*:\s*"([^"]*)"')  # of a JSON object
# Keys that services mark by how they begin, wherever they stand.
_KEYS = re.compile(r"\b(?:(?:sk|pk|hf|gsk|tvly|xox[abps]|glpat|gh[opsu]|github_pat)[-_]|AIza|AKIA)[\w-]{14,}")
_DIGIT = re.compile(r"\d")  # words of usual texts that begin like a key have none
_URLS = re.compile(r"\b\w+://\S+")


@final
class Secrets:
    """What a server is given and must not show in errors: hidden also as URLs, JSON, HTML and Base64 write it.

    Args:
        given: The secrets; empty ones and None are left out.
    """

    def __init__(self, given: Iterable[str | None] = ()) -> None:
        self._given = tuple(dict.fromkeys(filter(None, given)))
        self._forms = tuple(dict.fromkeys(form for secret in self._given for form in _forms(secret)))

    def __bool__(self) -> bool:
        return bool(self._forms)

    def __repr__(self) -> str:
        return f"<{len(self._given)} secrets>"

    def with_more(self, given: Iterable[str | None]) -> Secrets:
        return Secrets((*self._given, *given))

    def hide(self, text: str, *, cut: bool = False) -> str:
        """Return a text without the secrets; `cut` says that it may end inside one."""
        for form in self._forms:
            if cut or form[:_CERTAIN] in text:  # mostly not, and each word of each reply is looked through
                text = hide(form, text, cut=cut)
        return text

    def hide_in(self, error: BaseException) -> None:
        """Hide the secrets in the texts and notes of an error, its causes and its group."""
        seen: set[int] = set()
        left: list[BaseException | None] = [error]
        while left:
            one = left.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            shown = tuple(self.hide(part) if isinstance(part, str) else part for part in one.args)
            if shown != one.args:
                one.args = shown
            notes = getattr(one, "__notes__", None)
            if notes:
                notes[:] = map(self.hide, notes)
            left += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]


def in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets in the values of headers: without words such as "Bearer" before them, and of each cookie."""
    for value in _named(headers.items()):
        for part in value.split(";"):
            word = part.rpartition(" ")[2]
            yield from filter(None, (word, word.partition("=")[2]))


def in_url(url: str) -> Iterator[str]:
    """Yield the secrets in a URL, as it writes and as it means them: its password, and parameters of its query."""
    parts = urlsplit(url)
    pairs = (pair.partition("=") for pair in parts.query.split("&"))
    for written in filter(None, (parts.password, *_named((name, value) for name, _, value in pairs))):
        yield from dict.fromkeys((written, unquote(written), unquote_plus(written)))


def in_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets among variables of an environment."""
    yield from _named(variables.items())


def in_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the secrets among the arguments of a command, as far as a name, a URL or their form tells them.

    Such as those of `--api-key=…`, `--token …`, `-e API_KEY=…`, `--header "Authorization: Bearer …"`, `{"key": "…"}`.
    """
    for argument, following in zip(arguments, (*arguments[1:], "-"), strict=True):
        name, equals, value = argument.partition("=")
        if equals and "://" not in name:
            yield from _named([(name, value)], but=_NO_SECRET)
        elif name.startswith("-") and not following.startswith("-"):
            yield from _named([(name, following)], but=_NO_SECRET)
        name, colon, value = (value if equals else argument).partition(":")
        if colon and not value.startswith("//"):
            yield from in_headers({name: value.strip()})
        for url in _URLS.findall(argument):
            with suppress(ValueError):
                yield from in_url(url)
        yield from (value for pair in _PAIRS.finditer(argument) for value in _named([(pair[1], pair[2])]))
        yield from filter(_DIGIT.search, _KEYS.findall(argument))


def _named(items: Iterable[tuple[str, str]], *, but: re.Pattern[str] | None = None) -> Iterator[str]:
    return (value for name, value in items if _SECRET_NAME.search(name) and not (but is not None and but.search(name)))


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as it stands in other texts."""
    yield secret
    if len(secret) < _CERTAIN:  # a short one is hidden as a word only
        return
    import html  # at first use, since it loads a millisecond of tables

    escaped = json.dumps(secret)[1:-1]
    yield from (quote(secret, safe=""), escaped, escaped.replace("/", "\\/"), html.escape(secret))
    raw = secret.encode()
    for before in range(3):  # bytes before the secret, such as those of "user:"; only whole characters of it count
        encoded = b64encode(bytes(before) + raw).decode()
        inner = encoded[-(-8 * before // 6) : 8 * (before + len(raw)) // 6]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def hide(secret: str, text: str, *, cut: bool = False) -> str:
    """Return `text` with "***" for each occurrence of `secret`, unless the secret is too short to be one.

    Of a long secret, its beginning is hidden too, since what repeats it may be cut off.

    Args:
        secret: The secret.
        text: The text.
        cut: Whether the text may end inside the secret: then a shorter beginning of it at the end is hidden as well.
    """
    if len(secret) < SHORTEST_SECRET:
        return text
    if len(secret) >= _CERTAIN:
        text = _hide_beginnings(secret, text)
    elif secret in text:
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", _HIDDEN, text)
    if cut:
        for size in range(min(len(secret), len(text) + 1) - 1, SHORTEST_SECRET - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + _HIDDEN
    return text


def _hide_beginnings(secret: str, text: str) -> str:
    """Hide the secret, and each beginning of it that has at least `_CERTAIN` characters."""
    beginning = secret[:_CERTAIN]
    shown: list[str] = []
    done = 0
    while (at := text.find(beginning, done)) >= 0:
        shown += (text[done:at], _HIDDEN)
        done = at + _CERTAIN
        while done - at < len(secret) and text[done : done + 1] == secret[done - at]:
            done += 1
    return "".join((*shown, text[done:]))
