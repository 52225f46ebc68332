"""Images in every runner: batches, cancellation, the prefix cache, and what is refused, with words that say why."""

import io
import json
import shutil
import sys

import anyio
import pytest
from PIL import Image

import aimu
from aimu import aio
from aimu.agents import Agent, Chain
from aimu.engines import _pictures
from aimu.engines._huggingface import HuggingFaceEngine
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import BadRequestError, InvalidImageError, MissingExtraError
from aimu.models import ModelSpec
from aimu.testing import tiny_gguf, tiny_model
from aimu.tools import tool
from tests.engines.asking import ask, part, show, streamed, user
from tests.engines.vision_models import CAT, DOG, TALL, picture
from tests.holding import Hold, until

pytestmark = pytest.mark.engines

SHORT = {"max_tokens": 6, "temperature": 0}
BATCHED = ["qwen2_5_vl", "qwen3_vl", "idefics3", "llava", "internvl"]


def say(*parts):
    return ask(show(*parts), **SHORT)


@pytest.fixture
async def engine(seeing):
    """An engine that has seen its first image, with which it tries its model."""
    engine = seeing("qwen2_5_vl")
    if engine._model._vision is None:
        await engine.complete(say("Say", CAT, "once."))
        engine.prefix_cache.clear()
    return engine


@pytest.fixture
def decoded(monkeypatch):
    """The bytes of the images that were decoded."""
    contents, decode = [], _pictures.decoded

    def noted(content):
        contents.append(content)
        return decode(content)

    monkeypatch.setattr("aimu.engines._torch_vision.decoded", noted)
    return contents


@pytest.mark.parametrize("kind", BATCHED)
async def test_requests_with_images_share_forward_passes_with_requests_of_text(seeing, kind):
    asked = [
        say("What is this?", CAT),
        ask("Say hello.", **SHORT),
        say("Compare", DOG, "with", TALL, "now."),
        say("Hi"),
    ]
    alone = [(await seeing(kind).complete(request)).text for request in asked]
    batch = seeing(kind, batch=4)
    texts = {}

    async def answer(index, request):
        texts[index] = (await batch.complete(request)).text

    async with anyio.create_task_group() as group:
        for index, request in enumerate(asked):
            group.start_soon(answer, index, request)
    assert [texts[index] for index in range(4)] == alone


async def test_streamed_deltas_are_the_text_of_the_reply(engine):
    deltas, reply = await streamed(engine, say("What is this?", CAT))
    assert reply.text == (await engine.complete(say("What is this?", CAT))).text
    assert deltas


async def test_a_seed_gives_the_same_text_about_an_image(engine):
    options = {"max_tokens": 6, "seed": 3, "temperature": 1.0, "repeat_penalty": 1.3, "frequency_penalty": 0.5}
    texts = {(await engine.complete(ask(show("What is this?", CAT), **options))).text for _ in range(2)}
    assert len(texts) == 1
    assert texts != {(await engine.complete(say("What is this?", CAT))).text}


async def test_an_image_is_upright_and_in_rgb_whatever_its_file_says(engine):
    written, turned = io.BytesIO(), io.BytesIO()
    image = Image.open(io.BytesIO(TALL)).convert("L")
    image.save(written, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    for content in (written, turned):
        assert _pictures.decoded(content.getvalue()).tobytes() == image.convert("RGB").tobytes()
    palette = io.BytesIO()
    image.quantize(8).save(palette, "PNG", transparency=bytes(8))
    assert _pictures.decoded(palette.getvalue()).mode == "RGB"


async def test_the_template_of_older_models_stands_in_a_file_of_their_processor(folders, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(folders("llava"), folder)
    template = (folder / "chat_template.jinja").read_text("utf8")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    engine = HuggingFaceEngine(folder, threads=1)
    assert (await engine.complete(say("What is this?", CAT))).usage.output == 6
    engine.close()


async def test_an_image_in_a_reused_prefix_is_not_decoded_again(engine, decoded):
    first = show("What is in this picture?", picture(40))
    await engine.complete(ask(first, **SHORT))
    assert len(decoded) > 0
    decoded.clear()
    reply = await engine.complete(ask(first, **SHORT))
    assert decoded == []
    assert reply.usage.cache_read == reply.usage.input - 1
    engine.prefix_cache.clear()
    await engine.complete(ask(first, **SHORT))
    assert decoded == [picture(40)]


async def test_a_cancellation_takes_effect_between_two_images(engine, monkeypatch):
    seen, hold = [], Hold()
    vision = engine._model._vision
    process = vision._picture

    def held(content):
        seen.append(content)
        hold()
        return process(content)

    monkeypatch.setattr(vision, "_picture", held)
    async with anyio.create_task_group() as group:
        with hold:
            group.start_soon(engine.complete, say("a", CAT, "b", DOG, "c", TALL, "d"))
            await until(hold.reached.is_set)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await until(lambda: engine.worker._queue.running[0].stopped())
    assert seen == [CAT]
    monkeypatch.undo()
    assert (await engine.complete(say("Say", CAT, "once."))).usage.output == 6


async def test_a_cancelled_answer_about_an_image_leaves_states_that_the_next_request_reuses(engine):
    alone = await engine.complete(say("What is this?", CAT))
    engine.prefix_cache.clear()
    stream = engine.stream(ask(show("What is this?", CAT), max_tokens=400, temperature=0))
    await anext(stream)
    await stream.aclose()
    again = await engine.complete(say("What is this?", CAT))
    assert again.text == alone.text
    assert again.usage.cache_read == again.usage.input - 1
    assert all(entry.states.pictures is None for entry in engine.prefix_cache._entries)


async def test_the_picture_of_a_tool_is_shown_behind_its_result(engine, decoded):
    await engine.complete(ask(*looked(part(picture(41))), **SHORT))
    assert decoded == [picture(41)]


CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def looked(*parts):
    """A history in which a tool gave `parts`."""
    return [
        user("Look out of the window."),
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": "look", "content": [*parts]},
    ]


ELSEWHERE = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}


@pytest.mark.parametrize(
    ("bad", "why"), [(part(CAT[:300]), "cannot be decoded"), (ELSEWHERE, "does not fetch images")], ids=["cut", "URL"]
)
async def test_a_picture_of_a_tool_that_cannot_be_shown_becomes_a_text_that_says_so(engine, decoded, caplog, bad, why):
    request = ask(*looked(bad, part(picture(44))), **SHORT)
    assert (await engine.complete(request)).usage.output > 0
    assert decoded == [picture(44)]
    written = engine.prefix_cache._entries[-1].text
    assert why in written.partition("(a picture is left out: ")[2]
    assert "a picture of a tool is left out" in caplog.text
    assert request.messages[2]["content"][0] is bad


@pytest.mark.parametrize(("kind", "why"), [("hf", "the chat template shows no images"), ("llamacpp", "libmtmd")])
async def test_a_picture_of_a_tool_does_not_end_the_run_of_a_model_without_vision(opened, kind, why):
    engine = opened(kind)
    assert (await engine.complete(ask(*looked(part(CAT)), **SHORT))).usage.output > 0
    assert why in engine.prefix_cache._entries[-1].text


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [b"\x89PNG\r\n\x1a\n" + bytes(40), CAT[:200], b"%!PS-Adobe-3.0 EPSF-3.0\n"],
        ids=["no image", "cut off", "PostScript"],
    )
    async def test_an_image_that_cannot_be_decoded(self, engine, content):
        with pytest.raises(InvalidImageError, match="cannot be decoded"):
            await engine.complete(say("What is this?", content))
        assert (await engine.complete(say("Say hello."))).usage.output == 6

    async def test_data_in_no_format_is_told_without_an_address_in_memory(self, engine):
        with pytest.raises(InvalidImageError, match="cannot be decoded: its data is in no format that Pillow reads$"):
            await engine.complete(ask(show(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), **SHORT))

    async def test_an_image_of_too_many_pixels_is_never_decoded(self, engine, monkeypatch):
        monkeypatch.setattr(_pictures, "MAX_PIXELS", 56 * 56)
        assert (await engine.complete(say("What is this?", picture(42)))).usage.output == 6
        larger = say("What is this?", picture(1, 57, 56))
        monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
        with pytest.raises(InvalidImageError, match=r"57 x 56 pixels, more than 3,136; send a smaller one"):
            await engine.complete(larger)

    async def test_an_image_that_stands_elsewhere(self, engine):
        message = {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}],
        }
        with pytest.raises(InvalidImageError, match="does not fetch images; give a path or bytes"):
            await engine.complete(ask(message))

    async def test_the_mark_of_an_image_in_a_text_beside_an_image(self, engine):
        with pytest.raises(BadRequestError, match=r"2 times '<\|image_pad\|>'.* but 1 images; take it out of the text"):
            await engine.complete(say("What does <|image_pad|> mean?", CAT))

    async def test_the_token_of_a_feature_in_a_text_beside_an_image(self, seeing):
        with pytest.raises(BadRequestError, match=r"take '<image_soft_token>' out of it"):
            await seeing("gemma3").complete(say("What does <image_soft_token> mean?", CAT, "Say."))

    async def test_without_pillow(self, engine, monkeypatch):
        asked = say("What is this?", picture(43))
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(MissingExtraError, match="hf"):
            await engine.complete(asked)

    async def test_a_batch_of_a_model_with_windows(self, folders):
        with pytest.raises(aimu.errors.EngineError, match="sliding windows"):
            HuggingFaceEngine(folders("gemma3"), threads=1, batch=2)

    async def test_a_processor_that_lacks_a_package(self, engine, monkeypatch):
        def lacking():
            raise ImportError("\nPixtralProcessor requires the Torchvision library")

        monkeypatch.setattr(engine._model, "_vision", None)
        monkeypatch.setattr(engine._model, "_processor", lacking)
        for _ in range(2):
            with pytest.raises(InvalidImageError, match="cannot show images to Qwen.*requires the Torchvision library"):
                await engine.complete(say("What is this?", CAT))
        assert (await engine.complete(say("Say hello."))).usage.output == 6

    async def test_a_model_that_computes_other_results_in_steps(self, engine, monkeypatch):
        monkeypatch.setattr(engine._model, "_vision", None)
        monkeypatch.setattr("aimu.engines._torch_vision.Vision.positions", lambda *_: (None, 0))
        with pytest.raises(InvalidImageError, match="other results for an image behind known text"):
            await engine.complete(say("What is this?", CAT))

    async def test_a_model_that_keeps_images_apart_from_its_tokens(self, engine, monkeypatch):
        monkeypatch.setattr(engine._model, "_vision", None)
        monkeypatch.setattr(engine._model, "takes", engine._model.takes | {"cross_attention_mask"})
        with pytest.raises(InvalidImageError, match="does not take an image as tokens of its prompt"):
            await engine.complete(say("What is this?", CAT))

    async def test_a_prompt_that_ends_with_an_image(self, engine, monkeypatch):
        template = "{% for p in messages[0]['content'] %}{{ p['text'] or '<|image_pad|>' }}{% endfor %}"
        monkeypatch.setattr(engine._model.tokenizer, "chat_template", template)
        with pytest.raises(BadRequestError, match="ends with an image; put a text behind it"):
            await engine.complete(say("What is this?", CAT))

    async def test_a_text_model(self):
        engine = HuggingFaceEngine(tiny_model(), threads=1)
        with pytest.raises(InvalidImageError, match="the chat template shows no images"):
            await engine.complete(say("What is this?", CAT))
        assert engine.spec.vision is False
        engine.close()

    async def test_any_gguf_model(self):
        for vision in (None, True):
            spec = ModelSpec(str(tiny_gguf()), "llamacpp", vision=vision)
            client = aio.client(LlamaCppEngine(spec, threads=1))
            with pytest.raises(InvalidImageError, match=r"libmtmd.* not in the wheel.*'hf:"):
                await client.chat("What is this?", images=[CAT])
            assert client.messages == []
            with pytest.raises(InvalidImageError, match="libmtmd"):
                await client.provider.complete(say("What is this?", CAT))
            await client.aclose()


def test_vision_is_unknown_until_the_weights_are_loaded(folders):
    engine = HuggingFaceEngine(folders("llava"), threads=1, lazy=True)
    assert engine.spec.vision is None
    engine.load()
    assert engine.spec.vision is True
    engine.close()


@pytest.fixture
def client(engine):
    return aio.client(engine)


async def test_every_async_runner_shows_its_images(client, decoded):
    await client.chat("What is this?", SHORT, images=[picture(50)])
    await client.generate("What is this?", SHORT, images=[picture(51)])
    await aio.Agent(client.fork(), "agent").run("What is this?", SHORT, images=[picture(52)])
    async with aio.Agent(client.fork(), "agent").run("Look.", SHORT, images=[picture(53)], stream=True) as stream:
        async for _ in stream:
            pass
    chain = aio.Chain.from_client(client.fork(), ["Look.", "Go on."])
    await chain.run("What is this?", SHORT, images=[picture(54)])
    both = aio.Parallel.from_client(client.fork(), ["One.", "Two."])
    await both.run("What is this?", SHORT, images=[picture(55)])
    assert list(dict.fromkeys(decoded)) == [picture(seed) for seed in range(50, 56)]


async def test_a_conversation_keeps_its_images(client, engine):
    conversation = client.fork()
    await conversation.chat("What is this?", SHORT, images=[CAT])
    answer = await conversation.chat("And now?", SHORT)
    assert answer.usage.cache_read > 10
    tokens = engine.prefix_cache._entries[-1].ids
    assert any(token < 0 for token in tokens)


def test_every_sync_runner_shows_its_images(folders, decoded, tmp_path):
    (tmp_path / "seen.png").write_bytes(picture(60))

    @tool
    def look() -> str:
        """Look out of the window."""
        return "rain"

    with aimu.client(f"hf:{folders('llava')}", threads=1) as client:
        client.chat("What is this?", SHORT, images=[tmp_path / "seen.png"])
        client.generate("What is this?", SHORT, images=[picture(61)])
        Agent(client.fork(), "agent", tools=[look]).run("What is this?", SHORT, images=[picture(62)])
        Chain.from_client(client.fork(), ["Look.", "Go on."]).run("What is this?", SHORT, images=[picture(63)])
        for _ in client.fork().chat("What is this?", SHORT, images=[picture(64)], stream=True):
            pass
        with pytest.raises(InvalidImageError, match="cannot be decoded"):
            client.chat("What is this?", images=[CAT[:300]])
    assert list(dict.fromkeys(decoded))[:5] == [picture(seed) for seed in range(60, 65)]
