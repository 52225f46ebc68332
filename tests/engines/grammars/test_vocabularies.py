"""The bytes of tokens: of each kind of tokenizer, of GGUF files, and how forced text is turned into tokens."""

import json
import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from aimu.engines import LlamaCppEngine
from aimu.engines._grammars.constraint import Compiler
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._torch_vocabulary import vocabulary_of
from tests.engines.gguf_kinds import CHATML, KINDS, pieces, random_gguf
from tests.engines.gguf_kinds import byte_level as byte_level_gguf
from tests.engines.grammars.following import allowed, followed

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
ANY_TEXT = json.dumps({"grammars": [{"lark_grammar": r'start: "\"" /(?s:[^"<]{0,40})/ "\""'}]})


def wrapped(tokenizer, *added):
    tokenizer.add_tokens([AddedToken(text, special=False) for text in added if not text.startswith("<s")])
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in added if text.startswith("<s")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def byte_level():
    vocabulary = {text: token for token, text in enumerate([*ALPHABET, "Ġa", "ab", "æĹ"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "a"), ("a", "b"), ("æ", "Ĺ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrapped(tokenizer, "<s>", "<call>", "<b>")


def sentencepiece(model):
    words = ["<unk>", *BYTES, "▁", "a", "b", '"', "▁a", "ab", "日"]
    if model == "unigram":
        tokenizer = Tokenizer(models.Unigram([(text, -1.0) for text in words], unk_id=0, byte_fallback=True))
    else:
        merges = [("▁", "a"), ("a", "b")]
        vocabulary = {text: token for token, text in enumerate(words)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return wrapped(tokenizer, "<s>", "<call>", "<b>")


def metaspace():
    words = ["<unk>", "▁", *map(chr, range(33, 127)), "▁a", "ab", "日"]
    tokenizer = Tokenizer(models.Unigram([(text, -1.0) for text in words], unk_id=0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return wrapped(tokenizer, "<s>", "<call>", "<b>")


TOKENIZERS = {
    "byte-level": byte_level,
    "unigram": lambda: sentencepiece("unigram"),
    "bpe with bytes": lambda: sentencepiece("bpe"),
    "metaspace": metaspace,
}


def read(tokenizer, size=None, ends=None):
    end = tokenizer.convert_tokens_to_ids("<s>")
    return vocabulary_of(tokenizer, [end] if ends is None else ends, size or len(tokenizer), lambda t: t == "<call>")


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def test_tokens_write_what_the_tokenizer_decodes(tokenizer):
    words = read(tokenizer)
    for text in ("a ab", "ab日a", "日本é" if len(words.tokens) > 200 else "abab"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert b"".join(words.tokens[token] for token in ids).decode().strip() == text
    first = tokenizer.convert_tokens_to_ids("a")
    for token, raw in enumerate(words.tokens):
        if token not in words.special and raw.isascii() and raw:
            decoded = tokenizer.decode([first, token], clean_up_tokenization_spaces=False)
            assert decoded == f"a{raw.decode()}", token


def test_marks_are_special_tokens_and_added_ones_that_mean_something(tokenizer):
    words = read(tokenizer)
    assert sorted(words.special.values()) == ["<call>", "<s>"]
    added = tokenizer.convert_tokens_to_ids("<b>")
    assert words.tokens[added] == b"<b>"
    call = tokenizer.convert_tokens_to_ids("<call>")
    assert words.marks_in("a<call>b<call>") == ["a", call, "b", call]
    assert words.marks_in("ab") == ["ab"]


def test_texts_follow_a_grammar_as_the_tokenizer_decodes_them(tokenizer):
    words = read(tokenizer)
    compiler = Compiler(words)
    rng, count = random.Random(1), 0
    for _ in range(20):
        constraint, ids = compiler.constraint(ANY_TEXT), []
        while not constraint.ended and len(ids) < 60:
            choices = allowed(constraint, words)
            assert not set(choices) & words.special.keys()
            ids.append(rng.choice(choices))
            constraint.accept(ids[-1])
        text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert text.startswith('"')
        assert "\N{REPLACEMENT CHARACTER}" not in text.rstrip("\N{REPLACEMENT CHARACTER}")
        if constraint.ended:
            count += 1
            assert text.endswith('"')
            assert len(text) <= 42
    assert count


def test_more_or_fewer_logits_than_tokens(tokenizer):
    words = read(tokenizer, len(tokenizer) + 9)
    assert words.tokens[len(tokenizer) :] == [b""] * 9
    constraint = Compiler(words).constraint(ANY_TEXT)
    assert max(allowed(constraint, words)) < len(tokenizer)
    fewer = read(tokenizer, len(tokenizer) - 2, ends=[3])
    assert len(fewer.tokens) == len(tokenizer) - 2
    assert all(token < len(fewer.tokens) for token in fewer.written_with(b"a<b>"))


def test_a_tokenizer_whose_tokens_depend_on_their_places_is_refused():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "<s>": 3}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(ValueError, match="decoder \\(WordPiece\\) joins tokens"):
        read(wrapped(tokenizer, "<s>"))
    tokenizer.decoder = decoders.CTC()
    with pytest.raises(ValueError, match="joins tokens"):
        read(wrapped(tokenizer, "<s>"))


def test_a_tokenizer_that_decodes_something_else_is_refused():
    tokenizer = byte_level()
    steps = [decoders.ByteLevel(), decoders.Replace("b", "B")]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(steps)
    with pytest.raises(ValueError, match="does not decode its token"):
        read(tokenizer)


def test_forced_text_is_written_with_the_models_own_tokens_if_they_are_right():
    tokens, ids = [b"a", b"b", b"ab", b"c"], {"ab": [0, 1], "abc": [9], "b": [1, 1]}
    words = Vocabulary(tokens=tokens, special={3: "c"}, ends=[3], encode=lambda text: ids.get(text, []))
    assert words.written_with(b"ab") == [0, 1]
    assert words.written_with(b"b") == [1]
    assert words.written_with(b"aab") == [0, 2]
    assert words.written_with(b"a\xff") == [0]
    assert words.written_with(b"c") == []


@pytest.mark.parametrize("kind", [byte_level_gguf, pieces], ids=["byte-level", "pieces"])
def test_gguf_files(kind, tmp_path):
    path = random_gguf(tmp_path / "model.gguf", KINDS["Llama"], kind(CHATML.replace("{{ START }}", "")))
    engine = LlamaCppEngine(path, threads=1)
    try:
        model = engine.worker.run_stoppable(engine._loaded)
        words = model.vocabulary(lambda text: False)
        assert list(words.ends) == [token for token in range(len(words.tokens)) if token in model.ends]
        assert set(words.ends) <= words.special.keys()
        for token, raw in enumerate(words.tokens):
            assert raw in (b"", model.decode([token]).encode()) or b"\xef\xbf\xbd" in model.decode([token]).encode()
        compiler, rng, ended = Compiler(words), random.Random(2), 0
        for _ in range(10):
            text, whole = followed(compiler.constraint(ANY_TEXT), words, rng)
            ended += whole
            assert not whole or (text[0] == text[-1] == '"' and len(text) <= 42)
        assert ended
    finally:
        engine.close()


def test_the_embedded_models_have_the_same_vocabulary(opened):
    shown = {"<tool_call>", "</tool_call>"}.__contains__
    found = []
    for kind in ("hf", "llamacpp"):
        engine = opened(kind)
        found.append(engine.worker.run_sync(lambda engine=engine: engine._model.vocabulary(shown)))
    one, other = found
    assert list(one.tokens[:900]) == list(other.tokens[:900])
    assert one.special == other.special
    assert sorted(one.ends) == sorted(other.ends)
