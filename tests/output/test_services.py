"""Every type against a service on a real socket, whose requests are held to the published rules for strict schemas."""

import json

import pytest

from aimu.errors import InvalidOptionError
from tests.output.kinds import KINDS
from tests.output.rules import check_anthropic, check_openai
from tests.served import asking, chat_stream, chat_whole, sse

TOOL = "final_answer"


def whole(texts):
    """The text of a type that a service held to its schema writes: an object."""
    return next((text, value) for text, value in texts.items() if text.startswith("{"))


def pieces(text):
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def chat(text, *, stream, tool):
    call = {"id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": text}}
    if not stream:
        return chat_whole(None, "tool_calls", tool_calls=[call]) if tool else chat_whole(text)
    if not tool:
        return chat_stream(*pieces(text))
    begin = {"tool_calls": [{"index": 0, **call, "function": {"name": TOOL, "arguments": ""}}]}
    rest = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces(text)]
    return chat_stream(begin, *rest, finish="tool_calls")


def responses(text, *, stream, tool):
    call = {"type": "function_call", "id": "fc", "call_id": "call_1", "name": TOOL, "arguments": text}
    message = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    body = {"status": "completed", "output": [call if tool else message]}
    if not stream:
        return body
    kind = "function_call_arguments" if tool else "output_text"
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**call, "arguments": ""}}
    deltas = [{"type": f"response.{kind}.delta", "output_index": 0, "delta": piece} for piece in pieces(text)]
    return sse(*([added] if tool else []), *deltas, {"type": "response.completed", "response": body})


def anthropic(text, *, stream, tool):
    call = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
    reason = "tool_use" if tool else "end_turn"
    if not stream:
        block = {**call, "input": json.loads(text)} if tool else {"type": "text", "text": text}
        return {"content": [block], "stop_reason": reason, "model": "claude"}
    delta = ("input_json_delta", "partial_json") if tool else ("text_delta", "text")
    return sse(
        {"type": "message_start", "message": {"content": [], "model": "claude"}},
        {"type": "content_block_start", "index": 0, "content_block": call if tool else {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": delta[0], delta[1]: piece}}
            for piece in pieces(text)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}},
        {"type": "message_stop"},
    )


def ollama(text, *, stream, tool):
    function = {"name": TOOL, "arguments": json.loads(text)}
    message = (
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]} if tool else {"content": text}
    )
    last = {"message": message, "done": True, "done_reason": "stop", "model": "m"}
    if not stream or tool:
        return json.dumps(last) + "\n"
    said = [{"message": {"content": piece}, "done": False} for piece in pieces(text)]
    return "".join(json.dumps(line) + "\n" for line in [*said, {**last, "message": {"content": ""}}])


def check_request(api, body, *, tool):
    if tool:
        if api == "anthropic":
            assert [item["name"] for item in body["tools"]] == [TOOL]
            assert body["tool_choice"] == {"type": "any"}
        elif api == "ollama":
            assert [item["function"]["name"] for item in body["tools"]] == [TOOL]
        else:
            assert [item.get("name", item.get("function", {}).get("name")) for item in body["tools"]] == [TOOL]
            assert body["tool_choice"] == "required"
        return
    assert "tools" not in body
    if api == "openai":
        assert body["response_format"]["json_schema"]["strict"] is True
        check_openai(body["response_format"]["json_schema"]["schema"])
    elif api == "responses":
        assert body["text"]["format"]["strict"] is True
        check_openai(body["text"]["format"]["schema"])
    elif api == "anthropic":
        check_anthropic(body["output_config"]["format"]["schema"])
    else:
        assert body["format"]["type"] == "object"


WIRES = {"openai": chat, "responses": responses, "anthropic": anthropic, "ollama": ollama}
WITHOUT = {"openai": {"any", "dict", "dict of models"}, "ollama": set()}
WITHOUT["responses"] = WITHOUT["openai"]
WITHOUT["anthropic"] = WITHOUT["openai"] | {"recursive", "recursive union", "recursive attrs"}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("mode", ["auto", "tool", "prompt"])
@pytest.mark.parametrize("api", WIRES)
async def test_every_type(api, mode, stream):
    tooled = {name: mode == "tool" or (mode == "auto" and name in WITHOUT[api]) for name in KINDS}
    texts = {name: whole(KINDS[name][1]) for name in KINDS}
    answers = [WIRES[api](texts[name][0], stream=stream, tool=tooled[name]) for name in KINDS]
    async with asking(api, *answers) as (client, service):
        for name, (kind, _) in KINDS.items():
            text, value = texts[name]
            client.reset()
            if stream:
                partial = []
                async with client.chat("Go.", stream=True, output_type=kind, output_mode=mode) as chunks:
                    async for _ in chunks:
                        partial.append(chunks.partial)
                answer = chunks.result
                assert partial[-1] == json.loads(answer)
            else:
                answer = await client.chat("Go.", output_type=kind, output_mode=mode)
            assert answer.output == value, name
            assert json.loads(answer) == json.loads(text)
            assert client.messages[-1]["content"] == answer
            assert "tool_calls" not in client.messages[-1]
            if mode == "prompt":
                assert not service.requests[-1].keys() & {"tools", "response_format", "text", "output_config", "format"}
            else:
                check_request(api, service.requests[-1], tool=tooled[name])


@pytest.mark.parametrize("api", WIRES)
async def test_a_schema_is_sent_where_it_is_asked_for_or_the_call_says_that_there_is_none(api):
    strict = [name for name in KINDS if name not in WITHOUT[api]]
    texts = {name: whole(KINDS[name][1]) for name in KINDS}
    async with asking(api, *(WIRES[api](texts[name][0], stream=False, tool=False) for name in strict)) as found:
        client, service = found
        for name in strict:
            client.reset()
            answer = await client.chat("Go.", output_type=KINDS[name][0], output_mode="schema")
            assert answer.output == texts[name][1], name
            check_request(api, service.requests[-1], tool=False)
        client.reset()
        for name in WITHOUT[api]:
            with pytest.raises(InvalidOptionError, match="output_mode='schema' is not possible"):
                await client.chat("Go.", output_type=KINDS[name][0], output_mode="schema")
        assert (len(service.requests), client.messages) == (len(strict), [])
