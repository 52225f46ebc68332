"""From what a user writes (a model string, a catalog member, a spec) to a ModelSpec.

Imports a catalog when it is first needed. Makes no client and knows no wire format.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from aimu._core.nearest import nearest
from aimu._doors import public
from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models._spec import Model, ModelSpec
from aimu.models._table import TABLE

CATALOGS = {row.name: (row.catalog, row.catalog_class) for row in TABLE.values() if row.catalog is not None}
"""The module and the enum of each provider's catalog."""
PROVIDERS = tuple(TABLE)
"""The names of all providers."""
IN_PROCESS = frozenset(row.name for row in TABLE.values() if row.in_process)
"""The names of the providers whose models run in this process."""


@public("aimu.models")
def resolve_model_string(model: str) -> ModelSpec:
    """Return the spec that a model string names.

    An id that the provider's catalog does not list is accepted; its capabilities are unknown.

    Args:
        model: `"provider:model_id"`, split at the first colon.

    Returns:
        The catalog's spec, or a new one for an unlisted id.

    Raises:
        UnknownProviderError: The provider is missing or not one of `PROVIDERS`.
        InvalidOptionError: The id is empty.
    """
    provider, colon, model_id = model.partition(":")
    if provider not in TABLE:
        raise UnknownProviderError(provider, PROVIDERS, missing=not colon, suggestion=_suggestion(model))
    if not model_id.strip():
        raise InvalidOptionError(f"model string {model!r} has no model id; expected '{provider}:model_id'")
    return _specs(provider).get(model_id) or ModelSpec(model_id, provider)


def resolve(model: str | Model | ModelSpec) -> ModelSpec:
    """Return the spec of a model string, a catalog member or a spec.

    Raises:
        UnknownProviderError: A model string names no known provider.
        InvalidOptionError: `model` is something else, or a model string without an id.
    """
    if isinstance(model, str):
        return resolve_model_string(model)
    if isinstance(model, Model):
        return model.spec
    if isinstance(model, ModelSpec):
        return model
    raise InvalidOptionError(
        f"a model must be a string 'provider:model_id', a Model or a ModelSpec, not {type(model).__name__}"
    )


def near_models(spec: ModelSpec) -> list[str]:
    """Return the ids in the catalog of the model's provider that resemble its id, the most similar first."""
    return nearest(spec.id, _specs(spec.provider), 3)


def _suggestion(model: str) -> str | None:
    """Return the model string that one without a known provider perhaps means."""
    provider, colon, model_id = model.partition(":")
    if colon and (near := nearest(provider, PROVIDERS)):
        return f"{near[0]}:{model_id.strip() or 'model_id'}"
    ids: dict[str, str] = {}  # of all catalogs -> their providers
    for name in CATALOGS:
        for known in _specs(name):
            ids.setdefault(known, name)
    for exact in (model, model_id):
        if exact in ids:
            return f"{ids[exact]}:{exact}"
    found = nearest(model, ids)
    return f"{ids[found[0]]}:{found[0] if colon else model}" if found else None


@cache
def _specs(provider: str) -> dict[str, ModelSpec]:
    if provider not in CATALOGS:
        return {}
    module, name = CATALOGS[provider]
    catalog: type[Model] = getattr(import_module(module), name)
    return {member.id: member.spec for member in catalog}
