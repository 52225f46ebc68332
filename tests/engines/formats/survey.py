"""A table of what becomes of chat templates: `python -m tests.engines.formats.survey FOLDER [PAGE]`.

Each template of the folder is probed; replies with and without thinking and calls are rendered with it and read again.
Prints a table, or puts it into PAGE, below the line that begins with `<!-- survey`. Ends with 1 if a format is read
less often than the page says.
"""

import json
import re
import sys
from pathlib import Path

from aimu.engines import ChatFormat
from aimu.engines._formats.derive import _around_thought, _terminator, _turn
from aimu.engines._formats.probing import RESULT, Probe
from aimu.engines._formats.tokens import common_prefix
from aimu.errors import AimuError
from tests.engines.asking import tool

TOOLS = [
    tool("book", city="string", nights="integer", options="object", tags="array", quiet="boolean"),
    tool("note", text="string"),
]
USER = {"role": "user", "content": "Somewhere warm?"}
TOKENS = {"bos_token": "", "eos_token": ""}
TRIP = "book", {"city": "Zürich", "nights": 3, "quiet": True}
DEEP = "book", {"city": "Oslo", "options": {"a": [1, {"b": "c"}]}, "tags": ["x", "y"]}
NOTE = "note", {"text": 'Say "hi" & <b>go</b>.\n- one\n- {two} [3]'}
REPLIES = {
    "answer": ("It is so.\nYes.", [], ""),
    "thinking, answer": ("It is so.", [], "Let me see.\nHm."),
    "call": ("", [TRIP], ""),
    "two calls": ("", [TRIP, NOTE], ""),
    "nested": ("", [DEEP], ""),
    "thinking, call": ("", [TRIP], "Needed."),
    "text, call": ("I look.", [TRIP], ""),
}
COLUMNS = "template", "format", "calls", "thinking", "switch", "written with", "not shown", "read"
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
COUNT = re.compile(r"^\| (\S+) \|.*\| (\d+) of \d+ \|$", re.MULTILINE)


def message(text, calls, thinking):
    written = [
        {"id": f"abcdefgh{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(calls)
    ]
    said = {"role": "assistant", "content": text}
    said |= {"tool_calls": written} if calls else {}
    return said | ({"thinking": thinking} if thinking else {})


def result(call):
    return {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": RESULT}


def rendered(form, messages, thinking):
    variables = {**TOKENS, "add_generation_prompt": False}
    return form.render(messages, tools=TOOLS, thinking=thinking, variables=variables)


def outcome(form, template, text, calls, thinking):
    """Whether a reply is read as it was written; None where the template does not show it."""
    lost = form.lost([USER, message(text, calls, thinking)], TOOLS)
    if form.plan.calls == "single":
        calls = calls[:1]
    if set(lost) - {"tools"} or (text and calls and form.plan.split_text):
        return None
    reply = message(text, calls, thinking)
    answers = [result(call) for call in reply.get("tool_calls", ())]
    for wanted in (None, True):
        for rest in ([], answers):
            try:
                whole = rendered(form, [USER, reply, *rest], wanted).partition(RESULT)[0]
                prompt = form.render([USER], tools=TOOLS, thinking=wanted, variables=TOKENS)
            except AimuError:
                continue
            if thinking and thinking not in whole:
                continue
            probe = Probe(form._template)
            turn = _turn(probe, form.plan, _terminator(_around_thought(probe, form.plan)))
            if not whole.startswith(prompt):
                end = whole.index(USER["content"]) + len(USER["content"])
                prompt = whole[: end + len(common_prefix(whole[end:], turn.start))]
            written = whole[len(prompt) :].rstrip().removesuffix(turn.ended.strip())
            read = form.read(written, tools=TOOLS, prompt_end=prompt[-300:])
            got = [(call.name, json.loads(call.arguments)) for call in read.calls]
            return (read.text.strip(), read.thinking.strip(), got) == (text, thinking, calls)
    return None


def row(path):
    template = path.read_text("utf8")
    form = ChatFormat.of(template)
    plan = form.plan
    kinds = {marks.syntax.value for each in form.rows[:1] for marks in each.calls}
    kinds |= {"header"} if form.rows[0].header else set()
    kinds |= {"bare"} if form.rows[0].bare else set()
    switch = f"`{plan.switch.variable or plan.switch.off}`" if plan.switch else ""
    written = [
        name
        for name, unlike in (
            ("text arguments", plan.arguments == "text"),
            ("single calls", plan.calls == "single"),
            ("calls as text", plan.calls == "text"),
            ("merged neighbours", plan.merge),
            ("no system role", not plan.system),
            ("text apart from calls", plan.split_text),
            (f"`{plan.tools_as}`", plan.tools_as != "tools"),
        )
        if unlike
    ]
    found = []
    for text, calls, thinking in REPLIES.values():
        try:
            found.append(outcome(form, template, text, list(calls), thinking))
        except (AimuError, ValueError):
            found.append(False)
    tried = [one for one in found if one is not None]
    cells = [
        path.stem,
        form.name,
        ", ".join(sorted(kinds)) if form.name != "unknown" else "",
        f"`{plan.thinking}`" if plan.thinking else "",
        switch + (" (down only)" if plan.switch and plan.switch.weak else ""),
        ", ".join(written),
        ", ".join(sorted(plan.lost)),
        f"{sum(tried)} of {len(tried)}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(folder, page=None):
    rows = [row(path) for path in sorted(Path(folder).glob("*.jinja"))]
    table = "\n".join([HEAD, *rows])
    if page is None:
        print(table)
        return 0
    text = Path(page).read_text("utf8")
    before, mark, rest = text.partition("<!-- survey")
    mark += rest.partition("\n")[0]
    known = {name: int(count) for name, count in COUNT.findall(text)}
    now = {name: int(count) for name, count in COUNT.findall(table)}
    Path(page).write_text(f"{before}{mark}\n\n{table}\n", "utf8")
    worse = sorted(name for name in now if now[name] < known.get(name, 0))
    print(f"{len(rows)} templates; read less than before: {', '.join(worse) or 'none'}")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
