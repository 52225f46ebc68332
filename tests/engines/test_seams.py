"""The rest of a text encodes to the tokens that it has within the whole, with every kind of tokenizer."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from aimu.engines._seams import Seams
from aimu.testing import tiny_model

PIECES = ["<unk>", "▁", *"ab\n", "▁a", "▁b", "ab", "▁▁", "▁ab", "aa", "aab"]
MERGES = [("▁", "a"), ("▁", "b"), ("a", "b"), ("▁", "▁"), ("▁", "ab"), ("a", "a"), ("a", "ab")]


def pieces(pre_tokenizer=None, normalizer=None, **strip):
    """A tokenizer of sentencepiece's kind, with two added tokens."""
    made = Tokenizer(models.BPE({piece: n for n, piece in enumerate(PIECES)}, MERGES, unk_token="<unk>"))
    made.add_special_tokens([AddedToken("<|a|>", special=True, normalized=False, **strip)])
    made.add_tokens([AddedToken("<b>", normalized=False)])
    if pre_tokenizer:
        made.pre_tokenizer = pre_tokenizer
    if normalizer:
        made.normalizer = normalizer
    made.decoder = decoders.Metaspace()
    return made


def byte_level():
    made = Tokenizer.from_file(str(Path(tiny_model()) / "tokenizer.json"))
    assert json.loads(made.to_str())["decoder"]["type"] == "ByteLevel"
    made.add_special_tokens([AddedToken("<|a|>", special=True, normalized=False)])
    made.add_tokens([AddedToken("<b>", normalized=False)])
    return made


LEGACY = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
TOKENIZERS = {
    "bytes": byte_level(),
    "a blank before each part": pieces(pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
    "a blank before the text": pieces(pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "no blank": pieces(pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    "a blank by the normalizer": pieces(normalizer=LEGACY),
    "a token that takes the blanks behind it": pieces(pre_tokenizers.Metaspace(split=False), rstrip=True),
    "a token that takes the blanks before it": pieces(pre_tokenizers.Metaspace(split=False), lstrip=True),
}
TEXTS = st.lists(st.sampled_from(["a", "b", " ", "\n", "<|a|>", "<b>"]), min_size=1, max_size=8).map("".join)


def seams(made):
    def encode(text):
        return made.encode(text, add_special_tokens=False).ids

    added = {token: str(one) for token, one in made.get_added_tokens_decoder().items()}
    return encode, Seams(encode, lambda token: made.decode([token], skip_special_tokens=False), added.__contains__)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=2 * settings().max_examples)
@given(start=TEXTS, rest=TEXTS)
def test_the_rest_has_the_tokens_of_the_whole_text_or_is_not_told(name, start, rest):
    encode, cut = seams(TOKENIZERS[name])
    known = encode(start)
    if known and (ids := cut.encode_rest(rest, known[-1])) is not None:
        assert [*known, *ids] == encode(start + rest)


TOLD = {"bytes", "a blank before each part", "no blank", "a blank by the normalizer"}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_text_can_be_cut_at_a_mark_but_not_within_words(name):
    encode, cut = seams(TOKENIZERS[name])
    assert (cut.encode_rest("ab", encode("a<|a|>")[-1]) is not None) == (name in TOLD)
    assert cut.encode_rest("ab", encode("a")[-1]) is None
    assert (cut.encode_rest("<|a|>b", encode("a")[-1]) is not None) == (name in TOLD)
    assert cut.encode_rest("", encode("a")[-1]) == []
