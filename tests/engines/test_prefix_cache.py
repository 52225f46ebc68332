"""The prefix cache: it reuses true prefixes only, and its memory is bounded."""

import itertools

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from aimu.engines._prefix_cache import PrefixCache, common_prefix

BYTES = 10  # size of the states of one token


@define(eq=False)
class FakeStates:
    """States that record their tokens."""

    ids: list
    croppable: bool = True

    @property
    def shortest(self):
        return 0 if self.croppable else len(self.ids)

    def __len__(self):
        return len(self.ids)

    @property
    def nbytes(self):
        return BYTES * len(self.ids)

    def crop(self, length):
        assert self.croppable
        del self.ids[length:]

    def copy(self, length):
        assert self.croppable
        return FakeStates(self.ids[:length])


def encode(text):
    return [ord(letter) for letter in text]


def ask(cache, prompt, answer="", *, croppable=True, computed=None):
    """Make one request as an engine does; return the number of reused tokens."""
    entry = cache.take(
        prompt, encode=encode, encode_rest=lambda text, after: encode(text), new=lambda: FakeStates([], croppable)
    )
    reused = len(entry.states)
    assert entry.states.ids == entry.ids[:reused]
    assert reused < len(entry.ids)
    assert "".join(map(chr, entry.ids)).casefold() == prompt.casefold()
    entry.ids += encode(answer.upper())  # ids other than those of the encoded text
    entry.states.ids[:] = entry.ids[:-1] if computed is None else entry.ids[: max(reused, computed)]
    entry.text += answer
    entry.marks.append((len(entry.text), len(entry.ids)))
    cache.put(entry)
    return reused


def test_a_conversation_continues_with_the_ids_that_the_model_wrote():
    cache = PrefixCache(10_000)
    assert ask(cache, "hello", "world") == 0
    assert ask(cache, "helloworld and", "more") == len("helloworld") - 1
    assert ask(cache, "helloworld andmore", "") == len("helloworld andmore") - 1
    assert (cache.entries, cache.hits) == (1, 2)


def test_alternating_conversations_each_keep_their_prefix():
    cache = PrefixCache(10_000)
    texts = ["system: one ", "system: two "]
    for turn in range(5):
        for i, text in enumerate(texts):
            reused = ask(cache, text, "answer")
            assert reused >= (len(text) - 8 if turn else i * len("system: "))
            texts[i] += "answer go on "
    assert cache.entries == 2


def test_the_prompt_is_reused_if_the_template_changes_the_answer():
    cache = PrefixCache(10_000)
    ask(cache, "question", "(thinking)answer")
    assert ask(cache, "questionanswer next") == len("question")
    assert cache.entries == 1


def test_states_that_cannot_be_cropped_are_reused_whole_or_not_at_all():
    cache = PrefixCache(10_000)
    ask(cache, "question", "answer", croppable=False)
    assert ask(cache, "questionother", croppable=False) == 0
    assert ask(cache, "questionanswer next", croppable=False) == len("questionanswer") - 1


def test_the_states_of_a_stopped_request_are_kept():
    cache = PrefixCache(10_000)
    ask(cache, "a long prompt", computed=6)
    assert ask(cache, "a long prompt and more") == 6


def test_an_answer_that_writes_nothing_is_no_part_of_the_prompt_that_is_asked_again():
    cache = PrefixCache(10_000)
    entry = cache.take("hello", encode=encode, encode_rest=lambda text, after: encode(text), new=lambda: FakeStates([]))
    entry.ids += [1, 2]  # tokens without a text
    entry.states.ids[:] = entry.ids[:-1]
    entry.marks.append((len("hello"), len(entry.ids)))
    cache.put(entry)
    assert ask(cache, "hello", "world") == len("hello") - 1


def test_the_least_recently_used_entry_is_dropped_first():
    cache = PrefixCache(20 * BYTES)
    ask(cache, "aaaaaaaa")
    ask(cache, "bbbbbbbb")
    ask(cache, "aaaaaaaa")
    ask(cache, "cccccccc")
    assert ask(cache, "bbbbbbbb") == 0
    assert ask(cache, "cccccccc") == 7
    assert cache.bytes <= cache.limit


def test_nothing_is_kept_with_a_limit_of_zero_bytes():
    cache = PrefixCache(0)
    ask(cache, "hello")
    assert (cache.entries, cache.bytes, ask(cache, "hello")) == (0, 0, 0)


TEXT = st.text("ab", min_size=1, max_size=8)


@given(st.lists(st.tuples(TEXT, TEXT, st.booleans(), st.none() | st.integers(0, 9)), max_size=12), st.integers(0, 300))
def test_only_true_prefixes_are_reused_and_the_limit_holds_for_any_requests(requests, limit):
    cache = PrefixCache(limit)
    said = [""]
    for number, (new, answer, forks, computed) in enumerate(requests):
        before = said[number // 2 if forks else -1]
        ask(cache, before + new, answer, croppable=number % 3 > 0, computed=computed)
        said.append(before + new + answer)
        assert cache.bytes <= limit


@given(st.text("ab"), st.text("ab"))
def test_common_prefix_finds_the_same_as_a_loop(a, b):
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    assert common_prefix(a, b) == sum(1 for _ in same)
