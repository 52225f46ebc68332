"""A quick chat completions server on loopback, in a process of its own: for benchmarks, and for many agents at once.

    python tests/loopback.py        # prints its port, serves until its standard input ends

The first segment of a URL's path says what goes wrong: `/ok/v1` nothing, `/5/v1` five requests in a hundred (429, 500,
a reset connection, before or inside the answer), `/2ms/v1` nothing either, but the events of a stream come one by one,
two milliseconds apart. `/8calls/v1` asks for eight tool calls at once instead of one. What a model would say follows
from the question:

- with tools, and no tool result yet: a call of the first tool with `{"number": <the question>}`;
- streamed without tools: as many deltas as the model's name says ("500" is 500 deltas);
- else the last message, so that an answer shows whose question it belongs to.

Each event of a stream is one chunk of the body. Streams that are not paced are made once and sent whole: a server that
makes events while the client reads them slows down the client that is measured, and a quick one for longer.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SHARE = re.compile(r"ok|\d+(ms|calls)?")
STATUS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


@contextmanager
def loopback_server(program: Path = Path(__file__)) -> Iterator[str]:
    """The address of a server in its own process, without a path; another program prints its port as this one does."""
    command = [sys.executable, "-P", str(program.resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


class Connection(asyncio.Protocol):
    """One connection, kept alive; a request is answered when it is whole."""

    chance = random.Random(0)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].decode("latin1")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
            size = end + 4 + int(fields.get("content-length", 0))
            if len(self.held) < size:
                return
            body, self.held = self.held[end + 4 : size], self.held[size:]
            self.answer(head.split(" ", 2)[1], json.loads(body))

    def answer(self, path: str, request: dict[str, Any]) -> None:
        share = urlsplit(path).path.split("/")[1]  # a proxy is sent whole URLs
        stream = request.get("stream", False)
        if not SHARE.fullmatch(share):
            self.send(404, {"error": {"message": f"no such path: {path}", "type": "not_found_error"}})
            return
        if share.isdecimal() and self.chance.random() * 100 < float(share):
            fault = self.chance.choice(["429", "500", "reset", *([] if stream else ["cut"])])
            self.fail(fault, request)
            return
        if share.endswith("calls"):
            request["calls"] = int(share.removesuffix("calls"))
        if stream:
            pace = share.removesuffix("ms") if share.endswith("ms") else "0"
            self.stream(request, pause=int(pace) / 1000)
        else:
            self.send(200, completion(request))

    def send(self, status: int, body: dict[str, Any], *fields: str, upto: int | None = None) -> None:
        content = json.dumps(body).encode()
        lines = [
            f"HTTP/1.1 {status} {STATUS[status]}",
            "content-type: application/json",
            "x-request-id: req_1",
            *fields,
        ]
        head = "\r\n".join([*lines, f"content-length: {len(content)}", "", ""])
        self.transport.write(head.encode() + content[:upto])

    def fail(self, fault: str, request: dict[str, Any]) -> None:
        if fault == "429":
            self.send(429, {"error": {"message": "slow down", "type": "rate_limit_error"}}, "retry-after: 0")
        elif fault == "500":
            self.send(500, {"error": {"message": "try again", "type": "server_error"}}, "retry-after-ms: 5")
        else:
            if fault == "cut":
                self.send(200, completion(request), upto=100)
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def stream(self, request: dict[str, Any], *, pause: float) -> None:
        lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked", "", ""]
        self.transport.write("\r\n".join(lines).encode())
        pieces = chunks(json.dumps(request))
        if pause:
            self.write_next(iter(pieces), pause)
        else:
            self.transport.write(b"".join(pieces))

    def write_next(self, left: Iterator[bytes], pause: float) -> None:
        piece = next(left, None)
        if piece is not None and not self.transport.is_closing():
            self.transport.write(piece)
            asyncio.get_running_loop().call_later(pause, self.write_next, left, pause)


@cache
def chunks(request: str) -> list[bytes]:
    """The body of a streamed answer as HTTP sends it."""
    texts = (f"data: {event}\n\n" for event in events(json.loads(request)))
    return [*(f"{len(text):x}\r\n{text}\r\n".encode() for text in texts), b"0\r\n\r\n"]


def completion(request: dict[str, Any]) -> dict[str, Any]:
    message, finish = reply(request)
    choice = {"index": 0, "message": {"role": "assistant", "refusal": None, **message}, "logprobs": None}
    choices = [{**choice, "finish_reason": finish}]
    return {**envelope(request, "chat.completion"), "choices": choices, "usage": USAGE}


def reply(request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The message and its finish reason."""
    last = request["messages"][-1]
    if not request.get("tools") or last["role"] == "tool":
        return {"content": last["content"]}, "stop"
    name, arguments = request["tools"][0]["function"]["name"], json.dumps({"number": int(last["content"])})
    function = {"name": name, "arguments": arguments}
    calls = [
        {"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}
        for index in range(request.get("calls", 1))
    ]
    return {"content": None, "tool_calls": calls}, "tool_calls"


def events(request: dict[str, Any]) -> Iterator[str]:
    around = envelope(request, "chat.completion.chunk")

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return json.dumps({**around, "choices": [choice], "usage": None})

    message, finish = reply(request)
    yield event({"role": "assistant", "content": "", "refusal": None})
    for delta in [message] if request.get("tools") else [{"content": " word"}] * int(request["model"]):
        yield event(delta)
    yield event({}, finish)
    if (request.get("stream_options") or {}).get("include_usage"):
        yield json.dumps({**around, "choices": [], "usage": USAGE})
    yield "[DONE]"


def envelope(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1700000000,
        "model": request["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
