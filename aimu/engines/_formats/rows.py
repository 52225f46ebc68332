"""The table of formats that are known by name: one row per family, with its source.

Facts only; a new family is a new row. `signs` are looked for in a template, and several rows may fit one.
Read from the models' own chat templates and model cards on https://huggingface.co, 2026-11-25.
"""

from __future__ import annotations

from collections.abc import Mapping

from aimu.engines._formats.marks import ANY, CallMarks, Header, Row, Syntax, Thinking

_JSON, _NAMED, _TAGGED, _PYTHON = Syntax


def _json(*opening: str, closing: tuple[str, ...] = ()) -> CallMarks:
    return CallMarks(syntax=_JSON, opening=opening, closing=closing)


def _named(*opening: str, naming: str, closing: tuple[str, ...] = (), prefix: str = "", ident: str = "") -> CallMarks:
    return CallMarks(syntax=_NAMED, opening=opening, naming=naming, closing=closing, prefix=prefix, ident=ident)


def _xml(*opening: str, closing: tuple[str, ...], line: str = "") -> CallMarks:
    """`<function=name><parameter=key>value</parameter></function>`; `line` is what surrounds a value."""
    return CallMarks(
        syntax=_TAGGED,
        opening=(*opening, "<function="),
        naming=">",
        key=("<parameter=", ">"),
        value=(line, line + "</parameter>"),
        closing=("</function>", *closing),
    )


def _invoke(*opening: str, closing: tuple[str, ...], space: str = "") -> CallMarks:
    """`<invoke name="name"><parameter name="key">value</parameter></invoke>`; tags begin with `space`."""
    return CallMarks(
        syntax=_TAGGED,
        opening=(*opening, f'<{space}invoke name="'),
        naming='">',
        key=(f'<{space}parameter name="', '"'),
        value=(">", f"</{space}parameter>"),
        closing=(f"</{space}invoke>", *closing),
    )


def _arg_keys(*opening: str, closing: tuple[str, ...], tag: str = "", naming: str = "") -> CallMarks:
    """A name, then `<arg_key>key</arg_key><arg_value>value</arg_value>`; the tags end with `tag`."""
    return CallMarks(
        syntax=_TAGGED,
        opening=opening,
        naming=naming,
        key=(f"<arg_key{tag}>", f"</arg_key{tag}>"),
        value=(f"<arg_value{tag}>", f"</arg_value{tag}>"),
        closing=closing,
    )


_HERMES = _json("<tool_call>", closing=("</tool_call>",))
_QWEN_XML = _xml("<tool_call>", closing=("</tool_call>",), line="\n")
_GLM = _arg_keys("<tool_call>", closing=("</tool_call>",))
_TOOL_CALLS = _json("<tool_calls>", closing=("</tool_calls>",))
_DEEPSEEK = ("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>")
_DEEPSEEK_END = ("<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>")
_COMMAND = _json("<|START_ACTION|>", closing=("<|END_ACTION|>",))
_COMMAND_THINKING = Thinking("<|START_THINKING|>", "<|END_THINKING|>")

ROWS: tuple[Row, ...] = (
    Row(name="hermes", calls=(_HERMES, _QWEN_XML, _GLM), signs=("<tool_call>",)),
    Row(name="xml", calls=(_QWEN_XML, _HERMES), signs=("<function=", "<parameter=")),
    Row(name="glm", calls=(_GLM, _HERMES), signs=("<arg_key>",)),
    Row(
        name="mistral",
        calls=(
            _named("[TOOL_CALLS]", ident="[CALL_ID]", naming="[ARGS]"),
            _json("[TOOL_CALLS]"),
            _named("[TOOL_CALLS]", naming=""),
        ),
        thinking=(Thinking("[THINK]", "[/THINK]"),),
        signs=("[TOOL_CALLS]", "[AVAILABLE_TOOLS]"),
    ),
    Row(
        name="json",
        calls=(
            _json("<|python_tag|>"),
            CallMarks(syntax=_PYTHON, opening=("<|python_tag|>",), code=True),
            _named("<function=", naming=">", closing=("</function>",)),
        ),
        bare=True,
        signs=("<|python_tag|>", "ipython"),
    ),
    Row(
        name="python",
        calls=(
            CallMarks(syntax=_PYTHON, opening=("<function_calls>",), closing=("</function_calls>",)),
            CallMarks(syntax=_PYTHON, opening=("<|python_start|>",), closing=("<|python_end|>",)),
        ),
        bare=True,
        signs=("<|python_start|>", "<function_calls>"),
    ),
    Row(
        name="lfm2",
        calls=(
            CallMarks(syntax=_PYTHON, opening=("<|tool_call_start|>",), closing=("<|tool_call_end|>",)),
            _json("<|tool_call_start|>", closing=("<|tool_call_end|>",)),
        ),
        signs=("<|tool_list_start|>", "<|tool_call_start|>", "List of tools: ["),
    ),
    Row(
        name="deepseek-r1",
        calls=(
            _named(
                _DEEPSEEK[0], "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", naming="```json", closing=_DEEPSEEK_END
            ),
            _named(*_DEEPSEEK, naming="<｜tool▁sep｜>", closing=_DEEPSEEK_END),
        ),
        signs=("<｜tool▁calls▁begin｜>",),
    ),
    Row(
        name="dsml",
        calls=(
            _invoke("<｜DSML｜function_calls>", closing=("</｜DSML｜function_calls>",), space="｜DSML｜"),
            _invoke("<｜DSML｜tool_calls>", closing=("</｜DSML｜tool_calls>",), space="｜DSML｜"),
        ),
        signs=("｜DSML｜",),
    ),
    Row(
        name="kimi",
        calls=(
            _named(
                "<|tool_calls_section_begin|>",
                "<|tool_call_begin|>",
                prefix="functions.",
                naming="<|tool_call_argument_begin|>",
                closing=("<|tool_call_end|>", "<|tool_calls_section_end|>"),
            ),
        ),
        thinking=(Thinking("◁think▷", "◁/think▷"),),
        signs=("<|tool_calls_section_begin|>",),
    ),
    Row(
        name="harmony",
        header=Header(
            starts=("<|start|>", "<|channel|>"),
            end="<|message|>",
            closes=("<|end|>", "<|call|>", "<|return|>"),
            thinking=("analysis",),
        ),
        signs=("<|channel|>",),
    ),
    Row(
        name="command-r",
        calls=(_COMMAND,),
        thinking=(_COMMAND_THINKING,),
        answer=(("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>")),
        dropped=("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        signs=("<|START_ACTION|>", "<|START_THINKING|>"),
    ),
    Row(
        name="command-r-plus",
        calls=(_json("Action:"),),
        dropped=("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        signs=("Write 'Action:'", "Write \\'Action:\\'"),
    ),
    Row(
        name="gemma4",
        calls=(
            CallMarks(
                syntax=_NAMED,
                opening=("<|tool_call>",),
                prefix="call:",
                quote='<|"|>',
                closing=("<tool_call|>",),
            ),
        ),
        thinking=(Thinking("<|channel>", "<channel|>", label="thought"),),
        dropped=("<turn|>", "<|tool_response>"),
        signs=("<|tool_call>",),
    ),
    Row(
        name="functiongemma",
        calls=(
            CallMarks(
                syntax=_NAMED,
                opening=("<start_function_call>",),
                prefix="call:",
                quote="<escape>",
                closing=("<end_function_call>",),
            ),
        ),
        signs=("<start_function_call>",),
    ),
    Row(
        name="granite",
        calls=(
            _json("<|tool_call|>"),
            _json("<function_call>", closing=("</function_call>",)),
        ),
        thinking=(
            Thinking("Here is my thought process:", "Here is my response:"),
            Thinking("Here's my thought process:", "Here's my response:"),
        ),
        answer=(("<response>", "</response>"),),
        signs=("<|tool_call|>", "<|start_of_role|>", "<function_call>"),
    ),
    Row(
        name="seed",
        calls=(_xml("<seed:tool_call>", closing=("</seed:tool_call>",)),),
        thinking=(Thinking("<seed:think>", "</seed:think>"),),
        signs=("<seed:tool_call>",),
    ),
    Row(
        name="minimax",
        calls=(_invoke("<minimax:tool_call>", closing=("</minimax:tool_call>",)),),
        signs=("<minimax:tool_call>", "minimax:tool_call"),
    ),
    Row(
        name="minimax-m3",
        calls=(
            CallMarks(
                syntax=_TAGGED,
                opening=("]<]minimax[>[<tool_call>", ']<]minimax[>[<invoke name="'),
                naming='">',
                key=("]<]minimax[>[<", ">"),
                value=("", f"]<]minimax[>[</{ANY}>"),
                closing=("]<]minimax[>[</invoke>", "]<]minimax[>[</tool_call>"),
            ),
        ),
        thinking=(Thinking("<mm:think>", "</mm:think>"),),
        signs=("]<]minimax[>[",),
    ),
    Row(name="tool-calls", calls=(_TOOL_CALLS,), signs=("<tool_calls>",)),
    Row(
        name="apriel",
        calls=(_TOOL_CALLS,),
        thinking=(Thinking("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", kept=True),),
        dropped=("[END FINAL RESPONSE]", "<|end|>"),
        signs=("[BEGIN FINAL RESPONSE]",),
    ),
    Row(
        name="nemotron",
        calls=(_json("<TOOLCALL>", closing=("</TOOLCALL>",)),),
        signs=("<TOOLCALL>",),
    ),
    Row(
        name="apertus",
        calls=(_json("<|tools_prefix|>", closing=("<|tools_suffix|>",)),),
        thinking=(Thinking("<|inner_prefix|>", "<|inner_suffix|>"),),
        dropped=("<|assistant_end|>",),
        signs=("<|tools_prefix|>",),
    ),
    Row(
        name="gigachat",
        calls=(
            _json("<|message_sep|>\n\nfunction call<|role_sep|>"),
            _json("function call<|role_sep|>"),
            _json("<|function_call|>"),
        ),
        dropped=("<|message_sep|>",),
        signs=("<|message_sep|>", "<|function_call|>"),
    ),
    Row(
        name="functionary",
        calls=(
            _named("<function=", naming=">", closing=("</function>",)),
            _json("<|python_tag|>"),
            CallMarks(syntax=_PYTHON, opening=("<|python_tag|>",), code=True),
        ),
        signs=("<function=example_function_name>",),
    ),
    Row(
        name="functionary-recipient",
        calls=(_named(">>>", naming="\n"),),
        answer=((">>>all\n", ""),),
        signs=(">>>all",),
    ),
    Row(name="functools", calls=(_json("functools"),), signs=("functools[", "functools marker")),
    Row(
        name="internlm",
        calls=(_json("<|action_start|>", "<|plugin|>", closing=("<|action_end|>",)),),
        signs=("<|plugin|>", "<|action_start|>"),
    ),
    Row(
        name="longcat",
        calls=(
            _json("<longcat_tool_call>", closing=("</longcat_tool_call>",)),
            _arg_keys("<longcat_tool_call>", closing=("</longcat_tool_call>",), tag=""),
        ),
        thinking=(Thinking("<longcat_think>", "</longcat_think>"),),
        signs=("<longcat_tool_call>",),
    ),
    Row(
        name="step3",
        calls=(
            CallMarks(
                syntax=_TAGGED,
                opening=(
                    "<｜tool_calls_begin｜>",
                    "<｜tool_call_begin｜>",
                    "function<｜tool_sep｜>",
                    '<steptml:invoke name="',
                ),
                naming='">',
                key=('<steptml:parameter name="', '"'),
                value=(">", "</steptml:parameter>"),
                closing=("</steptml:invoke>", "<｜tool_call_end｜>", "<｜tool_calls_end｜>"),
            ),
        ),
        signs=("<｜tool_calls_begin｜>",),
    ),
    Row(
        name="hunyuan",
        calls=(
            _arg_keys(
                "<tool_calls:opensource>",
                "<tool_call:opensource>",
                naming="<tool_sep:opensource>",
                tag=":opensource",
                closing=("</tool_call:opensource>", "</tool_calls:opensource>"),
            ),
        ),
        thinking=(Thinking("<think:opensource>", "</think:opensource>"),),
        signs=("<tool_calls:opensource>", "hy_Assistant"),
    ),
    Row(
        name="kimi-k3",
        calls=(
            CallMarks(
                syntax=_TAGGED,
                opening=("<|open|>tools<|sep|>", '<|open|>call tool="'),
                ident='" index="',
                naming='"<|sep|>',
                key=('<|open|>argument key="', '"'),
                value=("<|sep|>", "<|close|>argument<|sep|>"),
                closing=("<|close|>call<|sep|>", "<|close|>tools<|sep|>"),
            ),
        ),
        thinking=(Thinking("<|open|>think<|sep|>", "<|close|>think<|sep|>"),),
        answer=(("<|open|>response<|sep|>", "<|close|>response<|sep|>"),),
        dropped=("<|close|>message<|sep|>", "<|end_of_msg|>"),
        signs=("<|end_of_msg|>",),
    ),
    Row(
        name="muse",
        calls=(_invoke("<atem:function_calls>", closing=("</atem:function_calls>",), space="atem:"),),
        header=Header(starts=("<|start|>",), end="<|message|>", closes=("<|eom|>", "<|eot|>"), thinking=("self",)),
        signs=("<atem:function_calls>", "atem:invoke"),
    ),
    Row(
        name="minicpm",
        calls=(
            CallMarks(
                syntax=_TAGGED,
                opening=('<function name="',),
                naming='">',
                key=('<param name="', '"'),
                value=(">", "</param>"),
                closing=("</function>",),
            ),
        ),
        signs=('<param name="', "<param name=\\'"),
    ),
    Row(
        name="solar",
        calls=(
            _named(
                "<|tool_calls|>",
                "<|tool_call:begin|>",
                ANY,
                "<|tool_call:name|>",
                naming="<|tool_call:args|>",
                closing=("<|tool_call:end|>", "<|calls|>"),
            ),
        ),
        thinking=(Thinking("<|think|>", "<|end|>"),),
        answer=(("<|content|>", "<|end|>"),),
        dropped=("<|begin|>assistant",),
        signs=("<|tool_call:begin|>",),
    ),
)

NAMED: Mapping[str, Row] = {row.name: row for row in ROWS}

ANYTHING = Row(
    name="anything", answer=(("<response>", "</response>"), ("<answer>", "</answer>")), bare=True, guessed=True
)
"""What models write of which nothing is known but their text."""


def rows_for(template: str) -> tuple[Row, ...]:
    """The rows whose signs are in a template."""
    return tuple(row for row in ROWS if any(sign in template for sign in row.signs))
