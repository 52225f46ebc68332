"""What an engine needs of a library: weights and tokenizer, as one object that the engine's thread uses."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._pictures import Prompt
from aimu.engines._prefix_cache import States
from aimu.engines._rounds import Steps, StopFlag

S = TypeVar("S", bound=States)
Tokens: TypeAlias = Generator[int | Callable[[], object]]
"""Yields tokens; if sequences share the model, also functions to call before this sequence can continue."""


class LanguageModel(Protocol[S]):
    """Weights and tokenizer, tokens in and tokens out. Used in the engine's thread only."""

    ends: Container[int]
    """Tokens that end a reply."""
    context: int | None
    """Number of tokens that prompt and answer may have together; None means no limit."""

    @property
    def templates(self) -> Mapping[str, str]:
        """Texts of the chat templates, "default" and perhaps "tool_use"; a base model has none."""
        ...

    @property
    def variables(self) -> Mapping[str, str]:
        """Special tokens by the names that templates use."""
        ...

    def encode(self, text: str) -> list[int]:
        """Turn the text of a prompt into tokens."""
        ...

    def encode_rest(self, text: str, after: int) -> list[int] | None:
        """Turn the rest of a prompt, behind a token, into tokens; return None if only `encode` can tell them."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Turn tokens into text, special tokens included."""
        ...

    def detokenizer(self, shown: Callable[[str], bool]) -> Callable[[int], str]:
        """Return a function from each next token to its text; "" inside a character and for tokens not `shown`."""
        ...

    def vocabulary(self, shown: Callable[[str], bool]) -> Vocabulary:
        """Return what each token writes; tokens that are `shown` are marks. Raises ValueError if that is not known."""
        ...

    def look(self, prompt: str, urls: Sequence[str], stopped: StopFlag) -> Steps[Prompt | None]:
        """Return a prompt with its images, and yield between two of them; return None once `stopped()` is true.

        Raises InvalidImageError if the model cannot see images.
        """
        ...

    def new_states(self) -> S:
        """Return states of no tokens."""
        ...

    def inference(self) -> AbstractContextManager[Any]:
        """Return the context in which the model computes."""
        ...

    def tokens(self, ids: list[int], states: S, sampler: Any, stopped: StopFlag) -> Tokens:
        """Generate tokens after `ids` without end, and append each to `ids`; `states` grow along, one token behind.

        Ends between two steps once `stopped()` is true.
        """
        ...
