"""A chat completions server that misbehaves on request, and remembers what it was sent.

    python benchmarks/tried/server.py     # prints its port, serves until its standard input ends

The first segment of a URL's path says how it behaves: `/ok/v1` well, `/cut/v1` ends streams in the middle without any
sign of it in HTTP, `/moved/v1` redirects to the same server under another host name. `GET /seen` gives the requests
since the last time, each with its host, its key and its messages.

As a model, it calls all tools that it is given at once if the last message is "Use your tools.", else it says "Fine.".
As services do, it refuses a history in which a call has no result.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

PART, WHOLE, USE = "The answer is 4", "Fine.", "Use your tools."
_AROUND = {"id": "chatcmpl-1", "created": 1700000000, "model": "250"}
_USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
_REFUSED = "an assistant message with 'tool_calls' must be followed by a tool message for each call"


class Server:
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                writer.write(self.answer(head[0].split(" ")[1], fields, json.loads(body or "{}")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, path: str, fields: dict[str, str], request: dict[str, Any]) -> bytes:
        manner, _, rest = path.strip("/").partition("/")
        if manner == "seen":
            seen, self.seen = self.seen, []
            return _response("200 OK", "application/json", json.dumps(seen))
        host, messages = fields.get("host", ""), request.get("messages", [])
        if manner == "moved":
            there = f"http://localhost:{host.rpartition(':')[2]}/ok/{rest}"
            return _response("307 Temporary Redirect", "text/plain", "", f"location: {there}\r\n")
        self.seen.append({"host": host, "key": fields.get("authorization"), "messages": messages})
        if _unanswered(messages):
            error = {"error": {"message": _REFUSED, "type": "invalid_request_error"}}
            return _response("400 Bad Request", "application/json", json.dumps(error))
        message, finish = _reply(request)
        if not request.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
            whole = {**_AROUND, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
            return _response("200 OK", "application/json", json.dumps(whole))
        if manner == "cut":
            deltas = [_delta({"role": "assistant", "content": ""}), _delta({"content": PART})]
        else:
            deltas = [_delta({"role": "assistant"}), _delta(message), _delta({}, finish), "[DONE]"]
        return _response("200 OK", "text/event-stream", "".join(f"data: {delta}\n\n" for delta in deltas))


def _response(status: str, kind: str, text: str, more: str = "") -> bytes:
    body = text.encode()
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


def _delta(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({**_AROUND, "object": "chat.completion.chunk", "choices": [choice]})


def _reply(request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The message of the model and its finish reason."""
    last, tools = request["messages"][-1], request.get("tools") or []
    if not tools or last["role"] == "tool" or USE not in json.dumps(last["content"]):
        return {"content": WHOLE}, "stop"
    calls = [
        {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for index, name in enumerate(tool["function"]["name"] for tool in tools)
    ]
    return {"content": None, "tool_calls": calls}, "tool_calls"


def _unanswered(messages: list[dict[str, Any]]) -> bool:
    """Whether a call lacks its result directly after it."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return True
        open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
    return bool(open_calls)


async def _main() -> None:
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
