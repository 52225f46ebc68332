"""The page of docs/examples/chat_web in a real browser; test_chat_web.py has what lies beneath it."""

import os

import pytest

from tests.examples.chats import CHAT, PATIENCE, Model, served, stopped

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=os.environ["AIMU_CHROMIUM"], args=["--no-sandbox"])


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def page(browser, model):
    """The page, which must report no error and ask nobody else for anything."""
    faults = []
    with served(model) as url, browser.new_context(base_url=url) as context:
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith((url, "data:")) or faults.append(request.url))
        page.goto("/")
        yield page
        assert not faults


def ask(page, question):
    page.get_by_label("Message").fill(question)
    page.keyboard.press("Enter")


def seen(page, text):
    page.get_by_text(text, exact=True).locator("visible=true").first.wait_for()


def send_button(page, name):
    """Wait for the button to have this name."""
    button = page.get_by_role("button", name=name, exact=True)
    button.wait_for()
    return button


def test_an_answer_appears_as_text_whatever_the_model_writes(page):
    ask(page, "red")
    seen(page, "You said <b>red</b>.")
    assert page.locator(".answer b").count() == 0


def test_tool_calls_and_thinking_are_folded_and_open_on_a_click(page, monkeypatch):
    monkeypatch.setattr(CHAT, "PAUSE", 0.0)
    ask(page, "weather")
    seen(page, "It is sunny, 21 C.")
    summary = page.get_by_text("get_weather ✓")
    assert not page.get_by_text("→ sunny, 21 C").is_visible()
    summary.click()
    assert page.get_by_text("→ sunny, 21 C").is_visible()
    assert page.get_by_text('{"city":"Oslo"}').is_visible()
    page.get_by_text("Thinking").click()
    assert page.get_by_text("I look outside.").is_visible()


def test_the_stop_button_stops_the_run_and_the_conversation_goes_on(page, model):
    ask(page, "slow")
    page.get_by_text("word word").wait_for()
    send_button(page, "Stop").click()
    seen(page, "Stopped.")
    stopped(model)
    send_button(page, "Send")
    ask(page, "red")
    seen(page, "You said <b>red</b>.")


def test_a_stopped_tool_call_is_marked(page, monkeypatch):
    monkeypatch.setattr(CHAT, "PAUSE", 3600.0)
    ask(page, "weather")
    seen(page, "get_weather …")
    send_button(page, "Stop").click()
    seen(page, "get_weather ✗")


def test_closing_the_page_stops_the_run(page, model):
    ask(page, "slow")
    page.get_by_text("word word").wait_for()
    assert model.provider.open_streams == 1
    page.close()
    stopped(model)


def test_another_conversation_can_be_asked_while_the_first_still_streams(page):
    ask(page, "slow")
    page.get_by_text("word word").wait_for()
    page.get_by_role("button", name="+ New chat").click()
    assert not page.get_by_text("word word").is_visible()
    ask(page, "red")
    seen(page, "You said <b>red</b>.")
    page.get_by_role("button", name="slow").click()
    assert page.get_by_text("word word").is_visible()
    send_button(page, "Stop").click()
    seen(page, "Stopped.")


def test_a_reload_shows_the_conversations_as_they_were(page, monkeypatch):
    monkeypatch.setattr(CHAT, "PAUSE", 0.0)
    ask(page, "weather")
    seen(page, "It is sunny, 21 C.")
    ask(page, "slow")
    page.get_by_text("word word").wait_for()
    send_button(page, "Stop").click()
    seen(page, "Stopped.")
    parts = ".chat > *"
    before = page.locator(parts).all_inner_texts()
    page.reload()
    seen(page, "Stopped.")
    after = page.locator(parts).all_inner_texts()
    assert [text.partition("word")[0] for text in after] == [text.partition("word")[0] for text in before]


def test_a_failure_of_the_model_is_shown(page):
    ask(page, "broken")
    page.locator(".error").get_by_text("the key is not valid").wait_for()
    send_button(page, "Send")


def test_shift_enter_begins_a_line_and_an_empty_question_is_not_sent(page, model):
    page.get_by_label("Message").fill("  ")
    page.keyboard.press("Enter")
    page.get_by_label("Message").fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    page.locator(".answer").get_by_text("You said").wait_for()
    assert model.provider.requests[0].messages[-1]["content"] == "one\ntwo"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_and_follows_the_answer(page, width):
    page.set_viewport_size({**PHONE, "width": width})
    ask(page, "long " * 200)
    page.get_by_text("You said").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#form").bounding_box()["y"] < PHONE["height"]
    assert page.evaluate(
        "(at => at.scrollHeight - at.scrollTop - at.clientHeight < 2)(document.getElementById('chats'))"
    )
