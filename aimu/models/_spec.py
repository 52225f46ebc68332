"""A model: its id, its provider, and what it can do. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, final

from attrs import field, frozen

from aimu._doors import public


@public("aimu.models")
@final
@frozen
class ModelSpec:
    """Facts about one model of one provider.

    Attributes:
        id: The provider's id of the model.
        provider: The provider's name in model strings.
        tools: Whether the model can call tools; None if unknown.
        thinking: Whether the model can think before it answers; None if unknown.
        vision: Whether the model can see images; None if unknown. Requests are refused locally only if it is False.
        generate_kwargs: Default options, in the vocabulary of `generate_kwargs`.
        source: The URL of the page with these facts.
    """

    id: str
    provider: str
    tools: bool | None = field(default=None, kw_only=True)
    thinking: bool | None = field(default=None, kw_only=True)
    vision: bool | None = field(default=None, kw_only=True)
    generate_kwargs: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, hash=False)
    source: str | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        return f"{self.provider}:{self.id}"


@public("aimu.models")
class Model(Enum):
    """Base of the catalogs: each member is a model, and its value a ModelSpec."""

    @property
    def spec(self) -> ModelSpec:
        """The facts about this model."""
        value: ModelSpec = self.value
        return value

    @property
    def id(self) -> str:
        """The provider's id of this model."""
        return self.spec.id

    def __str__(self) -> str:
        return str(self.spec)
