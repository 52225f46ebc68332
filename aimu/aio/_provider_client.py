"""The base of the client classes in `_clients`, each of which opens the models of one provider."""

from __future__ import annotations

from typing import Any, ClassVar

from aimu.aio._factory import AsyncModelClient
from aimu.errors import InvalidOptionError
from aimu.models._resolve import resolve_model_string
from aimu.models._spec import Model, ModelSpec


class AsyncProviderClient(AsyncModelClient):
    """A client for the models of one provider; `provider_name` is the provider's name in model strings."""

    provider_name: ClassVar[str]

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Any) -> None:
        super().__init__(of_provider(model, self.provider_name), **kwargs)


def of_provider(model: Any, provider: str) -> Any:
    """Return the spec of a model of `provider`; return anything that is not a model or an id unchanged.

    Args:
        model: A member of the provider's catalog, a spec, or an id such as "qwen3:8b", with or without the prefix.
        provider: The provider's name.

    Raises:
        InvalidOptionError: The model belongs to another provider.
    """
    if isinstance(model, str):
        return resolve_model_string(f"{provider}:{model.removeprefix(provider + ':')}")
    spec = model.spec if isinstance(model, Model) else model
    if isinstance(spec, ModelSpec) and spec.provider != provider:
        raise InvalidOptionError(
            f"{spec} is not a model of {provider!r}; use aimu.client(...), which accepts models of any provider"
        )
    return model
