"""A chat in the browser, with several conversations: it streams, shows tool calls, and has a stop button.

    pip install '.[hf]' starlette uvicorn
    python docs/examples/chat_web/app.py        # then open http://127.0.0.1:8000

The model that comes with aimu answers, so no key is needed. It knows the two tools below and little else: ask "What is
17 plus 25?" or "What is the weather in Oslo?". `page.html` is the page; it needs no build step and no library.

For your own: pass another model to `make_app` (see the last lines), change `tools` and the system message, and keep
`agent.history` in a database instead of `agents` in memory. There is no login: put yours in front before others can
reach the port. In FastAPI only the routes look different. Runs on asyncio.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import aimu
from aimu import aio
from aimu.errors import AimuError
from aimu.testing import tiny_model
from aimu.tools import tool

PAGE = Path(__file__).with_name("page.html")
LONGEST = 100_000  # bytes of a question
PAUSE = 2.0  # s; of a slow service, so that there is time to press Stop


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def get_weather(city: str) -> str:
    """Get the weather in a city."""
    await anyio.sleep(PAUSE)
    return "sunny, 21 C"


async def events(agent: aio.Agent, question: str) -> AsyncGenerator[str]:
    """Run the agent, and yield each chunk as a server-sent event.

    The server closes this generator when the browser goes, which cancels the run.
    """
    async with aclosing(agent.run(question, stream=True)) as stream:  # a generator holds no `async with stream`
        try:
            async for chunk in stream:
                yield event(chunk.phase, chunk.content)
        except AimuError as error:  # such as a conversation that is busy in another window
            yield event("error", str(error))


def event(phase: str, content: object) -> str:
    return f"data: {json.dumps({'phase': str(phase), 'content': content})}\n\n"


async def question_of(request: Request) -> str:
    """Return the body as text, if it is one that can be asked."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            raise HTTPException(413, f"The question is too long; {LONGEST} bytes are allowed.")
    try:
        question = body.decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, "The question is not text in UTF-8.") from error
    if not question.strip():
        raise HTTPException(400, "The question is empty.")
    return question


def make_app(client: aio.AsyncBaseModelClient) -> Starlette:
    """Return the application. All conversations share the connections of `client`."""
    agents: dict[str, aio.Agent] = {}  # one for each conversation, by its id
    titles: dict[str, str] = {}  # the first question of each

    def agent_of(request: Request) -> aio.Agent:
        if (agent := agents.get(request.path_params["chat"])) is None:
            raise HTTPException(404, "There is no such conversation. Was the server restarted?")
        return agent

    async def page(request: Request) -> Response:
        return FileResponse(PAGE)

    async def list_chats(request: Request) -> Response:
        return JSONResponse([{"id": chat, "title": title} for chat, title in titles.items()])

    async def new_chat(request: Request) -> Response:
        chat = uuid.uuid4().hex
        agents[chat] = aio.Agent(client, "You are a careful agent. Use tools.", tools=[add, get_weather])
        return JSONResponse({"id": chat})

    async def show_chat(request: Request) -> Response:
        return JSONResponse(agent_of(request).history)

    async def ask(request: Request) -> Response:
        question = await question_of(request)
        agent = agent_of(request)
        titles.setdefault(request.path_params["chat"], question[:60])
        return StreamingResponse(events(agent, question), media_type="text/event-stream")

    routes = [
        Route("/", page),
        Route("/chats", list_chats),
        Route("/chats", new_chat, methods=["POST"]),
        Route("/chats/{chat}", show_chat),
        Route("/chats/{chat}", ask, methods=["POST"]),
    ]
    only_here = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])  # yours, when you deploy
    return Starlette(routes=routes, middleware=[only_here])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat in the browser.")
    parser.add_argument("port", nargs="?", type=int, default=8000, metavar="PORT")
    port = parser.parse_args().port
    if not 0 <= port < 65536:
        parser.error(f"PORT must be between 0 and 65535, got {port}")
    with aimu.client(f"hf:{tiny_model()}") as weights:  # a real model needs no `with`:
        uvicorn.run(make_app(aio.client(weights)), port=port)  # make_app(aio.client("anthropic:claude-sonnet-4-6"))
