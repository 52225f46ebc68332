"""The answer of a run: its text, and the facts of how the run came to it. Also the account of a run while it goes on.

No I/O. Histories, chunks and prompts hold plain texts, never an Answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, final

from attrs import define

from aimu._core.forks import FreshLock
from aimu._core.reply import NORMAL, StopReason, Usage
from aimu._doors import public

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=None)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)


@public("aimu.types")
class Answer(str, Generic[T_co]):
    """The text of an answer, with the facts of its run.

    It is a `str`: it compares, hashes, formats and serialises like its text. Pickling and copying keep the facts.
    `str(answer)` is the text alone. What a fact says of a run includes all sub-runners, agents that tools run, and
    judges; what it says of a turn concerns the turn that wrote the text, which in a workflow is that of one agent.

    Args:
        text: The text; the other arguments are the attributes below.

    Attributes:
        usage: The tokens of the run; None if no service reported them.
        cost: The price of the run in US dollars: 0.0 if all requests went to models in this process; None if the price
            of a request is unknown.
        stop_reason: Why the turn ended, or ROUND_LIMIT if a workflow used up its rounds. Of joined answers, the first
            reason other than END and STOP_SEQUENCE, else END. None if unknown.
        model: The model that wrote the text, as the service names it; None if unknown, and for joined answers.
        agent: The key in `messages` of the agent that wrote the text; None for joined answers, and outside agents.
        iterations: The number of model requests of the turn that could call tools; 0 if unknown.
        requests: The number of model requests of the run that were answered.
        parts: The answers of the workers of a `Parallel`, in the order of the workers.
        new_messages: The messages that the turn has added to the history, the user's first: the dicts themselves, not
            copies. Empty for `generate`.
        output: The value of the text, if the run asked for an `output_type`; else None.
    """

    usage: Usage | None
    cost: float | None
    stop_reason: StopReason | None
    model: str | None
    agent: str | None
    iterations: int
    requests: int
    parts: tuple[Answer[Any], ...]
    new_messages: Sequence[dict[str, Any]]
    output: T_co

    def __new__(
        cls,
        text: str = "",
        *,
        usage: Usage | None = None,
        cost: float | None = None,
        stop_reason: StopReason | None = None,
        model: str | None = None,
        agent: str | None = None,
        iterations: int = 0,
        requests: int = 0,
        parts: tuple[Answer[Any], ...] = (),
        new_messages: Sequence[dict[str, Any]] = (),
        output: Any = None,
    ) -> Answer[T_co]:
        self = str.__new__(cls, text)
        self.usage = usage
        self.cost = cost
        self.stop_reason = stop_reason
        self.model = model
        self.agent = agent
        self.iterations = iterations
        self.requests = requests
        self.parts = parts
        self.new_messages = new_messages
        self.output = output
        return self


AnyAnswer: TypeAlias = Answer[Any]


def changed(answer: AnyAnswer, **facts: Any) -> AnyAnswer:
    """Return a copy of an answer with some facts changed."""
    copy: AnyAnswer = Answer(str(answer))
    vars(copy).update(vars(answer), **facts)
    return copy


_counting = FreshLock()  # runs that tools start may count in several threads


@final
@define(eq=False)
class Account:
    """What a run has used so far; the runs around it count the same. Also the `context` that its tools get.

    `requests` are those that were answered; `cost` is None if the price of one of them is unknown.
    """

    outer: Account | None = None
    context: Any = None
    usage: Usage | None = None
    requests: int = 0
    cost: float | None = None

    def count(self, usage: Usage | None, cost: float | None) -> None:
        """Count a request."""
        with _counting.lock:
            account: Account | None = self
            while account is not None:
                known = account.cost if account.requests else 0.0
                account.cost = None if known is None or cost is None else known + cost
                account.requests += 1
                if usage is not None:
                    account.usage = usage if account.usage is None else account.usage + usage
                account = account.outer

    def of(self, answer: AnyAnswer) -> AnyAnswer:
        """Return the answer as that of this run."""
        return changed(answer, usage=self.usage, cost=self.cost, requests=self.requests)


# The account of the run that user code belongs to, on any thread: runs that it starts count there too.
AROUND: ContextVar[Account | None] = ContextVar("aimu_account_around", default=None)


def account_within(context: Any) -> Account:
    """Return the account of a run that begins here; without a context of its own, it has that of the run around it."""
    outer = AROUND.get()
    return Account(outer, outer.context if context is None and outer is not None else context)


def joined(text: str, parts: tuple[AnyAnswer, ...]) -> AnyAnswer:
    """Return the answer made of the answers `parts`; a single one keeps the facts of its turn."""
    if len(parts) == 1:
        return changed(parts[0], parts=parts)
    reasons = [part.stop_reason for part in parts]
    odd = [reason for reason in reasons if reason not in NORMAL]
    return Answer(text, stop_reason=odd[0] if odd else StopReason.END, parts=parts)
