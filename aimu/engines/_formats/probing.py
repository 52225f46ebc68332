"""What a template takes and shows, found by rendering small conversations with it.

Owns the questions and the plan that comes of the answers; what the answers say of the marks is `derive`'s. Each
conversation holds words that no template has, so that a look at the text tells what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from attrs import evolve

from aimu._core.messages import Message
from aimu.engines._formats.bounds import TemplateLimit
from aimu.engines._formats.writing import IMAGE, THINKING_KEYS, UNSET, Plan, Switch, shaped, variables_of

if TYPE_CHECKING:
    from aimu.engines._formats.template import Template

SYSTEM, USER, LATER, ANSWER, THOUGHT, RESULT = "Sorvate", "Quexol", "Ulmett", "Brontel", "Miskari", "Kelvodo"
NAMES = ("qivlo_tool", "xemba_tool")
KEYS = ("vukey", "wokey")
VALUE, OTHER, NUMBER = "Hapjun", "Tilfem", 48613
IDS = ("Zid4x7q2a", "Zid8k3w5b")
NO_CALLS = "tool calls and their results"
NO_SYSTEM = "the system message behind the results of tools"
_STEPS = 100_000  # of a template's loops, for a conversation of four messages

_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Does it.",
            "parameters": {
                "type": "object",
                "properties": {
                    KEYS[0]: {"type": "string", "description": "One."},
                    KEYS[1]: {"type": "integer", "description": "Two."},
                },
                "required": [KEYS[0]],
            },
        },
    }
    for name in NAMES
]
_OFF = ("none", "off", "no_think", "nothink", "disabled", "disable", "chat", "no", "false", "minimal", "low")
_ON = ("on", "enabled", "enable", "thinking", "think", "high", "medium", "max", "true", "yes")
_WEAK = ("minimal", "low")
_QUOTED = re.compile(
    rf"['\"]thinking['\"]\s*:\s*['\"]{THOUGHT}"
)  # the content as a list, which the template only prints

system: Message = {"role": "system", "content": SYSTEM}
user: Message = {"role": "user", "content": USER}
later: Message = {"role": "user", "content": LATER}


def assistant(text: str = "", *calls: Message, thinking: str = "") -> Message:
    message: Message = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    return {**message, "tool_calls": [*calls]} if calls else message


def call(number: int = 0, arguments: str = f'{{"{KEYS[0]}": "{VALUE}", "{KEYS[1]}": {NUMBER}}}') -> Message:
    return {"id": IDS[number], "type": "function", "function": {"name": NAMES[number], "arguments": arguments}}


def result(number: int = 0) -> Message:
    return {"role": "tool", "tool_call_id": IDS[number], "name": NAMES[number], "content": RESULT}


@final
class Probe:
    """Renders conversations, each once. `hostile` once a bound was reached; then nothing is rendered any more."""

    def __init__(self, template: Template, variables: Mapping[str, str] | None = None) -> None:
        self.template = template
        self.hostile = False
        self._variables = {"bos_token": "<bos>", "eos_token": "<eos>", **(variables or {})}
        self._seen: dict[str, str | None] = {}

    def __call__(
        self,
        history: Sequence[Message],
        plan: Plan,
        *,
        tools: bool = True,
        generate: bool = False,
        thinking: bool | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str | None:
        """The text of a conversation; None where the template refuses it."""
        offered = _TOOLS if tools else []
        values = {
            **self._variables,
            **variables_of(plan, offered, thinking),
            **(variables or {}),
            "messages": shaped(history, plan, thinking),
            "add_generation_prompt": generate,
        }
        key = repr(values)
        if key not in self._seen:
            self._seen[key] = self._rendered(values)
        return self._seen[key]

    def _rendered(self, values: dict[str, Any]) -> str | None:
        if self.hostile:
            return None
        try:
            return self.template.render(values, steps=_STEPS)
        except TemplateLimit:
            self.hostile = True
        except Exception:  # noqa: BLE001 - a template refuses a conversation with whatever its code raises
            pass
        return None

    def shows(self, words: Iterable[str], history: Sequence[Message], plan: Plan, **options: Any) -> bool:
        """Whether the words stand behind the user's in the text of a conversation."""
        text = self(history, plan, **options)
        rest = text[text.find(USER) :] if text is not None and USER in text else ""
        return bool(rest) and all(word in rest for word in words)


def find_plan(probe: Probe, inline: Iterable[tuple[str, str]] = ()) -> Plan:
    """How conversations are written for a template, and what cannot be shown.

    `inline` are marks between which thinking may stand in the content, where the template has no key for it.
    """
    plan = _with_images(probe, _with_parts(probe, Plan()))
    plan = _with_system(probe, plan)
    plan = _with_switch(probe, plan)
    plan = _with_tools(probe, plan)
    plan = _with_merging(probe, plan)
    plan = _with_calls(probe, plan)
    plan = _with_thinking(probe, plan, inline)
    return _with_rounds(probe, _with_text(probe, plan))


def _with_parts(probe: Probe, plan: Plan) -> Plan:
    for parts in (False, True):
        tried = evolve(plan, parts=parts)
        if USER in (probe([user], tried, tools=False, generate=True) or ""):
            return tried
    return plan


def _with_images(probe: Probe, plan: Plan) -> Plan:
    """Whether something is written for an image, and not the list of parts as Python prints it."""
    picture: Message = {"role": "user", "content": IMAGE + USER}
    text, without = (probe([message], plan, tools=False, generate=True) or "" for message in (picture, user))
    return evolve(plan, images=USER in text and text != without and "'type'" not in text)


def _with_system(probe: Probe, plan: Plan) -> Plan:
    for system_role in (True, False):
        tried = evolve(plan, system=system_role)
        text = probe([system, user], tried, tools=False, generate=True)
        if text is not None and SYSTEM in text and USER in text:
            return tried
    return plan


def _with_tools(probe: Probe, plan: Plan) -> Plan:
    names = sorted(name for name in probe.template.names if "tool" in name or "function" in name)
    ways = [(variable, functions) for variable in ["tools", *names] for functions in (False, True)]
    printed = None  # as Python prints it, unless another way is better
    for variable, functions in ways:
        tried = evolve(plan, tools_as=variable, functions=functions)
        text = probe([user], tried, generate=True)
        if text is not None and all(name in text for name in NAMES):
            if f"'name': '{NAMES[0]}'" not in text:
                return tried  # the other ways may be far too much work for the template
            printed = printed or tried
    return printed or evolve(plan, lost=plan.lost | {"tools"})


def _with_merging(probe: Probe, plan: Plan) -> Plan:
    for merge in (False, True):
        tried = evolve(plan, merge=merge)
        text = probe([user, later], tried, tools=False, generate=True)
        if text is not None and USER in text and LATER in text:
            return tried
    return plan


def _with_calls(probe: Probe, plan: Plan) -> Plan:
    history = [user, assistant("", call()), result()]
    words = (NAMES[0], KEYS[0], VALUE, str(NUMBER), RESULT)
    for ids in ("short", "named"):
        for arguments in ("object", "text"):
            for empty in ("", None):
                tried = evolve(plan, ids=ids, arguments=arguments, empty=empty)
                if probe.shows(words, history, tried, generate=True) and _is_call(probe, history, tried):
                    return _with_several(probe, tried)
    for results in ("tool", "user"):
        tried = evolve(plan, calls="text", results=results, merge=plan.merge or results == "user")
        if probe.shows(words, history, tried, generate=True):
            return tried
    return evolve(plan, lost=plan.lost | {NO_CALLS})


def _is_call(probe: Probe, history: Sequence[Message], plan: Plan) -> bool:
    """Whether the name stands before the arguments, and these are no string within the JSON of a call."""
    text = probe(history, plan, generate=True) or ""
    before = text[text.find(USER) :].partition(VALUE)[0]
    return NAMES[0] in before and f'\\"{KEYS[0]}\\"' not in text


def _with_several(probe: Probe, plan: Plan) -> Plan:
    history = [user, assistant("", call(), call(1, f'{{"{KEYS[0]}": "{OTHER}"}}')), result(), result(1)]
    for calls in ("several", "single"):
        tried = evolve(plan, calls=calls)
        if probe.shows((NAMES[0], NAMES[1], VALUE, OTHER), history, tried, generate=True):
            return tried
    return evolve(plan, lost=plan.lost | {"all but one of several tool calls"})


def _with_thinking(probe: Probe, plan: Plan, inline: Iterable[tuple[str, str]]) -> Plan:
    """The key of thinking; shown in the turn that goes on, if not in a finished one."""
    going = [user, assistant("", call(), thinking=THOUGHT), result()]
    answered = [user, assistant(ANSWER, thinking=THOUGHT)]
    tried = [evolve(plan, thinking=key) for key in THINKING_KEYS]
    tried += [evolve(plan, thinking="content", inline=pair) for pair in inline if pair[1] in probe.template.text]
    for history, words, lost in (
        (going, (THOUGHT, RESULT, NAMES[0]), frozenset()),
        (answered, (THOUGHT, ANSWER), frozenset(("thinking before a tool call",))),
    ):
        for better in tried:
            for thinking in (None, True):
                options: dict[str, Any] = {"generate": history is going, "thinking": thinking}
                if probe.shows(words, history, better, **options) and not _QUOTED.search(
                    probe(history, better, **options) or ""
                ):
                    return evolve(better, lost=better.lost | lost)
    return evolve(plan, lost=plan.lost | {"thinking"})


def _with_text(probe: Probe, plan: Plan) -> Plan:
    """Text beside calls, alone and with thinking."""
    thinks = not any("thinking" in what for what in plan.lost)
    thought = assistant(ANSWER, call(), thinking=THOUGHT)
    both = (ANSWER, THOUGHT, NAMES[0]) if thinks else (ANSWER, NAMES[0])
    for split in (False, True):
        tried = evolve(plan, split_text=split)
        alone = probe.shows((ANSWER, NAMES[0], RESULT), [user, assistant(ANSWER, call()), result()], tried)
        if alone and any(probe.shows(both, [user, thought, result()], tried, thinking=how) for how in (None, True)):
            return tried
    for split in (False, True):
        tried = evolve(plan, split_text=split)
        if probe.shows((NAMES[0], RESULT), [user, thought, result()], tried):
            return evolve(tried, lost=tried.lost | {"text before a tool call"})
    return plan


def _with_rounds(probe: Probe, plan: Plan) -> Plan:
    """Whether the system message is still there behind the results of tools: some show it before the last question."""
    text = probe([system, user, assistant("", call()), result()], plan, generate=True)
    if text is None or RESULT not in text or SYSTEM in text:
        return plan
    return evolve(plan, lost=plan.lost | {NO_SYSTEM})


def _with_switch(probe: Probe, plan: Plan) -> Plan:
    names = [name for name in probe.template.names if "think" in name or "reason" in name]
    found = []
    for name in sorted(names, key=lambda name: (name != "enable_thinking", len(name), name)):
        for on, off, weak in _values(probe, name):
            texts = [_begun(probe, plan, name, value) for value in (on, off)]
            if None not in texts and texts[0] != texts[1]:
                found.append(Switch(variable=name, on=on, off=off, weak=weak))
                break
    if found:
        return evolve(plan, switch=min(found, key=lambda switch: switch.weak))
    for role in ("system", "user"):
        for off in ("/no_think", "/nothink"):
            if off in probe.template.text:
                switch = Switch(role=role, on=off.replace("no_", "").replace("no", ""), off=off)
                tried = evolve(plan, switch=switch)
                texts = [probe([system, user], tried, generate=True, thinking=thinking) for thinking in (True, False)]
                if None not in texts and _without(texts[0], switch) != _without(texts[1], switch):
                    return tried
    return plan


def _without(text: str | None, switch: Switch) -> str:
    return (text or "").replace(switch.off, "").replace(switch.on, "")


def _values(probe: Probe, name: str) -> Iterable[tuple[Any, Any, bool]]:
    """Values of a variable that may turn thinking on and off: what the template compares it with, or booleans."""
    constants = probe.template.constants.get(name, frozenset())
    words = {value for value in constants if isinstance(value, str)}
    on = next((word for word in _ON if word in words), UNSET)
    for word in _OFF:
        if word in words:
            yield on, word, word in _WEAK
    if any(type(value) is int and value == 0 for value in constants):
        yield UNSET, 0, False
    if "effort" in name or "strength" in name:
        yield "high", "low", True
    else:
        yield True, False, False


def _begun(probe: Probe, plan: Plan, name: str, value: Any) -> str | None:
    variables = {} if value is UNSET else {name: value}
    return probe([user], plan, tools=False, generate=True, variables=variables)
