"""Whether what a service streamed and the final answer that it sent agree, and which of the two holds."""

from __future__ import annotations

from typing import final

from attrs import frozen

from aimu._core.thinking import CLOSINGS


@final
@frozen
class Agreed:
    """What holds of a streamed and a final text.

    Attributes:
        text: The longer of the two, which contains the other.
        missing: The end of it that was not streamed, to be shown now.
        shown: Whether the streamed text, with `missing` after it, is all of `text`.
        moved: Whether the beginning of the streamed text is in the thinking now.
    """

    text: str
    missing: str = ""
    shown: bool = True
    moved: bool = False


def agree(streamed: str, final: str, thinking: str = "") -> Agreed | None:
    """Return what holds of a text that was streamed and of the final one; None if neither contains the other.

    Args:
        streamed: What was streamed.
        final: What the final answer says.
        thinking: The thinking of the final answer. The beginning of the streamed text may have turned out to be a part
            of it; that part is kept there, and the final text holds.
    """
    if streamed == final:
        return Agreed(final)
    if final.startswith(streamed):
        return Agreed(final, final[len(streamed) :])
    if final in streamed:
        moved = bool(thinking) and _moved(streamed, final, thinking)
        return Agreed(final if moved else streamed, moved=moved)
    return Agreed(final, shown=False) if streamed in final else None


def _moved(streamed: str, final: str, thinking: str) -> bool:
    """Return whether the final answer has in its thinking what it lacks of the streamed text."""
    head = streamed[: len(streamed) - len(final)].strip()
    for tag in CLOSINGS:
        head = head.removesuffix(tag)
    return streamed.endswith(final) and head.strip() in thinking
