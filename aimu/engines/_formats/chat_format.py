"""The format of a chat template: what it makes of a conversation, and what the text of its model means.

Owns which rows hold for a template: those that the table knows by their signs, and the one that is derived by rendering
small conversations with it. Everything is found once per template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

from attrs import evolve, field, frozen

from aimu._core.messages import Message
from aimu._core.reply import Reply
from aimu._doors import public
from aimu.engines._formats.bounds import TemplateLimit
from aimu.engines._formats.derive import derive
from aimu.engines._formats.derive_calls import same, variants
from aimu.engines._formats.marks import Row
from aimu.engines._formats.probing import NO_SYSTEM, Probe, find_plan
from aimu.engines._formats.reader import Reader
from aimu.engines._formats.rows import ANYTHING, NAMED, ROWS, rows_for
from aimu.engines._formats.table import THINK, table_of
from aimu.engines._formats.writing import Plan, images_of, shaped, variables_of
from aimu.errors import (
    AimuError,
    BadRequestError,
    EngineError,
    InvalidImageError,
    InvalidOptionError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from aimu.engines._formats.template import Template

UNKNOWN = "unknown"


@public("aimu.engines")
@final
@frozen(kw_only=True, eq=False)
class ChatFormat:
    """How the model of a chat template marks thinking, answer and tool calls.

    Attributes:
        name: The family; "derived" where only the template tells it, "unknown" where nothing does.
    """

    name: str
    rows: tuple[Row, ...]
    plan: Plan
    _template: Template | None = field(default=None, alias="template")
    _broken: str = field(default="", alias="broken")
    _shown: dict[str, bool] = field(init=False, factory=dict[str, bool])

    @classmethod
    def of(cls, template: str, *, tool_format: str | None = None) -> ChatFormat:
        """Find the format of a template.

        Args:
            template: The text of a chat template in Jinja; "" where there is none.
            tool_format: The name of a format whose calls are looked for first, whatever the template shows.

        Returns:
            The format, found once per template.

        Raises:
            InvalidOptionError: If there is no format of that name; the message lists them.
        """
        if tool_format is not None and tool_format not in NAMED:
            raise InvalidOptionError(f"tool_format={str(tool_format)!r}; there are: {', '.join(sorted(NAMED))}")
        return _format_of(template, tool_format)

    def read(self, text: str, *, tools: Iterable[Mapping[str, Any]] = (), prompt_end: str = "") -> Reply:
        """Read a whole reply.

        Args:
            text: What the model wrote, special tokens that mean something included.
            tools: The tools that were offered, in OpenAI's format; without any, calls stay text.
            prompt_end: The end of the rendered prompt, which may have begun the thinking.

        Returns:
            The reply. A malformed call has what the model wrote as its arguments.
        """
        reader = self.reader(tools=tools, prompt_end=prompt_end)
        reader.feed(text)
        return reader.finish()

    def reader(
        self, *, tools: Iterable[Mapping[str, Any]] = (), prompt_end: str = "", verbatim: bool = False
    ) -> Reader:
        """A reader that takes the text in pieces; what it reads does not depend on where they are cut.

        With `verbatim`, marks in an answer that has begun are its text, and it may begin with any JSON.
        """
        return Reader(self.rows, tools=tools, prompt_end=prompt_end, verbatim=verbatim)

    def shows(self, token: str) -> bool:
        """Whether the text of a special token means something to the reader."""
        if token not in self._shown:
            marks = table_of(self.rows).all_marks
            self._shown[token] = bool(token.strip()) and any(token in mark or mark in token for mark in marks)
        return self._shown[token]

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        thinking: bool | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt of a conversation, in the shape that the template takes.

        Args:
            messages: The history.
            tools: The tools to offer, in OpenAI's format.
            thinking: Whether to think; None is the template's own way.
            variables: More of the template's variables, such as `bos_token`; they win over what is found.

        Raises:
            BadRequestError: If the template refuses the conversation, or there is none.
            EngineError: If the template cannot be read, or does more than any honest one.
            InvalidImageError: If there is an image, and the template writes nothing for one.
        """
        if self._broken:
            raise EngineError(self._broken)
        if self._template is None:
            raise BadRequestError("there is no chat template: it is a base model, not one to talk with")
        if not self.plan.images and images_of(messages):
            raise InvalidImageError("the chat template shows no images: it was written for a model of text")
        values = {
            "bos_token": "",
            "eos_token": "",
            **variables_of(self.plan, tools, thinking),
            "add_generation_prompt": True,
            **(variables or {}),
        }
        try:
            return self._template.render({"messages": shaped(messages, self.plan, thinking), **values})
        except TemplateLimit as exc:
            raise EngineError(f"the chat template is stopped, as no honest one does such things: {exc}") from exc
        except AimuError:
            raise
        except Exception as exc:
            raise BadRequestError(f"the chat template refuses this conversation: {exc}") from exc

    def unheard(self, thinking: bool | None) -> list[str]:
        """Why a wish for thinking, or for none, is not met."""
        switch = self.plan.switch
        if thinking is None or self._template is None:
            return []
        if switch is None:
            return [f"the chat template has no switch for thinking={thinking!r}"]
        return ["the chat template cannot turn thinking off, only down"] if switch.weak and not thinking else []

    def lost(self, messages: Sequence[Message], tools: Sequence[Any]) -> list[str]:
        """What of a request the template does not show."""
        found = sorted(self.plan.lost)
        has = {
            "tools": bool(tools),
            "thinking": any(message.get("thinking") for message in messages),
        }
        calls = [message for message in messages if message.get("tool_calls")]
        lost = []
        for what in found:
            if what in has:
                needed = has[what]
            elif what == NO_SYSTEM:
                needed = bool(calls) and messages[0]["role"] == "system"
            elif what.startswith("thinking before"):
                needed = any(message.get("thinking") for message in calls)
            elif what.startswith("text before"):
                needed = any(message.get("content") for message in calls)
            else:
                needed = bool(calls)
            if needed:
                lost.append(what)
        return lost


@lru_cache(maxsize=64)
def _format_of(template: str, tool_format: str | None) -> ChatFormat:
    found = rows_for(template)
    compiled, broken = _compiled(template)
    plan, derived = Plan(), Row(name="derived")
    if compiled is not None:
        probe = Probe(compiled)
        inline = [(block.opening, block.closing) for row in found for block in row.thinking if not block.kept]
        plan = find_plan(probe, [(THINK.opening, THINK.closing), *inline])
        derived = derive(probe, plan)
    known = [row for row in found if any(same(one, other) for one in row.calls for other in derived.calls)]
    others = [other for marks in derived.calls for other in variants(marks)]
    rows = (*known, derived, *found, *([Row(name="variants", calls=tuple(others))] if others else []))
    name = _name(known, derived, found)
    if tool_format is not None:
        name, rows = tool_format, (NAMED[tool_format], *rows)
    if name == UNKNOWN or not template:
        rows = (*rows, *ROWS, ANYTHING)
    calls = [marks for row in rows for marks in row.calls]
    if plan.calls == "text" and calls and name != UNKNOWN:
        plan = evolve(plan, marks=calls[0])
    return ChatFormat(name=name, rows=tuple(dict.fromkeys(rows)), plan=plan, template=compiled, broken=broken)


def _compiled(template: str) -> tuple[Template | None, str]:
    if not template:
        return None, ""
    try:
        from aimu.engines._formats.template import Template
    except ImportError as exc:
        raise MissingExtraError("jinja2", "llamacpp") from exc
    try:
        return Template(template), ""
    except Exception as exc:  # noqa: BLE001 - jinja2's parser and compiler raise many kinds
        return None, f"the chat template cannot be read: {exc}"


def _name(known: Sequence[Row], derived: Row, found: Sequence[Row]) -> str:
    """The most telling name: of a row that agrees with the template, of one whose sign is in it."""
    if known:
        return known[-1].name
    if found:
        return found[-1].name
    return derived.name if derived.calls or derived.bare or derived.header else UNKNOWN
