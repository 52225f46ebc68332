"""What is sent to servers: JSON data. The SDK ends the connection at anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimu._core.json_text import json_copy
from aimu._core.surrogates import whole
from aimu.errors import InvalidOptionError


def json_object(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a mapping as JSON data, with a replacement for each half surrogate.

    Raises:
        InvalidOptionError: JSON cannot express it; `what` names it in the error.
    """
    try:
        sent: dict[str, Any] = json_copy(dict(given))
    except (TypeError, ValueError) as exc:
        raise InvalidOptionError(f"{what} must be a dict of JSON data: {exc}") from exc
    text = json.dumps(sent, ensure_ascii=False)
    repaired = whole(text)
    return sent if repaired == text else json.loads(repaired)
