"""Checks at loading, by its signature and tiny forward passes, whether the engine supports a model of transformers.

Refuses models whose state the engine cannot keep: the whole state of a sequence must be in the cache that is passed to
each forward pass, and keys and values must be part of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from typing import Any

import torch

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the argument of `forward` in releases of transformers, newest first; newer ones warn of older names."""

_STEPS = [1, 2], [3]
_LOST = 0.1
"""Difference of a recurrent state, as a fraction of its greatest value, above which it lacks tokens."""


def cache_argument(model: Any, takes: Container[str]) -> str:
    """Return the name of the argument of `forward` for the cache; raise ValueError if it has none."""
    for name in CACHE_ARGUMENTS:
        if name in takes:
            return name
    raise ValueError(_no_keys(model))


def check_cache(model: Any, new_states: Callable[[], Any], extend: Callable[[Any, Any], Any]) -> None:
    """Compute two equal sequences in turns; raise ValueError unless each keeps its whole state in its cache."""
    name, twins = type(model).__name__, (new_states(), new_states())
    try:
        steps = [torch.tensor([step], device=model.device) for step in _STEPS]
        logits, again = [[extend(step, states) for states in twins] for step in steps][-1]
    except Exception as exc:
        raise ValueError(
            f"{name} is not supported: its first forward pass with the cache that transformers makes for it failed: "
            f"{type(exc).__name__}: {exc}"
        ) from exc
    if not any(_holds_keys(layer) for layer in twins[0].cache.layers):
        raise ValueError(_no_keys(model))
    allowed = torch.finfo(logits.dtype).eps ** 0.5 * float(logits.abs().max())
    if not torch.allclose(logits, again, rtol=0, atol=allowed, equal_nan=True):
        raise ValueError(
            f"{name} is not supported: it keeps a part of its state outside the cache, where conversations would "
            "disturb each other"
        )


def continues(new_states: Callable[[], Any], extend: Callable[[Any, Any], Any], device: Any) -> bool:
    """Return whether a prompt in parts of several tokens leaves the same recurrent states as the whole prompt.

    Some recurrent layers go on from their state with single tokens only, and begin anew otherwise (Jamba, Zamba).
    """
    whole, parts = new_states(), new_states()
    prompt = torch.arange(1, 15, device=device)[None]
    extend(prompt, whole)
    extend(prompt[:, :-2], parts)  # almost all, since what they leave must not be forgotten
    extend(prompt[:, -2:], parts)
    return all(
        one.shape != other.shape or bool((one - other).abs().max() <= _LOST * one.abs().max())
        for one, other in zip(_recurrent(whole), _recurrent(parts), strict=False)
    )


def _recurrent(states: Any) -> list[Any]:
    return [tensor.float() for layer in states.cache.layers for tensor in tensors(layer, "_states")]


def tensors(layer: Any, ending: str = "") -> list[Any]:
    """Return the tensors in the attributes of a layer whose name has an ending; some are in lists or dictionaries."""
    found: list[Any] = []
    for name, value in vars(layer).items():
        if name.endswith(ending):
            inside = value.values() if isinstance(value, dict) else value
            found += inside if isinstance(value, dict | list | tuple) else [value]
    return [value for value in found if isinstance(value, torch.Tensor)]


def check_windows(model: Any, cache: Any) -> None:
    """Raise ValueError if the cache drops what is out of a window, but the model of transformers masks no window.

    Such a model computes other results for a prompt in parts than for the whole one (Moshi).
    """
    if not type(model).__module__.startswith("transformers.") or not any(map(_slides, cache.layers)):
        return
    modules = {sys.modules.get(type(module).__module__) for module in model.modules()}
    names = (name for module in modules for name in getattr(module, "__dict__", ()))
    if not any(word in name for name in names for word in ("sliding_window", "chunked_causal", "masks_for_generate")):
        raise ValueError(
            f"{type(model).__name__} is not supported: its cache keeps the tokens of a window only, but its attention "
            "is over all tokens, so a continued conversation would get other answers"
        )


def _slides(layer: Any) -> bool:
    return bool(getattr(layer, "is_sliding", False))


def _no_keys(model: Any) -> str:
    name = type(model).__name__
    return f"{name} is not supported: it keeps no keys and values in a cache that can be cut to a shorter text"


def _holds_keys(layer: Any) -> bool:
    keys = getattr(layer, "keys", None)
    return keys is not None and keys.numel() > 0
