"""The base of the sync client classes in `clients`, each of which opens the models of one provider."""

from __future__ import annotations

from typing import Any, ClassVar

from aimu._sync.client import ModelClient
from aimu.aio._provider_client import of_provider
from aimu.models._spec import Model, ModelSpec


class ProviderClient(ModelClient):
    """A client for the models of one provider; `provider_name` is the provider's name in model strings."""

    provider_name: ClassVar[str]

    def __init__(self, model: Model | ModelSpec | str, **kwargs: Any) -> None:
        super().__init__(of_provider(model, self.provider_name), **kwargs)
