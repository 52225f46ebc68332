"""Why a service says that an answer ended: one table from the services' words to StopReason, for all wire formats.

Pure. Services, and the gateways in front of them, write the same word in several cases and wrap it
(`MAX_TOKENS`, `maxTokens`, `FinishReason.STOP`, `function_call_filter: MALFORMED_FUNCTION_CALL`), so only letters and
digits count, in either case, and of a wrapped word its last part. An unknown word is StopReason.OTHER, never a normal
end; `aimu.aio._border` decides what becomes of such a reply.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aimu._core.reply import StopReason, ToolCall
from aimu.providers._failures import from_error

END, OTHER, REFUSED = StopReason.END, StopReason.OTHER, StopReason.REFUSED
MAX_TOKENS, TOOL_CALLS = StopReason.MAX_TOKENS, StopReason.TOOL_CALLS

# Looked up on 2026-11-25, in excerpts of these pages.
_WORDS = {
    # https://platform.openai.com/docs/api-reference/chat/object and .../responses/object
    "stop": END,
    "length": MAX_TOKENS,
    "tool_calls": TOOL_CALLS,
    "function_call": TOOL_CALLS,  # an answer to the deprecated `functions`, which are never sent: its call has no id
    "content_filter": REFUSED,
    "completed": END,
    "max_output_tokens": MAX_TOKENS,
    # https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
    "end_turn": END,
    "max_tokens": MAX_TOKENS,
    "model_context_window_exceeded": MAX_TOKENS,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": TOOL_CALLS,
    "pause_turn": StopReason.PAUSED,
    "refusal": REFUSED,
    # https://docs.mistral.ai/api and https://docs.z.ai/api-reference/llm/chat-completion
    "model_length": MAX_TOKENS,
    "sensitive": REFUSED,
    # https://ai.google.dev/api/generate-content#FinishReason
    "safety": REFUSED,
    "recitation": REFUSED,
    "language": REFUSED,
    "blocklist": REFUSED,
    "prohibited_content": REFUSED,
    "spii": REFUSED,
    "image_safety": REFUSED,
    "image_prohibited_content": REFUSED,
    "image_recitation": REFUSED,
    "malformed_function_call": OTHER,
    "unexpected_tool_call": OTHER,
    "too_many_tool_calls": OTHER,
    "missing_thought_signature": OTHER,
    "malformed_response": OTHER,
    "image_other": OTHER,
    "no_image": OTHER,
    "other": OTHER,
    "finish_reason_unspecified": OTHER,
    # https://docs.ollama.com/api/chat: a request without a prompt loads or unloads the model
    "load": OTHER,
    "unload": OTHER,
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    "guardrail_intervened": REFUSED,
    "content_filtered": REFUSED,
    "malformed_model_output": OTHER,
    "malformed_tool_use": OTHER,
    # https://docs.cohere.com/reference/chat
    "complete": END,
    "tool_call": TOOL_CALLS,
    "error_toxic": REFUSED,
    "error_limit": MAX_TOKENS,
    # https://huggingface.co/docs/text-generation-inference and https://docs.together.ai/reference/chat-completions
    "eos_token": END,
    "eos": END,
}
# Words that mean that the service failed, whatever it had written: Mistral, OpenRouter and Cohere; Z.ai; DeepSeek
# (https://api-docs.deepseek.com/api/create-chat-completion); vLLM and SGLang; Cohere; Responses.
_FAILURES = (
    *("error", "network_error", "insufficient_system_resource", "abort", "aborted"),
    *("timeout", "user_cancel", "failed", "cancelled", "canceled"),
)


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold()


_STOPS: dict[str, StopReason | None] = {
    **{_letters(word): stop for word, stop in _WORDS.items()},
    **dict.fromkeys(map(_letters, _FAILURES)),
}


def word_of(reason: Any) -> str:
    """Return the word of a finish reason; "" if the service gave none, which some write as "null"."""
    word = "" if reason is None or reason is False else str(reason)[:200].strip()
    return "" if word.lower() in ("null", "none") else word


def stop_reason(
    provider: str, reason: Any, calls: tuple[ToolCall, ...] = (), *, error: Any = None, partial: str = ""
) -> StopReason:
    """Return the stop reason that a service's word means; END or TOOL_CALLS if it gave none.

    Args:
        provider: The provider's name.
        reason: What the service gave as the reason.
        calls: The calls of the reply: some servers say "stop", or nothing, after calls.
        error: The error object that came with the word, if any.
        partial: The text so far.

    Raises:
        ProviderError: The word means that the service failed.
    """
    word = word_of(reason)
    stop = _of(word) if word else END
    if stop is None:
        message = f"the service ended the answer with the finish reason {word!r}"
        raise from_error(provider, error or {"message": message, "code": 502}, status=200, partial=partial)
    return TOOL_CALLS if stop is END and calls else stop


@lru_cache(maxsize=256)  # each reply asks twice
def _of(word: str) -> StopReason | None:
    for part in (word, word.rpartition(":")[2], word.rpartition(".")[2]):
        key = _letters(part)
        for form in (key, key.removeprefix("finishreason")):
            if form in _STOPS:
                return _STOPS[form]
    return OTHER
