"""What a model is: its id, the provider that serves it, what it can do. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, final

from attrs import field, frozen


@final
@frozen
class ModelSpec:
    """Facts about one model of one provider.

    `provider` is the name in model strings, `id` the provider's own. `tools`, `thinking` and `vision` are None where
    unknown: nothing is refused locally then. `generate_kwargs` are defaults in the library's vocabulary. `source` is
    the URL that the facts were read from.
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


class Model(Enum):
    """Base of the provider enums; the value of a member is its ModelSpec."""

    @property
    def spec(self) -> ModelSpec:
        value: ModelSpec = self.value
        return value

    @property
    def id(self) -> str:
        return self.spec.id

    def __str__(self) -> str:
        return str(self.spec)
