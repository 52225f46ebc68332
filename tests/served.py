"""A model service on loopback that gives prepared answers, one per request, over a real socket."""

import json
import socket
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aimu import aio
from tests.holding import in_a_thread

MODELS = {
    "chat": "vllm:m",
    "openai": "openai:gpt-4.1",
    "responses": "openai:gpt-5.2",
    "anthropic": "anthropic:claude-sonnet-4-5",
    "ollama": "ollama:m",
}


def sse(*events, done=False):
    """A streamed body in the form of OpenAI and Anthropic."""
    texts = [json.dumps(event) for event in events] + ["[DONE]"] * done
    return "".join(f"data: {text}\n\n" for text in texts)


def lines(*events):
    """A streamed body in Ollama's form."""
    return "".join(json.dumps(event) + "\n" for event in events)


def chat_stream(*deltas, finish="stop", **more):
    """A streamed answer in chat completions; a str is a delta of text."""
    events = [{"choices": [{"index": 0, "delta": {"content": d} if isinstance(d, str) else d}]} for d in deltas]
    return sse(*events, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **more}, done=True)


def chat_whole(content=None, finish="stop", **message):
    return {"choices": [{"index": 0, "message": {"content": content, **message}, "finish_reason": finish}]}


class Service:
    """The answers that are left, and the requests and connections so far; the last answer is repeated."""

    def __init__(self, answers, piece):
        self.answers, self.piece, self.requests, self.connections = list(answers), piece, [], set()
        self.open = set()

    def close(self):
        """Close the connections that are open."""
        for connection in tuple(self.open):
            connection.shutdown(socket.SHUT_RDWR)

    def next(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return text.encode("utf8", "surrogatepass")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small write waits for an acknowledgement, of up to 40 ms

    def do_POST(self):
        service = self.server.service
        service.connections.add(self.client_address)
        service.open.add(self.connection)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = b"{}" if self.path.endswith("/api/show") else service.next(body)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        step = service.piece or len(answer) or 1
        for at in range(0, len(answer), step):
            piece = answer[at : at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def finish(self):
        self.server.service.open.discard(self.connection)
        super().finish()

    def log_message(self, *args):
        pass


@contextmanager
def served(*answers, piece=0, tls=None):
    """`(service, base URL without a path)`; `piece` is the size of the pieces of a body in bytes, 0 for one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    server.handle_error = lambda request, address: None  # a client may leave
    server.service = Service(answers, piece)
    with in_a_thread(server):
        yield server.service, f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"


def options(api, url):
    """The model and the options of a client for a wire format."""
    given = {"base_url": url if api in ("anthropic", "ollama") else f"{url}/v1", "max_retries": 0}
    if api != "ollama":
        given["api_key"] = "k" * 20
    if api == "responses":
        given["api"] = "responses"
    return MODELS[api], given


@asynccontextmanager
async def asking(api, *answers, piece=0):
    """`(client, service)`."""
    with served(*answers, piece=piece) as (service, url):
        model, given = options(api, url)
        async with aio.client(model, **given) as client:
            yield client, service


async def streamed(runner, task="Go."):
    """`(text, thinking, done)` of a run as its chunks show them."""
    shown = {"generating": [], "thinking": [], "done": []}
    run = runner.chat if hasattr(runner, "chat") else runner.run
    async with await run(task, stream=True) as stream:
        async for chunk in stream:
            shown.setdefault(str(chunk.phase), []).append(chunk.content)
    (done,) = shown["done"]
    assert stream.result == done
    return "".join(shown["generating"]), "".join(shown["thinking"]), done
