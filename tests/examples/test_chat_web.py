"""docs/examples/chat_web: over real HTTP, as its page asks; test_chat_page.py does the same in a browser."""

import json
import subprocess
from contextlib import contextmanager

import httpx2
import pytest

from aimu.testing import leak_check
from tests.examples import programs
from tests.examples.chats import CHAT, PATIENCE, Model, served, stopped
from tests.holding import wait_in_thread
from tests.ports import accepting, free_port


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def http(model):
    with leak_check(), served(model) as url, httpx2.Client(base_url=url, timeout=PATIENCE) as http:
        yield http


def new_chat(http):
    return "/chats/" + http.post("/chats").json()["id"]


@contextmanager
def asked(http, chat, question):
    """An iterator of the events of one run."""
    with http.stream("POST", chat, content=question) as response:
        yield (json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line)


def answer(http, chat, question):
    with asked(http, chat, question) as events:
        return list(events)


def history(http, chat):
    return [message["content"] for message in http.get(chat).json()[1:]]


def test_the_page_is_served_and_loads_nothing_from_elsewhere(http):
    page = http.get("/").text
    assert page.startswith("<!doctype html>")
    assert "http" not in page.replace("http-equiv", "")


def test_an_answer_streams_with_its_tool_calls_and_its_thinking(http, monkeypatch):
    monkeypatch.setattr(CHAT, "PAUSE", 0.0)
    phases = [event["phase"] for event in answer(http, new_chat(http), "weather")]
    assert phases == ["thinking"] * 3 + ["tool_calling"] * 2 + ["generating"] * 5 + ["done"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"\xff\xfe", 400, "not text in UTF-8"),
        (b" \n", 400, "empty"),
        (b"x" * (CHAT.LONGEST + 1), 413, "too long; 100000 bytes"),
    ],
)
def test_a_body_that_is_no_question_is_refused_in_words(http, body, status, words):
    chat = new_chat(http)
    refused = http.post(chat, content=body)
    assert refused.status_code == status
    assert words in refused.text
    assert http.get("/chats").json() == []


def test_conversations_keep_their_own_histories_and_are_listed_by_their_first_question(http):
    one, other = new_chat(http), new_chat(http)
    assert http.get("/chats").json() == []
    assert answer(http, one, "red")[-1]["content"] == "You said <b>red</b>."
    answer(http, other, "blue")
    answer(http, one, "green")
    assert history(http, one) == ["red", "You said <b>red</b>.", "green", "You said <b>green</b>."]
    assert [chat["title"] for chat in http.get("/chats").json()] == ["red", "blue"]


@pytest.mark.parametrize("question", ["slow", "flood"])  # the second waits for its reader, so the server stops it there
def test_the_run_stops_when_the_browser_goes_while_the_model_writes(http, model, question):
    chat = new_chat(http)
    with asked(http, chat, question) as events:
        assert next(events)["content"] == "word "
    stopped(model)
    wait_in_thread(lambda: len(http.get(chat).json()) == 3)
    assert http.get(chat).json()[-1]["interrupted"]
    assert answer(http, chat, "red")[-1]["content"] == "You said <b>red</b>."


def test_the_run_stops_when_the_browser_goes_while_a_tool_runs(http, monkeypatch):
    monkeypatch.setattr(CHAT, "PAUSE", 3600.0)
    chat = new_chat(http)
    with asked(http, chat, "weather") as events:
        assert any(event["phase"] == "tool_calling" for event in events)
    wait_in_thread(lambda: http.get(chat).json()[1:])
    assert http.get(chat).json()[-1]["status"] == "cancelled"


def test_a_second_question_while_the_first_is_answered_is_refused_in_words(http):
    chat = new_chat(http)
    with asked(http, chat, "slow") as events:
        next(events)
        (refused,) = answer(http, chat, "red")
        assert refused["phase"] == "error"
        assert "busy" in refused["content"]
        assert next(events)["content"] == "word "


def test_other_conversations_go_on_while_one_streams(http):
    with asked(http, new_chat(http), "slow") as events:
        next(events)
        assert answer(http, new_chat(http), "red")[-1]["content"] == "You said <b>red</b>."


def test_an_unknown_conversation_and_a_foreign_host_are_refused(http):
    assert http.get("/chats/nobody").status_code == 404
    assert http.post("/chats/nobody", content="red").status_code == 404
    assert http.get("/", headers={"host": "example.org"}).status_code == 400


@pytest.mark.engines
def test_the_program_answers_with_the_embedded_model():
    port = free_port()
    with subprocess.Popen(programs.command("chat_web/app.py", port)) as program:
        try:
            accepting(program, port)
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as http:
                done = answer(http, new_chat(http), "What is 17 plus 25?")[-1]
                assert done == {"phase": "done", "content": "The answer is 42."}
        finally:
            program.terminate()
