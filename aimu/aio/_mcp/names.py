"""The names of tools: what a model calls each tool of each server, and which tool a name means. Pure.

Model services accept 64 characters of `[A-Za-z0-9_-]`, and every tool needs a name of its own; servers follow neither
rule. Other characters become "_". A name that is too long or empty, and one that another tool already has, ends with a
few digits of its hash, so that it is the same in every run.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import final

from attrs import field, frozen

from aimu._core.escaping import escaping
from aimu._core.nearest import did_you_mean
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))

LONGEST = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = 6  # of the hash


@final
@frozen(kw_only=True)
class Naming:
    """The user's options: a text or the server's name before each name, new names, and which tools to leave out."""

    prefix: bool | str | None = None
    rename: Mapping[str, str] = field(factory=dict[str, str])
    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()

    def wanted(self, server: str, own: str) -> bool:
        """Return whether a tool is to be offered."""
        names = (own, f"{server}_{own}")
        if self.include is not None and not _matches(names, self.include):
            return False
        return not _matches(names, self.exclude)

    def full(self, server: str, own: str, *, several: bool) -> str:
        """Return the name that a tool would have if services accepted all names."""
        for key in (f"{server}_{own}", own):
            if key in self.rename:
                return self.rename[key]
        text = self.prefix if isinstance(self.prefix, str) else ""
        with_server = several if self.prefix is None or isinstance(self.prefix, str) else self.prefix
        return text + (f"{server}_" if with_server else "") + own


@final
class Names:
    """The names of the tools of all servers, made anew from each listing.

    `servers` are the names of the servers, in order.
    """

    def __init__(self, servers: Sequence[str], naming: Naming) -> None:
        self.naming = naming
        self._servers = servers
        self._listed: dict[int, list[str]] = {}
        self._shown: dict[tuple[int, str], str] = {}
        self._meant: dict[str, tuple[int, str]] = {}
        self._unused: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether the tools of all servers have been listed."""
        return len(self._listed) == len(self._servers)

    def learn(self, server: int, tools: Iterable[str]) -> None:
        """Note the tools of a server."""
        self._listed[server] = list(dict.fromkeys(tools))
        self._assign()

    def shown(self, server: int, own: str) -> str | None:
        """Return the name that the model sees; None for a tool that is left out."""
        return self._shown.get((server, own))

    def find(self, name: str) -> tuple[int, str]:
        """Return which tool a name means: as the model sees it, or else as the server spells it, with its prefix.

        Raises:
            InvalidOptionError: There is no such tool, or more than one.
        """
        if name in self._meant:
            return self._meant[name]
        several = len(self._servers) > 1
        spelt = {key for key in self._shown if name == self._full(*key)}
        if len(spelt) == 1:
            return spelt.pop()
        # A server may have tools that it does not list.
        if len(self._servers) == 1 and name == self._full(0, name) and self.naming.wanted(self._servers[0], name):
            return 0, name
        rule = "; with several servers, tools are named <server>_<tool>"
        raise InvalidOptionError(
            f"no MCP server has a tool {name!r}{did_you_mean(name, self._meant)}"
            + (rule if several and self.naming.prefix is None else "")
        )

    def _full(self, server: int, own: str) -> str:
        return self.naming.full(self._servers[server], own, several=len(self._servers) > 1)

    def _assign(self) -> None:
        full = {
            (server, own): self._full(server, own)
            for server in sorted(self._listed)
            for own in self._listed[server]
            if self.naming.wanted(self._servers[server], own)
        }
        # Names that services accept as they are go first, so that no changed name takes one of theirs.
        order = sorted(full, key=lambda key: _fitting(full[key]) != full[key])
        shown: dict[tuple[int, str], str] = {}
        meant: dict[str, tuple[int, str]] = {}
        for key in order:
            name = _fitting(full[key])
            if not name or name in meant or len(full[key]) > LONGEST:
                name = self._hashed(full[key], key, meant)
            shown[key], meant[name] = name, key
        self._shown, self._meant = shown, meant  # at once, since other threads may look
        if self.complete:
            self._warn_unused()

    def _hashed(self, full: str, key: tuple[int, str], taken: Container[str]) -> str:
        digits = hashlib.sha256(f"{self._servers[key[0]]}\0{key[1]}".encode()).hexdigest()
        names = (f"{_fitting(full)[: LONGEST - 1 - length]}_{digits[:length]}" for length in range(_DIGITS, LONGEST))
        return next(name for name in names if name not in taken)

    def _warn_unused(self) -> None:
        naming = self.naming
        tools = [(self._servers[server], own) for server, listed in self._listed.items() for own in listed]
        names = {own for _, own in tools} | {f"{server}_{own}" for server, own in tools}
        given = [*naming.rename, *(naming.include or ()), *naming.exclude]
        for pattern in given:
            if pattern not in self._unused and not _matches(names, [pattern]):
                self._unused.add(pattern)
                log.warning("no MCP tool is named %r%s", pattern, did_you_mean(pattern, names))


def is_fit(name: object) -> bool:
    """Return whether model services accept a name."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST and _UNFIT.search(name) is None


def _fitting(name: str) -> str:
    return _UNFIT.sub("_", name)[:LONGEST]


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    names = list(names)
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)
