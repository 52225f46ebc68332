"""The rule of histories, the thinking splitter, images, chunks, usage and slots."""

import json
import os
import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from aimu._core.chunks import StreamChunk, StreamingContentType, phases
from aimu._core.images import MAX_BYTES, image_part, media_type, split_data_url, url_of
from aimu._core.messages import (
    assistant_message,
    check_history,
    content_of,
    copy_history,
    interrupted_message,
    system_message,
    tool_message,
    unanswered,
    user_message,
)
from aimu._core.reply import Reply, ToolCall, Usage
from aimu._core.slots import Slots
from aimu._core.thinking import ThinkSplitter, split_thinking
from aimu.errors import InvalidHistoryError, InvalidImageError, InvalidOptionError

TEXT = st.text(max_size=20)


@st.composite
def histories(draw):
    """What the builders make, in an order that a conversation has."""
    messages = [system_message(draw(TEXT))] if draw(st.booleans()) else []
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        messages.append(user_message(draw(TEXT)))
        for _ in range(draw(st.integers(0, 2))):
            calls = []
            for _ in range(draw(st.integers(0, 3))):
                number += 1
                calls.append(ToolCall(f"c{number}", "tool", draw(st.sampled_from(["{}", "", "not json"]))))
            messages.append(assistant_message(Reply(text=draw(TEXT), thinking=draw(TEXT), calls=tuple(calls))))
            for call in draw(st.permutations(calls)):
                kind = draw(st.integers(0, 2))
                messages.append(tool_message(call, draw(TEXT)) if kind == 0 else unanswered(call, started=kind == 1))
        if draw(st.booleans()) and (cut := interrupted_message(draw(TEXT), draw(TEXT))):
            messages.append(cut)
    return messages


@given(histories())
def test_what_the_builders_make_is_valid_and_survives_json(messages):
    check_history(messages)
    check_history(json.loads(json.dumps(messages)))
    copied = copy_history(messages)
    assert copied == messages
    assert all(one is not other for one, other in zip(copied, messages, strict=True))


@given(histories(), st.data())
def test_a_history_without_one_result_or_with_one_twice_is_refused(messages, data):
    results = [index for index, message in enumerate(messages) if message["role"] == "tool"]
    if not results:
        return
    index = data.draw(st.sampled_from(results))
    with pytest.raises(InvalidHistoryError):
        check_history(messages[:index] + messages[index + 1 :])
    with pytest.raises(InvalidHistoryError):
        check_history(messages[: index + 1] + messages[index:])


@given(histories(), st.data())
def test_a_history_cut_between_turns_is_valid(messages, data):
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if users:
        check_history(messages[: data.draw(st.sampled_from(users))])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("text", "not a dict"),
        ({"role": "robot", "content": ""}, "role 'robot'"),
        ({"role": "system", "content": "late"}, "only messages\\[0\\]"),
        ({"role": "user", "content": None}, "a string or a list"),
        ({"role": "user", "content": ["text"]}, "content part"),
        ({"role": "user", "content": [{"type": "text"}]}, "text part"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "image_url part"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": None}}]}, "image_url part"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": ""}]}, "image_url part"),
        ({"role": "tool", "content": "1", "tool_call_id": "x"}, "does not have"),
        ({"role": "assistant", "content": None, "tool_calls": {"x": 1}}, "not a list"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}, "without 'function'"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "without an 'id'"),
        ({"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {}}}]}, "JSON text"),
        (
            {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": ""}}]},
            "no tool message",
        ),
    ],
)
def test_a_bad_message_is_named_with_its_index(message, reason):
    with pytest.raises(InvalidHistoryError, match=reason) as caught:
        check_history([user_message("Hi"), message, user_message("Well?")])
    assert caught.value.index == 1


def test_the_content_of_a_message_is_a_list_of_parts_without_blank_texts():
    image = {"type": "image_url", "image_url": {"url": "https://box.test/a.png"}}
    text = {"type": "text", "text": "look"}
    assert content_of({"role": "user", "content": [text, {"type": "text", "text": " "}, image]}) == [text, image]
    assert content_of({"role": "user", "content": "look"}) == [text]
    assert content_of({"role": "assistant", "content": None}) == content_of({"role": "user", "content": "\n"}) == []
    assert url_of(image) == url_of({"image_url": "https://box.test/a.png"}) == "https://box.test/a.png"
    assert url_of(text) == url_of({"image_url": {"url": None}}) == ""


PIECES = st.lists(st.sampled_from(["<think>", "</think>", " ", "\n", "a", "<", "</th", "ink>", "b c"]), max_size=12)


@given(PIECES, st.data(), st.booleans())
def test_the_thinking_splitter_does_not_depend_on_the_cuts(pieces, data, opened):
    text = "".join(pieces)
    splitter, found = ThinkSplitter(thinking=opened), {"thinking": "", "generating": ""}
    rest = text
    deltas = []
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        deltas += splitter.feed(rest[:size])
        rest = rest[size:]
    for delta in [*deltas, *splitter.finish()]:
        assert delta.text
        found[delta.phase] += delta.text
    assert (found["thinking"], found["generating"]) == split_thinking(text, thinking=opened)


def test_thinking_is_recognised_at_the_start_only():
    assert split_thinking("<think>\nhm m\n</think>\n\nYes.") == ("hm m", "Yes.")
    assert split_thinking("The tag <think> is text.") == ("", "The tag <think> is text.")
    assert split_thinking("hm</think>Yes.", thinking=True) == ("hm", "Yes.")
    assert split_thinking("<think>for ever") == ("for ever", "")
    assert split_thinking("<thin") == ("", "<thin")
    assert split_thinking("<think>\n\n</think>\n\nYes.") == ("", "Yes.")


def test_text_is_shown_at_once():
    splitter = ThinkSplitter()
    assert [delta.text for delta in splitter.feed("Hel")] == ["Hel"]
    splitter = ThinkSplitter()
    assert [delta.text for delta in splitter.feed("<think>hm <")] == ["hm"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF0000WEBP", "image/webp"),
    ],
)
def test_images_are_recognised_by_their_first_bytes(content, kind, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert media_type(content) == kind
    part = image_part(str(path))
    assert part == image_part(content)
    assert split_data_url(part["image_url"]["url"])[0] == kind
    assert image_part(part) == part
    with pytest.raises(InvalidImageError, match="not int"):
        image_part(3)
    with pytest.raises(InvalidImageError, match="URL under"):
        image_part({"type": "image_url"})
    with pytest.raises(InvalidImageError, match="must contain an image, not 'text/plain'"):
        image_part("data:text/plain,hello")


def test_what_is_not_a_regular_file_is_no_image(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, "/dev/zero"):
        with pytest.raises(InvalidImageError, match="not a regular file"):
            image_part(path)
    for path in (tmp_path / "none", "a\0b", "x" * 100_000):
        with pytest.raises(InvalidImageError, match="cannot read the image") as caught:
            image_part(path)
        assert len(str(caught.value)) < 500


def test_a_file_is_read_up_to_the_size_that_an_image_may_have(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES * 1000)  # no block of it is on the disk
    with pytest.raises(InvalidImageError, match="not an image"):
        image_part(path)
    with path.open("r+b") as file:
        file.write(b"GIF89a")
    with pytest.raises(InvalidImageError, match="more than 67,108,864 bytes"):
        image_part(path)


def test_phases_of_include():
    assert phases(None) is None
    assert phases(["thinking", StreamingContentType.DONE]) == {"thinking", "done"}
    with pytest.raises(InvalidOptionError, match="'think'"):
        phases(["think"])
    chunk = StreamChunk(StreamingContentType.GENERATING, "x")
    assert chunk.is_text()
    assert not chunk.is_tool_call()
    assert f"{chunk.phase}" == "generating"


def test_unknown_usage_stays_unknown():
    assert Usage(input=1) + Usage(output=2) == Usage(input=1, output=2)
    assert (Usage() + Usage()).input is None


async def test_slots_are_given_in_order_and_a_cancelled_wait_holds_none():
    slots, order = Slots(1), []

    async def take(number, scope):
        with scope:
            async with slots:
                order.append(number)
                await checkpoint()

    await slots.acquire()
    scopes = [anyio.CancelScope() for _ in range(5)]
    async with anyio.create_task_group() as group:
        for number, scope in enumerate(scopes):
            group.start_soon(take, number, scope)
            await anyio.wait_all_tasks_blocked()
        assert slots.waiting == 5
        assert not slots.acquire_nowait()
        scopes[1].cancel()
        scopes[3].cancel()
        await anyio.wait_all_tasks_blocked()
        slots.release()
    assert order == [0, 2, 4]
    assert slots.free == 1
    assert slots.acquire_nowait()


async def test_a_wait_cancelled_while_the_slot_is_handed_over_loses_no_slot():
    slots = Slots(1)
    await slots.acquire()
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def first():
            with scope:
                async with slots:
                    await checkpoint()

        group.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        slots.release()
        scope.cancel()
    assert slots.free == 1


def test_slots_count_over_threads_loops_and_backends():
    slots, lock = Slots(2), threading.Lock()
    running = peak = done = 0

    async def work():
        nonlocal running, peak, done
        for _ in range(30):
            async with slots:
                with lock:
                    running += 1
                    peak = max(peak, running)
                await anyio.sleep(0.0002)
                with lock:
                    running -= 1
                    done += 1

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(work)

    threads = [
        threading.Thread(target=lambda name=name: anyio.run(main, backend=name)) for name in ("asyncio", "trio") * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (peak, done, slots.free, slots.waiting) == (2, 480, 2, 0)
