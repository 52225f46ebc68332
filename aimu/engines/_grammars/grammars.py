"""Makes the constraint of a request: from what it asks, the chat format and the vocabulary of its model.

An engine has one `Grammars`, whose methods may be called in any thread. What llguidance cannot enforce of a type or a
tool's schema is left to validation, and logged; in a schema that the user gave as an option it is an error.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from reprlib import Repr
from threading import Lock
from typing import Any, TypeAlias, final

from attrs import define, field

from aimu.engines._formats.chat_format import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.calls import calls, check_names, shape_of
from aimu.engines._grammars.constraint import Compiler, Constraint, is_readable, of_regex
from aimu.engines._grammars.gbnf import lark_of
from aimu.engines._grammars.headers import has_headers, header_calls, headers_of
from aimu.engines._grammars.lark import Lark
from aimu.engines._grammars.patterns import exact
from aimu.engines._grammars.replies import reply
from aimu.engines._grammars.schemas import Rewriting
from aimu.engines._grammars.texts import Texts, texts_of
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.errors import InvalidOptionError

Warn = Callable[[str, str], object]
"""Logs a warning about a subject, once."""
Key: TypeAlias = tuple[ChatFormat, bool, bool, str, bool, bool, bool, str]
_Made: TypeAlias = tuple[Compiler, str] | str
_MOST = 256  # requests, whose grammars are often the same
_MOST_CHARACTERS = 4 << 20

# A model may indent, but not go on with blanks for ever.
_SPACING = {"x-guidance": {"whitespace_pattern": r"( {1,2}|\r?\n[ \t]{0,24})"}}

_SHORT = Repr()
_SHORT.maxstring = 200


@final
@define(eq=False)
class Grammars:
    """The grammars of one set of weights.

    Args:
        vocabulary_of: Returns the vocabulary, with the tokens as marks whose text means something in the chat format;
            raises ValueError if there is none.
        warn: Logs a warning, once.
    """

    vocabulary_of: Callable[[Callable[[str], bool]], Vocabulary]
    warn: Warn
    _compilers: dict[frozenset[int], Compiler] = field(factory=dict[frozenset[int], Compiler])
    _of_formats: dict[ChatFormat, Compiler] = field(factory=dict[ChatFormat, Compiler])
    _made: OrderedDict[Key, _Made] = field(factory=OrderedDict[Key, Any])
    _lock: Lock = field(factory=Lock)

    def has(self, key: Key) -> bool:
        """Return whether the grammar of a request with this `key_of` is made, so that `constraint` returns at once."""
        return self._known(key) is not None

    def constraint(self, asked: Asked, form: ChatFormat, *, begun: bool, thinking: bool) -> Constraint | None:
        """Return a new constraint for a request; None if it cannot be enforced, which is logged.

        Args:
            asked: What the request asks.
            form: The chat format of its prompt.
            begun: Whether the prompt has begun the thinking.
            thinking: Whether the reply may think first.

        Raises:
            InvalidOptionError: A grammar that the user gave as an option cannot be enforced.
        """
        key = key_of(asked, form, begun=begun, thinking=thinking)
        made = self._known(key)
        if made is None:
            made = self._make(asked, form, begun=begun, thinking=thinking)
            with self._lock:
                self._made[key] = made
                while len(self._made) > _MOST or sum(len(each[-1]) for each in self._made) > _MOST_CHARACTERS:
                    self._made.popitem(last=False)
        if not isinstance(made, str):
            compiler, grammar = made
            return compiler.constraint(grammar)
        if asked.own:
            raise InvalidOptionError(f"invalid extra_body[{asked.kind!r}] {_SHORT.repr(asked.value)}: {made}")
        what = "the tool call" if asked.forced else "the output"
        self.warn(f"grammar {made}", f"{what} is not held by a grammar, and only validated: {made}")
        return None

    def _known(self, key: Key) -> _Made | None:
        if not key[-1]:
            return "it nests too deeply"
        made = self._made.get(key)
        return made if made is None or isinstance(made, str) or made[0].has(made[1]) else None

    def _make(self, asked: Asked, form: ChatFormat, *, begun: bool, thinking: bool) -> _Made:
        """Return compiler and grammar, which is compiled then; or why there is none."""
        try:
            with self._lock:
                compiler = self._compiler(form)
            grammar = self._grammar(asked, form, compiler.vocabulary, begun=begun, thinking=thinking)
            compiler.constraint(grammar)
        except RecursionError:
            return "it nests too deeply"
        except ValueError as exc:
            return str(exc) or "it is invalid"
        return compiler, grammar

    def _compiler(self, form: ChatFormat) -> Compiler:
        if form not in self._of_formats:
            vocabulary = self.vocabulary_of(form.shows)
            marks = frozenset(vocabulary.special)
            self._of_formats[form] = self._compilers[marks] = self._compilers.get(marks) or Compiler(vocabulary)
        return self._of_formats[form]

    def _grammar(self, asked: Asked, form: ChatFormat, vocabulary: Vocabulary, *, begun: bool, thinking: bool) -> str:
        lark, answers, parts = Lark(vocabulary), list[str](), list[dict[str, Any]]()
        if asked.kind and not asked.forced:
            answers.append(f"{lark.exact(headers_of(form).answer)} @answer" if has_headers(form) else "@answer")
            parts.append({"name": "answer", **self._answer(asked)})
        if asked.tools:
            answers.append(self._calls(lark, form, asked, beside=bool(answers)))
        elif asked.forced:
            raise ValueError("tool_choice names no tool that is offered")
        text = lark.text(reply(lark, form, answers, begun=begun, thinking=thinking))
        return json.dumps({"grammars": [{"lark_grammar": text}, *parts]})

    def _answer(self, asked: Asked) -> dict[str, Any]:
        if asked.kind == "json_schema":
            return {"json_schema": self._schema("the output type", asked.value, whole=asked.own)}
        if asked.kind == "regex":
            return {"lark_grammar": json.loads(of_regex(exact(asked.value)))["grammars"][0]["lark_grammar"]}
        try:
            return {"lark_grammar": lark_of(asked.value)}
        except ValueError as exc:
            raise ValueError(f"it must be GBNF with a rule named root: {exc}") from exc

    def _calls(self, lark: Lark, form: ChatFormat, asked: Asked, *, beside: bool) -> str:
        def schema_of(schema: Mapping[str, Any]) -> Any:
            return self._schema("the arguments of a tool", schema)

        if has_headers(form):
            return header_calls(lark, form, asked.tools, schema_of)
        shape = shape_of(form)
        if beside and not shape.marked:
            raise ValueError(f"a tool call of the format {form.name!r} may begin like an answer")
        check_names(form, shape, asked.tools)
        return calls(lark, shape, asked.tools, several=asked.several, schema_of=schema_of, texts_of=self._texts_of)

    def _texts_of(self, schema: Any, definitions: Mapping[str, Any]) -> Texts | None:
        """Return the texts that a rewritten schema allows between marks."""
        texts = texts_of(schema, definitions, is_readable)
        for reason in () if texts is None else texts.lost:
            self.warn(
                f"grammar text {reason}", f"texts in tool calls are held by a grammar, but {reason} is only validated"
            )
        return texts

    def _schema(self, what: str, schema: Mapping[str, Any], *, whole: bool = False) -> Any:
        """Return a schema that llguidance accepts; raise ValueError if the `whole` is wanted and cannot be enforced."""
        try:
            made, rewriting = Rewriting.of(schema, is_readable, strict=whole)
        except (AttributeError, TypeError) as exc:  # a tool's schema can come from a server, and hold anything
            raise ValueError(f"it is not a JSON Schema: {exc}") from exc
        if whole and rewriting.lost:
            raise ValueError(f"{', '.join(rewriting.lost)} cannot be enforced")
        for reason in rewriting.lost:
            self.warn(f"grammar {what} {reason}", f"{what} is held by a grammar, but {reason} is only validated")
        return {**made, **_SPACING} if isinstance(made, Mapping) else made


def key_of(asked: Asked, form: ChatFormat, *, begun: bool, thinking: bool) -> Key:
    """Return what tells requests apart; the last of it is the text of what they ask, "" if it nests too deeply."""
    try:
        text = repr((asked.value, asked.tools))
    except RecursionError:
        text = ""
    return form, begun, thinking, asked.kind, asked.own, asked.forced, asked.several, text
