"""Ollama's own API, `/api/chat` and `/api/generate`: the pure codec, and the capabilities of the server's models.

Format: https://docs.ollama.com/api/chat and /api/generate: JSON lines, images as bare base64, arguments as objects, and
calls without ids, so this module makes ids and never sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from attrs import evolve, field, frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.images import split_data_url, url_of
from aimu._core.loop_end import Nested
from aimu._core.messages import Message, content_of, split_system, text_of
from aimu._core.reply import Delta, Reply, ToolCall, Usage, new_call_id
from aimu.errors import InvalidImageError, MalformedResponseError, ProviderError
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import ReplyStream, Request
from aimu.providers._extra import overlay_extra, split_extra
from aimu.providers._failures import from_error
from aimu.providers._finish import stop_reason, word_of
from aimu.providers._http import Connect
from aimu.providers._sse import JSONLinesDecoder
from aimu.providers._transport import HttpProvider
from aimu.providers._wire import (
    arguments_object,
    arguments_text,
    as_text,
    count,
    is_empty,
    later_counts,
    parse_json,
    renamed,
)

if TYPE_CHECKING:
    import httpx2

_KEY = "ollama"
GENERATING, THINKING = StreamingContentType.GENERATING, StreamingContentType.THINKING
_COUNTS = ("prompt_eval_count", "eval_count")
_NAMES = {
    "max_tokens": "num_predict",
    **{
        key: key
        for key in (
            "temperature",
            "top_p",
            "top_k",
            "stop",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "repeat_penalty",
        )
    },
}


@final
@frozen
class OllamaCodec:
    """The codec of one model.

    Attributes:
        spec: The model.
        keep_alive: How long the server keeps the model loaded after an answer: "5m", seconds, or -1 for ever.
    """

    spec: ModelSpec
    keep_alive: str | float | None = field(default=None, kw_only=True)

    frames = JSONLinesDecoder
    trims = False

    @property
    def missing_model(self) -> str:
        return TABLE[self.spec.provider].missing_model.format(model=self.spec.id)

    def path(self, request: Request) -> str:
        return "api/generate" if _is_prompt(request) else "api/chat"

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        request, extra = split_extra(request)
        body: dict[str, Any] = {"model": self.spec.id, "stream": stream}
        if _is_prompt(request):
            body.update(_prompt(request.messages))
        else:
            body["messages"] = list(_messages(request.messages))
        options = dict(request.options)
        choice = options.pop("tool_choice", "auto")
        # The API has no `tool_choice`; for "none", offer no tools.
        if request.tools and choice != "none":
            body["tools"] = [dict(tool) for tool in request.tools]
            if choice != "auto":
                warn_unsupported(self.spec.provider, "tool_choice")
        output = request.output
        if output is not None and output.mode == "schema":
            body["format"] = output.schema
        thinking = options.pop("thinking", None)
        if thinking is not None:
            if self.spec.thinking is not False:
                body["think"] = thinking
            elif thinking:
                warn_unsupported(str(self.spec), "thinking")
        body["options"] = renamed(options, _NAMES, self.spec.provider)
        if self.keep_alive is not None:
            body["keep_alive"] = self.keep_alive
        return overlay_extra(body, extra)

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        if tools:
            raise ValueError(f"{self.spec.provider} lets no model call a tool while it holds it to a schema")
        return schema

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return False

    def decode(self, body: dict[str, Any]) -> Reply:
        decoder = self.decoder()
        decoder.feed(body)
        if not decoder.over:
            raise MalformedResponseError("the response has no 'done': true", provider=self.spec.provider)
        return decoder.reply()

    def decoder(self) -> OllamaDecoder:
        return OllamaDecoder(self.spec.provider)


@final
class OllamaDecoder:
    """Reads the lines of one streamed answer, from either endpoint."""

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self.shown_call: str | None = None
        self._provider = provider
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []
        self._last: dict[str, Any] = {}
        self._usage: Mapping[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        if event.get("error"):
            raise from_error(self._provider, event["error"], status=200, partial=self.partial())
        deltas = list(self._deltas(event))
        for delta in deltas:
            (self._text if delta.phase is GENERATING else self._thinking).append(delta.text)
        return deltas

    def _deltas(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        message: Mapping[str, Any] = event.get("message") or {}
        if "message" not in event and "response" not in event:
            raise MalformedResponseError(
                "an object of the response has neither 'message' nor 'response'",
                provider=self._provider,
                partial=self.partial(),
            )
        thinking = message.get("thinking") or event.get("thinking")
        if thinking:
            yield Delta(THINKING, as_text(thinking))
        text = message.get("content") or event.get("response")
        if text:
            yield Delta(GENERATING, as_text(text))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            self._calls.append(
                ToolCall(call.get("id") or new_call_id(), function["name"], arguments_text(function.get("arguments")))
            )
        if _COUNTS[0] in event or _COUNTS[1] in event:
            self._usage = later_counts(self._usage, {key: event.get(key) for key in _COUNTS})
        if event.get("done") is True:
            self._last = dict(event)
            self.settled = self.over = True

    def done(self) -> Iterable[Delta]:
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def reply(self) -> Reply:
        reason, calls = self._last.get("done_reason"), tuple(self._calls)
        return Reply(
            replay={_KEY: {"thinking": True}} if self._thinking else {},
            text=self.partial(),
            thinking="".join(self._thinking),
            calls=calls,
            stop_reason=stop_reason(self._provider, reason, calls, partial=self.partial()),
            finish_reason=word_of(reason) or None,
            usage=Usage(input=count(self._usage, _COUNTS[0]), output=count(self._usage, _COUNTS[1])),
            model=self._last.get("model"),
        )


@final
class OllamaProvider:
    """A `Provider` that asks the server for the capabilities of a model if a request depends on unknown ones."""

    def __init__(
        self,
        codec: OllamaCodec,
        connect: Connect,
        *,
        timeout: float | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        self._codec = codec
        self._http = HttpProvider(codec, connect, timeout=timeout, http_client=http_client)
        self._asked = False

    def __repr__(self) -> str:
        return f"<OllamaProvider {self.spec}>"

    @property
    def spec(self) -> ModelSpec:
        return self._http.spec

    async def complete(self, request: Request) -> Reply:
        await self._learn(request)
        return await self._http.complete(request)

    async def stream(self, request: Request) -> ReplyStream:
        await self._learn(request)
        async with Nested(self._http.stream(request)) as pieces:
            async for piece in pieces:
                yield piece

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        return self._codec.output_schema(schema, tools=tools)

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return self._codec.forces_tools(options)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def describe(self) -> ModelSpec:
        """Ask the server for the model's capabilities (https://docs.ollama.com/api/show) and keep them.

        Returns:
            The spec with these capabilities, or unchanged if the server does not tell.
        """
        shown = parse_json(await self._http.post("api/show", {"model": self.spec.id}))
        able = shown.get("capabilities") if isinstance(shown, dict) else None
        if isinstance(able, list):
            spec = evolve(self.spec, tools="tools" in able, thinking="thinking" in able, vision="vision" in able)
            self._http.codec = evolve(self._codec, spec=spec)
        return self.spec

    async def _learn(self, request: Request) -> None:
        """Ask the server once, and only for a request that a model with unknown capabilities might refuse."""
        pictures = any(_images(message) for message in request.messages)
        unknown = (pictures and self.spec.vision is None) or (
            "thinking" in request.options and self.spec.thinking is None
        )
        if unknown and not self._asked:
            with suppress(ProviderError, ValueError):  # the request itself will raise what is wrong
                await self.describe()
            self._asked = True
        if pictures and self.spec.vision is False:
            raise InvalidImageError(f"{self.spec} cannot see images; use a model with vision")


def _is_prompt(request: Request) -> bool:
    """Return whether a request is one prompt, perhaps with a system message, as `/api/generate` accepts."""
    roles = [message["role"] for message in request.messages]
    return request.kind == "generate" and not request.tools and roles in (["user"], ["system", "user"])


def _prompt(messages: Sequence[Message]) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": text_of(messages[-1])}
    system, _ = split_system(messages)
    if system is not None:
        body["system"] = system
    images = _images(messages[-1])
    return {**body, "images": images} if images else body


def _messages(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    for message in messages:
        role = message["role"]
        if role == "assistant" and is_empty(message):
            continue
        encoded: dict[str, Any] = {"role": role, "content": text_of(message)}
        images = _images(message)
        if images:
            encoded["images"] = images
        if role == "tool" and message.get("name"):
            encoded["tool_name"] = message["name"]
        calls = message.get("tool_calls")
        if calls:
            encoded["tool_calls"] = [
                {
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": arguments_object(call["function"]["arguments"]),
                    }
                }
                for call in calls
            ]
            if message.get("thinking") and message.get(_KEY):  # this host has sent it
                encoded["thinking"] = message["thinking"]
        yield encoded


def _images(message: Mapping[str, Any]) -> list[str]:
    images: list[str] = []
    for part in content_of(message):
        if part["type"] != "image_url":
            continue
        split = split_data_url(url_of(part))
        if split is None:
            raise InvalidImageError("Ollama does not fetch images; give a path or bytes instead of a URL")
        images.append(split[1])
    return images
