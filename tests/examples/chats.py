"""The chat of docs/examples/chat_web on a port of this machine, with a scripted model that waits for the test."""

import threading
from contextlib import contextmanager

import anyio
import uvicorn

from aimu import aio
from aimu.errors import AuthenticationError
from aimu.testing import ScriptedProvider, reply
from tests.examples import programs
from tests.holding import PATIENCE, join, wait_in_thread

CHAT = programs.load("chat_web/app.py")


class Model:
    """Answers by the last message: "slow" streams for hours, "flood" megabytes, "weather" calls the slow tool.

    "broken" is refused, and the rest is an echo.
    """

    def __init__(self):
        self.provider = ScriptedProvider(self.answer, repeat=True)

    @staticmethod
    def answer(request):
        last = request.messages[-1]
        if last["role"] == "tool":
            return f"It is {last['content']}."
        if last["content"] in ("slow", "flood"):
            return reply("word " * 500_000, delay=0.05 if last["content"] == "slow" else 0.0)
        if last["content"] == "broken":
            return AuthenticationError("the key is not valid", provider="scripted", status=401)
        if last["content"] == "weather":
            return reply(thinking="I look outside.", calls=[("get_weather", {"city": "Oslo"})])
        return f"You said <b>{last['content']}</b>."


@contextmanager
def served(model):
    """The address of the chat."""
    config = uvicorn.Config(CHAT.make_app(aio.client(model.provider)), port=0, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=anyio.run, args=[server.serve])
    thread.start()
    try:
        wait_in_thread(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        join([thread])


def stopped(model):
    """Wait until no stream of the model is open."""
    wait_in_thread(lambda: model.provider.open_streams == 0)


__all__ = ["CHAT", "PATIENCE", "Model", "served", "stopped"]
