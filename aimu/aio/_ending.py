"""How a turn ends: which replies are no answer, why a turn with an answer ended, and what is logged then. Pure."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aimu._core.escaping import escaping
from aimu._core.reply import Reply, StopReason
from aimu.errors import AimuError, EmptyAnswerError, IterationLimitError, RefusedError, TruncatedError

log = escaping(logging.getLogger("aimu.aio"))

_WARNINGS = {
    StopReason.MAX_TOKENS: "max_tokens cut the answer off (its stop_reason shows this); raise max_tokens",
    StopReason.ITERATION_LIMIT: "the model was not done at its limit of iterations, so its answer may be incomplete "
    "(its stop_reason shows this); raise max_iterations or max_tool_rounds",
    StopReason.EMPTY: "the model's answer is empty (its stop_reason shows this)",
}


def is_blank(reply: Reply) -> bool:
    """Return whether a reply has no text."""
    return not reply.text or reply.text.isspace()


def unusable(reply: Reply, *, typed: bool) -> RefusedError | TruncatedError | None:
    """Return the error for a reply that was refused, or truncated before it was of use; else None.

    A typed answer is of no use unless it is whole.
    """
    if reply.stop_reason is StopReason.REFUSED:
        said = "\n".join(dict.fromkeys(filter(None, (reply.text, reply.refusal))))
        why = f": {said}" if said else f" ({reply.finish_reason})" if reply.finish_reason else ""
        return RefusedError(f"the model declined to answer{why}", partial=said, request_id=reply.request_id)
    if reply.stop_reason is StopReason.MAX_TOKENS and (reply.calls or typed or is_blank(reply)):
        where = "inside a tool call" if reply.calls else "before any text" if is_blank(reply) else "inside the answer"
        return TruncatedError(
            f"max_tokens ended the reply {where}; raise max_tokens", partial=reply.text, request_id=reply.request_id
        )
    return None


def ending(
    reply: Reply, *, limit: int | None, prompted: bool, said: Callable[[], str]
) -> tuple[StopReason, AimuError | None]:
    """Return why a turn ended with this reply, and the error if it is no answer; log what the user should know.

    Args:
        reply: The last reply.
        limit: The limit of iterations if the reply answers the request after it, else None.
        prompted: Whether the reply answers the continuation prompt.
        said: Returns what the model wrote earlier in the turn.
    """
    reason: StopReason = reply.stop_reason
    blank = is_blank(reply)
    if blank and not reply.calls and (prompted or limit is None):
        reason = StopReason.EMPTY
        if prompted:
            return reason, EmptyAnswerError()
    elif limit is not None:
        reason = StopReason.ITERATION_LIMIT
        if blank:
            return reason, IterationLimitError(limit, partial=said())
    if reason in _WARNINGS:
        log.warning(_WARNINGS[reason])
    return reason, None
