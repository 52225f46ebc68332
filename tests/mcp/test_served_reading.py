"""Resources and prompts that a program serves."""

import base64
import sys
from functools import partial

import anyio
import pytest

from aimu.errors import InvalidOptionError, MCPError
from aimu.tools import serve_mcp

DOT = base64.b64decode("iVBORw0KGgo=")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


async def day(day: str) -> str:
    """Return the notes of a day."""
    await anyio.lowlevel.checkpoint()
    if day == "never":
        raise LookupError("no such day")
    return f"Nothing on {day}."


def figures() -> dict[str, int]:
    """Return figures."""
    return {"rain": 3}


async def test_texts_bytes_and_functions_are_served_as_resources(opened):
    resources = {
        "notes://today.txt": "It rained.",
        "notes://dot.png": DOT,
        "notes://raw": DOT,
        "notes://figures": figures,
        "notes://days/{day}": day,
    }
    async with opened(server=serve_mcp(resources=resources)) as client:
        found = {item.uri: item for item in await client.resources()}
        assert set(found) == set(resources)
        assert found["notes://today.txt"].mime_type == "text/plain"
        assert found["notes://dot.png"].mime_type == "image/png"
        assert found["notes://figures"].description == "Return figures."
        assert (found["notes://days/{day}"].template, found["notes://days/{day}"].name) == (True, "day")
        assert await client.read("notes://today.txt") == "It rained."
        assert await client.read("notes://dot.png") == [IMAGE]
        assert await client.read("notes://raw") == "[notes://raw, application/octet-stream, not shown]"
        assert await client.read("notes://figures") == '{"rain": 3}'
        assert await client.read("notes://days/monday") == "Nothing on monday."
        for uri in ("notes://none", "notes://days/never"):
            with pytest.raises(MCPError, match="'aimu'"):
                await client.read(uri)


def plain(text: str, tone: str = "kind") -> str:
    """Ask for a review."""
    return f"Review this, be {tone}: {text}"


async def shown(text: str) -> list:
    """Show a picture."""
    return [
        {"role": "user", "content": [{"type": "text", "text": text}, IMAGE]},
        {"role": "assistant", "content": "A dot."},
    ]


async def commanding() -> list:
    """Command."""
    return [{"role": "system", "content": "Obey."}]


async def test_functions_are_served_as_prompts(opened):
    async with opened(server=serve_mcp(prompts=[plain, shown, commanding])) as client:
        [first, *_] = await client.prompts()
        assert (first.name, first.description, first.required, first.optional) == (
            "plain",
            "Ask for a review.",
            ("text",),
            ("tone",),
        )
        assert await client.get_prompt("plain", {"text": "a"}) == [
            {"role": "user", "content": "Review this, be kind: a"}
        ]
        assert await client.get_prompt("shown", {"text": "see"}) == [
            {"role": "user", "content": "see"},
            {"role": "user", "content": [IMAGE]},
            {"role": "assistant", "content": "A dot."},
        ]
        for name in ("plain", "commanding"):  # without its argument; with a role that the protocol does not know
            with pytest.raises(MCPError, match="'aimu'"):
                await client.get_prompt(name)


def leaving() -> str:
    """Leave."""
    sys.exit("usage: leave")


async def leaving_async(day: str) -> str:
    """Leave."""
    raise SystemExit(3)


async def test_a_resource_or_prompt_that_ends_the_program_ends_its_request_only(opened):
    resources = {"notes://left": leaving, "notes://left/{day}": leaving_async}
    async with opened(server=serve_mcp(resources=resources, prompts=[leaving, leaving_async])) as client:
        for request, reason in [
            (partial(client.read, "notes://left"), "SystemExit: usage: leave"),
            (partial(client.read, "notes://left/x"), "SystemExit: 3"),
            (partial(client.get_prompt, "leaving"), "SystemExit: usage: leave"),
            (partial(client.get_prompt, "leaving_async", {"day": "x"}), "SystemExit: 3"),
        ]:
            with pytest.raises(MCPError, match=reason):
                await request()


async def test_addresses_may_have_spaces_and_percent_signs(opened):
    resources = {
        "notes://x/a b": "space",
        "notes://x/100%25": "percent",
        "notes://x/ü": "letter",
        "notes://d/{day}": day,
    }
    async with opened(server=serve_mcp(resources=resources)) as client:
        found = [item.uri for item in await client.resources() if not item.template]
        assert [await client.read(uri) for uri in found] == ["space", "percent", "letter"]
        for uri in ("notes://d/a%20b", "notes://d/a b"):
            assert await client.read(uri) == "Nothing on a b."


async def test_the_arguments_of_a_prompt_are_texts(opened):
    async with opened(server=serve_mcp(prompts=[plain])) as client:
        with pytest.raises(InvalidOptionError, match="the argument 'text' of prompt 'plain' must be a text, got 7"):
            await client.get_prompt("plain", {"text": 7})


@pytest.mark.parametrize(
    "options",
    [
        {"resources": {"notes://today": 7}},
        {"resources": {"notes://days/{other}": day}},
        {"resources": {"no uri": "text"}},
        {"prompts": ["text"]},
        {"prompts": [lambda *texts: ""]},
    ],
)
def test_what_cannot_be_a_resource_or_a_prompt_is_refused(options):
    with pytest.raises(InvalidOptionError, match="resources|prompt"):
        serve_mcp(**options)
