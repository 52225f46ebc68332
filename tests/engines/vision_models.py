"""Tiny models with vision, of random weights, in folders like those of the hub, with their processors.

Each family of processors has its own way to write an image in tokens, and to give it to the model.
"""

import io

import torch
import transformers
from attrs import field, frozen
from PIL import Image
from transformers import CONFIG_MAPPING
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from aimu.engines._torch_load import without_videos
from aimu.testing import tiny_model
from tests.engines.architectures import MULTIMODAL, TEXT, TOKENS, VISION

WORDS = 1024
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}MARK{%- elif part['type'] == 'text' -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
PARTS_ONLY = TEMPLATE.replace("{% if message['content'] is string -%}\n{{ message['content'] }}\n{%- else -%}\n", "")
PARTS_ONLY = PARTS_ONLY.replace("{%- endfor -%}\n{%- endif -%}\n<|im_end|>", "{%- endfor -%}\n<|im_end|>")
_CLIP = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}


@frozen(kw_only=True)
class Family:
    """How a family writes and computes images.

    `tokens` are added to the tokenizer, by the name of its attribute if the processor asks for one; `mark` stands for
    an image in the template, and `token` for each of its features in the prompt.
    """

    processor: str
    images: object
    tokens: dict
    mark: str
    token: str
    fields: dict
    options: dict = field(factory=dict)
    template: str = TEMPLATE


_QWEN = {
    "processor": "Qwen2VLProcessor",
    "images": Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 84 * 84}),
    "tokens": {
        "start": "<|vision_start|>",
        "end": "<|vision_end|>",
        "image": "<|image_pad|>",
        "video": "<|video_pad|>",
    },
    "mark": "<|vision_start|><|image_pad|><|vision_end|>",
    "token": "<|image_pad|>",
}
_QWEN_3 = _QWEN | {
    "processor": "Qwen3VLProcessor",
    "images": Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 84 * 84}, patch_size=14),
}
_IDEFICS = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
_IDEFICS += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
FAMILIES = {
    "qwen2_vl": Family(**_QWEN, fields=MULTIMODAL["qwen2_vl"]),
    "qwen2_5_vl": Family(**(_QWEN | {"processor": "Qwen2_5_VLProcessor"}), fields=MULTIMODAL["qwen2_5_vl"]),
    "qwen3_vl": Family(**_QWEN_3, fields=MULTIMODAL["qwen3_vl"]),
    "qwen3_5": Family(**_QWEN_3, fields=MULTIMODAL["qwen3_5"]),
    "idefics3": Family(
        processor="Idefics3Processor",
        images=Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        tokens={"image": "<image>"} | {f"own{index}": token for index, token in enumerate(_IDEFICS)},
        mark="<image>",
        token="<image>",
        options={"image_seq_len": 1},
        template=PARTS_ONLY,
        fields={
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": {"model_type": "idefics3_vision", **VISION},
            "scale_factor": 2,
        },
    ),
    "llava": Family(
        processor="LlavaProcessor",
        images=CLIPImageProcessorPil(**_CLIP),
        tokens={"image": "<image>"},
        mark="<image>\n",
        token="<image>",
        options={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        template=PARTS_ONLY,
        fields=MULTIMODAL["llava"] | {"vision_feature_layer": -1},
    ),
    "llava_next": Family(
        processor="LlavaNextProcessor",
        images=LlavaNextImageProcessorPil(**_CLIP, image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]]),
        tokens={"image": "<image>"},
        mark="<image>\n",
        token="<image>",
        options={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        fields=MULTIMODAL["llava"]
        | {"vision_feature_layer": -1, "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]]},
    ),
    "gemma3": Family(
        processor="Gemma3Processor",
        images=Gemma3ImageProcessorPil(size={"height": 28, "width": 28}),
        tokens={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        mark="<start_of_image>",
        token="<image_soft_token>",
        options={"image_seq_length": 4},
        fields=MULTIMODAL["gemma3"] | {"tie_word_embeddings": False},
    ),
    "internvl": Family(
        processor="InternVLProcessor",
        images=GotOcr2ImageProcessorPil(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=3),
        tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        mark="<IMG_CONTEXT>\n",
        token="<IMG_CONTEXT>",
        options={"image_seq_length": 1},
        fields={
            "text_config": {"model_type": "qwen2", **TEXT},
            "vision_config": VISION | {"image_size": [28, 28], "patch_size": [14, 14]},
            "image_seq_length": 1,
        },
    ),
}


def write_model(kind, folder):
    """Write a model of random weights with its processor into `folder`; return the folder."""
    family = FAMILIES[kind]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model(), extra_special_tokens=family.tokens)
    tokenizer.chat_template = family.template.replace("MARK", family.mark)
    made = getattr(transformers, family.processor)
    processor = without_videos(made)(family.images, tokenizer, chat_template=tokenizer.chat_template, **family.options)
    processor.save_pretrained(folder)
    ids = dict(zip(family.tokens, map(tokenizer.convert_tokens_to_ids, family.tokens.values()), strict=True))
    token = tokenizer.convert_tokens_to_ids(family.token)
    fields = {**family.fields, "text_config": family.fields["text_config"] | {"vocab_size": WORDS}}
    config = CONFIG_MAPPING[kind](**fields, image_token_id=token)
    config.image_token_id = token
    for name in ("start", "end"):
        setattr(config, f"vision_{name}_token_id", ids.get(name))
    config.video_token_id = ids.get("video", WORDS - 1)
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(config).eval()
    for name, weights in model.named_parameters():  # as wide as those of the text: else all images look alike
        if "vis" in name or "projector" in name or "connector" in name:
            torch.nn.init.normal_(weights, std=0.3)
    model.generation_config = transformers.GenerationConfig(**TOKENS)
    model.save_pretrained(folder)
    return folder


def picture(seed, width=56, height=56, kind="PNG"):
    """Return the bytes of a picture of random colours."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
    written = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels.numpy().tobytes()).save(written, kind)
    return written.getvalue()


CAT, DOG, TALL = picture(1), picture(2), picture(3, 30, 84, "JPEG")
