"""Turns a request into a reply, for every engine: template, prefix cache, tokens, reply; in the worker's thread.

Owns the lifetime of an engine, and the options that mean the same to all engines. Knows no library: a `LanguageModel`
computes.
"""

from __future__ import annotations

import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Container, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from attrs import evolve

from aimu._core.escaping import escaping
from aimu._core.nearest import did_you_mean
from aimu._core.reply import Delta, Reply, StopReason, Usage
from aimu.engines._batch import Batch, Rows
from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._formats.stops import StopStrings
from aimu.engines._formats.writing import images_of
from aimu.engines._grammars.asking import FIELDS, asked
from aimu.engines._grammars.holding import Holding, is_possible
from aimu.engines._language_model import LanguageModel
from aimu.engines._pictures import Prompt, without_faulty
from aimu.engines._prefix_cache import PrefixCache
from aimu.engines._rounds import Emit, Shared, Steps, StopFlag, Stopped
from aimu.engines._tested import versions_note
from aimu.engines._worker import Worker
from aimu.errors import (
    AimuError,
    BadRequestError,
    ContextLengthError,
    EngineError,
    InvalidImageError,
    InvalidOptionError,
    MissingExtraError,
)
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import ReplyStream, Request

if TYPE_CHECKING:
    from aimu.engines._grammars.constraint import Constraint

_HONOURED = frozenset(
    (
        *("max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty"),
        *("repeat_penalty", "thinking", "extra_body"),
    )
)
_TEMPLATE_FIELD = "chat_template_kwargs"
_PROMPT_END = 512  # characters that may have begun the reply
_OF_CALLS = "tool_choice", "parallel_tool_calls"
_HARMLESS = {"tool_choice": ("auto", "none"), "parallel_tool_calls": (True,)}

log = escaping(logging.getLogger("aimu.engines"))

M = TypeVar("M", bound=LanguageModel[Any])


class LocalEngine(ABC, Generic[M]):
    """Base class of the engines: a provider on weights in this process."""

    row: ClassVar[str]
    """The name of the provider."""
    extra: ClassVar[str]
    """The extra of aimu that installs the packages."""
    packages: ClassVar[tuple[str, ...]]
    """The packages that the engine imports."""
    distributions: ClassVar[tuple[str, ...]]
    """The distributions, by their name on PyPI, whose versions decide whether weights can be loaded."""

    def __init__(
        self, spec: ModelSpec, *, lazy: bool, prefix_cache_bytes: int, tool_format: str | None, batch: int
    ) -> None:
        if batch < 1:
            raise InvalidOptionError(
                f"batch must be at least 1, got batch={batch!r}; use 1 to answer one request at a time"
            )
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(package, self.extra)
        self.spec: ModelSpec = spec
        ChatFormat.of("", tool_format=tool_format)  # raises where there is no format of that name
        self._tool_format = tool_format
        self._model: M | None = None
        self._size = batch
        self._batch: Batch[Any] | None = None
        self._warned: set[str] = set()
        self._holding = Holding(self.extra, self._warn)
        self.prefix_cache: PrefixCache[Any] = PrefixCache(prefix_cache_bytes)
        self.worker: Worker = Worker(f"aimu {spec}", share=batch)
        if not lazy:
            try:
                self.load()
            except BaseException:
                self.worker.close()
                raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.id!r}, loaded={self.loaded})"

    @property
    def loaded(self) -> bool:
        """Whether the weights are loaded."""
        return self._model is not None

    def load(self) -> None:
        """Load the weights if they are not loaded; blocks.

        Raises:
            EngineError: The weights cannot be loaded.
            ClosedClientError: The engine is closed.
        """
        self.worker.run_stoppable(self._loaded)

    async def complete(self, request: Request) -> Reply:
        """Generate the reply to a request.

        Args:
            request: Messages, tools and options.

        Returns:
            The reply.

        Raises:
            BadRequestError: The model has no chat template, or the template refuses the messages.
            ContextLengthError: The prompt does not fit into the model's context.
            InvalidOptionError: An option has an invalid value.
            EngineError: The weights cannot be loaded, or computing failed.
            ClosedClientError: The engine is closed.
        """
        return await self.worker.run(Shared(partial(self._generate, request)))

    def stream(self, request: Request) -> ReplyStream:
        """Yield the deltas of the reply to a request, then the reply; raises as `complete` does.

        Args:
            request: Messages, tools and options.
        """
        return self.worker.stream(Shared(partial(self._generate, request)))

    def holds_grammars(self) -> bool:
        """Return whether the engine can hold replies to grammars: llguidance has to be installed."""
        return is_possible()

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        """Return whether the engine can make the model call a tool.

        Args:
            options: The options of the request.
        """
        return self.holds_grammars() and not options.get("extra_body", {}).keys() & set(FIELDS)

    def close(self) -> None:
        """Stop all requests, free the weights and end the thread; blocks. Idempotent."""
        self.worker.close(self._free)

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        await self.worker.aclose(self._free)

    # The methods below run in the worker's thread.

    @abstractmethod
    def _load(self, stopped: StopFlag) -> M:
        """Load the weights; any exception says why they cannot be loaded.

        Raises Stopped if `stopped()` becomes true while they are fetched.
        """

    @abstractmethod
    def _rows(self, model: M) -> Rows[Any]:
        """Return what computes requests side by side; raise ValueError if the model does not allow it."""

    @abstractmethod
    def _sampler(self, model: M, options: Mapping[str, Any], constraint: Constraint | None) -> Any:
        """Return the rule to pick tokens by, as `options` say; raise ValueError if one is invalid.

        Only tokens that `constraint` allows may be picked; the caller tells it which were.
        """

    def _loaded(self, stopped: StopFlag) -> M:
        if self._model is None:
            try:
                model = self._load(stopped)
                self._batch = Batch(self._rows(model)) if self._size > 1 else None
                self._model = model
            except (AimuError, Stopped):
                raise
            except Exception as exc:
                reason = str(exc) or type(exc).__name__
                note = versions_note(self.distributions)
                raise EngineError(f"cannot load the weights of {self.spec.id!r}: {reason} ({note})") from exc
        return self._model

    def _free(self) -> None:
        self._model = self._batch = None
        self._holding.clear()
        self.prefix_cache.clear()

    def _generate(self, request: Request, emit: Emit[Delta], stopped: StopFlag) -> Steps[Reply]:
        failure: BaseException | None = None
        try:
            model = self._loaded(stopped)
            steps = self._reply(model, request, emit, stopped)
            while True:
                with model.inference():  # it is the thread's, so it is not held across a yield
                    call = next(steps) if failure is None else steps.throw(failure)
                failure = None
                try:
                    yield call
                except BaseException as exc:  # noqa: BLE001 - thrown into `steps`, so that they clean up
                    failure = exc
        except StopIteration as end:
            reply: Reply = end.value
            return reply
        except (AimuError, GeneratorExit, Stopped):
            raise
        except BaseException as exc:
            # BaseException too: a KeyboardInterrupt or SystemExit in the engine's thread must not end the reader's.
            raise EngineError(f"{self.spec}: {type(exc).__name__}: {exc}") from exc
        finally:
            del failure  # breaks the reference cycle of its traceback and this frame

    def _reply(self, model: M, request: Request, emit: Emit[Delta], stopped: StopFlag) -> Steps[Reply]:
        options, wanted = request.options, asked(request)
        self._warn_of(options, () if wanted is None else _OF_CALLS)
        request, images = self._shown(model, request)
        form, text = self._format(model, request), self._render(model, request)
        verbatim = wanted is not None and wanted.verbatim
        reader = form.reader(tools=request.tools, prompt_end=text[-_PROMPT_END:], verbatim=verbatim)
        constraint = None
        if wanted is not None:
            constraint = yield from self._holding.constraint(
                model, wanted, form, stopped, begun=reader.thinking, options=options
            )
        sampler = self._checked_sampler(model, options, constraint)
        plain = Prompt(text, model.encode, model.encode_rest)
        prompt = (yield from model.look(text, images, stopped)) if images else plain
        entry = self.prefix_cache.take(
            prompt.text, encode=prompt.encode, encode_rest=prompt.encode_rest, new=model.new_states
        )
        length, reused = len(entry.ids), len(entry.states)
        limit = self._limit(model, length, options)
        prompt.bind(entry.states, entry.ids)
        stops = StopStrings(_stop(options))
        text_of = model.detokenizer(form.shows)
        reason = StopReason.MAX_TOKENS
        with closing((self._batch or model).tokens(entry.ids, entry.states, sampler, stopped)) as tokens:
            for token in tokens:
                if not isinstance(token, int):
                    yield token
                    continue
                if token in model.ends:
                    reason = StopReason.END
                    break
                for delta in reader.feed(stops.feed(text_of(token))):
                    emit(delta)
                if stops.stopped:
                    reason = StopReason.STOP_SEQUENCE
                    break
                if constraint is not None and wanted is not None and self._holding.ends(constraint, token, wanted):
                    reason = StopReason.END
                    break
                if len(entry.ids) - length >= limit:
                    break
        for delta in reader.feed(stops.rest()) + reader.end():
            emit(delta)
        entry.text += model.decode(entry.ids[length:])
        entry.marks.append((len(entry.text), len(entry.ids)))
        prompt.release(entry.states)
        self.prefix_cache.put(entry)
        usage = Usage(input=length, output=len(entry.ids) - length, cache_read=reused)
        return reader.reply(reason, usage, self.spec.id)

    def _checked_sampler(self, model: M, options: Mapping[str, Any], constraint: Constraint | None) -> Any:
        try:
            return self._sampler(model, options, constraint)
        except ValueError as exc:
            raise InvalidOptionError(str(exc)) from exc

    def _shown(self, model: M, request: Request) -> tuple[Request, list[str]]:
        """Return the request without images of tools that cannot be shown, and the URLs of the others."""
        if not images_of(request.messages):
            return request, []
        sightless = TABLE[self.row].sightless
        seen = self._format(model, request).plan.images
        blind = sightless or ("" if seen else "the chat template shows no images")
        shown = evolve(request, messages=without_faulty(request.messages, blind))
        images = images_of(shown.messages)
        if images and sightless:
            raise InvalidImageError(f"{self.spec} cannot see images: {sightless}")
        return shown, images

    def _format(self, model: M, request: Request) -> ChatFormat:
        templates = model.templates
        name = "tool_use" if request.tools and "tool_use" in templates else "default"
        return ChatFormat.of(templates.get(name, ""), tool_format=self._tool_format)

    def _render(self, model: M, request: Request) -> str:
        form = self._format(model, request)
        thinking = request.options.get("thinking")
        variables = {**model.variables, **request.options.get("extra_body", {}).get(_TEMPLATE_FIELD, {})}
        if request.tools and form.name == UNKNOWN:
            self._warn("tools", "the format of tool calls is unknown: the chat template shows none; pass tool_format=")
        for reason in form.unheard(thinking):
            self._warn("thinking", reason)
        if lost := form.lost(request.messages, request.tools):
            self._warn(f"lost {lost}", f"the chat template does not show {', '.join(lost)}")
        try:
            return form.render(request.messages, tools=request.tools, thinking=thinking, variables=variables)
        except BadRequestError as exc:
            raise BadRequestError(f"{self.spec}: {exc}") from exc

    def _limit(self, model: M, length: int, options: Mapping[str, Any]) -> int:
        """Return the number of tokens that the answer may have."""
        wanted: int | None = options.get("max_tokens")
        if wanted is not None and wanted < 1:
            raise InvalidOptionError(f"max_tokens must be at least 1, got {wanted!r}; leave it out for no limit")
        if model.context is None:
            return 1 << 62 if wanted is None else wanted
        left = model.context - length
        if left < 1:
            raise ContextLengthError(
                f"the prompt has {length} tokens, {1 - left} too many for {self.spec.id!r}: its context of "
                f"{model.context} tokens must also hold the answer; shorten the history"
            )
        return left if wanted is None else min(wanted, left)

    def _extra_body(
        self, options: Mapping[str, Any], honoured: Collection[str], ignored: Container[str] = ()
    ) -> dict[str, Any]:
        """Return the fields of `extra_body` for the sampler; raise InvalidOptionError at an unknown one."""
        extra: Mapping[str, Any] = options.get("extra_body", {})
        known = [*honoured, *FIELDS, _TEMPLATE_FIELD]
        for name in extra.keys() - set(known):
            if name not in ignored:
                raise InvalidOptionError(
                    f"extra_body has the unknown field {name!r}{did_you_mean(name, known)}; "
                    f"the fields of this engine are: {', '.join(known)}"
                )
            self._warn(name, f"this engine does not support the field {name!r} of extra_body and ignores it")
        return {name: value for name, value in extra.items() if name in honoured}

    def _warn_of(self, options: Mapping[str, Any], honoured: Collection[str]) -> None:
        """Log a warning, once, about each option that the engine does not support; it honours these, too."""
        for name, value in options.items():
            if name not in _HONOURED and name not in honoured and value not in _HARMLESS.get(name, ()):
                self._warn(name, f"this engine does not support the option {name}={value!r} and ignores it")

    def _warn(self, about: str, text: str) -> None:
        """Log a warning about each subject once."""
        if about not in self._warned:
            self._warned.add(about)
            log.warning("%s: %s", self.spec, text)


def _stop(options: Mapping[str, Any]) -> list[str]:
    stop = options.get("stop", [])
    return [stop] if isinstance(stop, str) else list(stop)
