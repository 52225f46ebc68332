"""Media types of images: read from the bytes, sent in the service's words, converted or refused before the history."""

import base64
import io
import json
import sys
import types
from urllib.parse import quote

import pytest

import aimu
from aimu import aio
from aimu._core.images import image_part, media_type, split_data_url
from aimu.errors import InvalidImageError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Request
from aimu.tools import tool
from tests.raw_server import response, serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(48))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(60))
BMP = b"BM" + bytes(60)
SVG = b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"><path/></svg>'


def b64(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF87a" + bytes(20), "image/gif"),
        (b"RIFF0000WEBPVP8 ", "image/webp"),
        (BMP, "image/bmp"),
        (b"II*\0" + bytes(20), "image/tiff"),
        (b"MM\0*" + bytes(20), "image/tiff"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "image/heic"),
        (b"\0\0\0\x18ftypmif1" + bytes(20), "image/heif"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "image/avif"),
        (b"\0\0\1\0\1\0" + bytes(20), "image/vnd.microsoft.icon"),
        (b"%PDF-1.7\n", "application/pdf"),
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf  <svg>", "image/svg+xml"),
        (b"<html><body>no</body></html>", None),
        (b"\0\0\0\x18ftypmp42", None),
        (b"", None),
    ],
)
def test_a_format_is_known_by_its_bytes(content, kind):
    assert media_type(content) == kind


RIGHT = f"data:image/png;base64,{b64(PNG)}"
SPELLINGS = [
    RIGHT,
    f"data:image/PNG;BASE64,{b64(PNG)}",
    f"DATA:image/x-png;charset=utf-8;base64,{b64(PNG)}",
    f"data:image/jpg;name=a.jpg;base64,{b64(PNG)}",
    f"data:;base64,{b64(PNG)}",
    f"data:application/octet-stream;base64,{b64(PNG)}",
    f"data:image/png;base64,{b64(PNG).rstrip('=')}",
    f"data:image/png;base64,{base64.urlsafe_b64encode(PNG).decode()}",
    f"data:image/png;base64,{quote(b64(PNG), safe='')}",
    f"data:image/png;base64,{base64.encodebytes(PNG).decode()}",
    f"data:image/png,{quote(PNG)}",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_every_spelling_of_a_data_url_becomes_the_one_that_services_read(url):
    assert split_data_url(url) == ("image/png", b64(PNG))
    assert image_part(url)["image_url"]["url"] == RIGHT
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert image_part(part) == {"type": "image_url", "image_url": {"url": RIGHT, "detail": "low"}}


def test_a_declared_type_without_known_bytes_is_said_in_the_usual_word():
    assert split_data_url("data:image/jpg;base64,AAAA") == ("image/jpeg", "AAAA")
    assert image_part("HTTPS://x.test/a.png")["image_url"]["url"] == "HTTPS://x.test/a.png"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:text/plain,hello", "must contain an image, not 'text/plain'"),
        (f"data:image/png;base64,{b64(b'%PDF-1.7 ...')}", "not 'application/pdf'"),
        ("data:image/png;base64,@@@@", "is not base64"),
        ("data:image/png;base64,%41\ud800", "is not base64"),
        ("data:image/png,\ud800", "is not base64"),
        ("data:image/png", "must contain an image"),
    ],
)
def test_a_data_url_that_is_no_image_is_refused(url, reason):
    with pytest.raises(InvalidImageError, match=reason):
        image_part(url)


ANSWERS = {
    "anthropic": {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    "ollama": {"message": {"content": "hi"}, "done": True},
}
CHAT = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}


def answering(name):
    return lambda request: [response(json.dumps(ANSWERS.get(name, CHAT)).encode())]


@pytest.fixture
def without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
async def test_a_wrong_type_is_corrected_and_an_unaccepted_one_refused_before_the_history(name, without_pillow):
    spec = ModelSpec("m", name, vision=True)
    with serving(answering(name)) as served:
        async with aio.client(spec, base_url=served.url, api_key="k") as client:
            for image in (BMP, SVG, f"data:image/svg+xml;utf8,{SVG.decode()}", f"data:image/png;base64,{b64(BMP)}"):
                with pytest.raises(InvalidImageError, match=r"does not accept an image of type image/(bmp|svg\+xml)"):
                    await client.chat("look", images=[image])
            assert client.messages == []
            assert await client.chat("look", images=[f"data:image/jpg;x=y;BASE64,{b64(JPEG)}"]) == "hi"
            assert await client.chat("and?", images=[f"data:image/png;base64,{b64(JPEG)}"]) == "hi"
    assert len(served.requests) == 2
    sent = served.requests[1].decode()
    if name == "anthropic":
        assert sent.count('"media_type":"image/jpeg"') == 2
    elif name != "ollama":
        assert sent.count("data:image/jpeg;base64,") == 2
    assert "image/jpg" not in sent
    assert "image/png" not in sent


def test_a_sync_client_refuses_it_too(without_pillow):
    with aimu.client("openai:gpt-4o", base_url="http://127.0.0.1:9", api_key="k") as client:
        with pytest.raises(InvalidImageError, match="pip install pillow"):
            client.chat("look", images=[BMP])
        assert client.messages == []


class Picture(io.BytesIO):
    """As much of Pillow as the library uses."""

    def convert(self, mode):
        assert mode == "RGBA"
        return self

    def save(self, target, kind):
        assert kind == "PNG"
        target.write(PNG)


@pytest.fixture
def pillow(monkeypatch):
    def opened(stream):
        content = stream.read()
        if content != BMP:
            raise OSError("cannot identify image file")
        return Picture(content)

    package, image = types.ModuleType("PIL"), types.ModuleType("PIL.Image")
    image.open, package.Image = opened, image
    monkeypatch.setitem(sys.modules, "PIL", package)
    monkeypatch.setitem(sys.modules, "PIL.Image", image)


async def test_what_a_service_does_not_accept_is_converted_where_pillow_is_installed(pillow):
    with serving(answering("anthropic")) as served:
        async with aio.client("anthropic:m", base_url=served.url, api_key="k") as client:
            assert await client.chat("look", images=[BMP]) == "hi"
            assert client.messages[0]["content"][1]["image_url"]["url"] == RIGHT
            with pytest.raises(InvalidImageError, match="Pillow cannot"):
                await client.chat("look", images=[b"II*\0" + bytes(30)])
    assert f'"media_type":"image/png","data":"{b64(PNG)}"' in served.requests[0].decode()


@tool
def shot() -> list:
    """Take a picture."""
    return [{"type": "text", "text": "here"}, {"type": "image_url", "image_url": {"url": f"data:;base64,{b64(BMP)}"}}]


async def test_a_picture_of_a_tool_that_cannot_be_converted_becomes_a_text(without_pillow):
    call = {"id": "c1", "type": "function", "function": {"name": "shot", "arguments": "{}"}}
    asks = {"choices": [{"message": {"content": "", "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    answers = iter([asks, CHAT])
    with serving(lambda request: [response(json.dumps(next(answers)).encode())]) as served:
        async with aio.client("openai:m", base_url=served.url, api_key="k", tools=[shot]) as client:
            assert await client.chat("go") == "hi"
            assert client.messages[2]["content"][1]["type"] == "image_url"
    sent = json.loads(served.requests[1].partition(b"\r\n\r\n")[2])["messages"][-1]
    assert sent["role"] == "tool"
    assert "here(a picture is left out: openai:m does not accept an image of type image/bmp" in sent["content"]


async def test_a_loaded_history_is_sent_with_right_types_and_stays_as_it_is():
    part = {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{b64(JPEG)}"}}
    history = [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]
    with serving(answering("anthropic")) as served:
        provider = make_provider(ModelSpec("m", "anthropic"), base_url=served.url, api_key="k")
        assert (await provider.complete(Request(messages=history))).text == "hi"
        await provider.aclose()
    assert history[0]["content"][1] is part
    assert part["image_url"]["url"].startswith("data:image/jpg;")
    assert '"media_type":"image/jpeg"' in served.requests[0].decode()


def test_every_service_says_which_images_it_accepts():
    for row in TABLE.values():
        assert {"image/png", "image/jpeg"} <= {*row.images}
