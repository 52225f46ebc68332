"""Families of models: for each a small template with its marks, and what its model writes. All made for these tests."""

import json
from collections.abc import Callable

from attrs import field, frozen

CALLS = "{% for t in m.tool_calls or [] %}{% set c = t.function %}"


def chat(begin, end, calls, *, think="", text="{{ m.content or '' }}", result=None, opens="", first=""):
    """A chat template. `begin` and `end` stand around a message, `ROLE` in them is its role."""
    role = begin.replace("ROLE", "{{ m.role }}")
    own = begin.replace("ROLE", "assistant")
    shown = "{% if m.reasoning_content %}" + think + "{% endif %}" if think else ""
    result = result or role + "{{ m.content }}" + end
    return (
        first
        + "{% if tools %}"
        + begin.replace("ROLE", "system")
        + "Tools: {{ tools | tojson }}"
        + end
        + "{% endif %}{% for m in messages %}{% if m.role == 'tool' %}"
        + result
        + "{% elif m.role == 'assistant' %}"
        + own
        + shown
        + text
        + calls
        + end
        + "{% else %}"
        + role
        + "{{ m.content }}"
        + end
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + own
        + opens
        + "{% endif %}"
    )


CHATML = "<|im_start|>ROLE\n", "<|im_end|>\n"
THINK = "<think>\n{{ m.reasoning_content }}\n</think>\n\n"
XML_ARGUMENTS = "{% for k, v in c.arguments.items() %}KEY{{ k }}IS{{ v if v is string else v | tojson }}END{% endfor %}"


def tagged(before, key, value, end, behind):
    arguments = XML_ARGUMENTS.replace("KEY", key).replace("IS", value).replace("END", end)
    return CALLS + before + arguments + behind + "{% endfor %}"


def write_tagged(before, key, value, end, behind):
    def write(name, arguments):
        pairs = "".join(
            f"{key}{k}{value}{v if isinstance(v, str) else json.dumps(v)}{end}" for k, v in arguments.items()
        )
        return before.replace("NAME", name) + pairs + behind

    return write


@frozen
class Family:
    """`call` writes one call; `many` what stands around several; `thought` a thought; `answer` an answer."""

    name: str
    template: str
    call: Callable[[str, dict], str]
    many: tuple[str, str, str] = field(default=("", "", ""), kw_only=True)
    thought: str = field(default="<think>\nTHOUGHT\n</think>\n\n", kw_only=True)
    answer: str = field(default="TEXT", kw_only=True)
    opens: str = field(default="", kw_only=True)
    derived: bool = field(default=True, kw_only=True)

    def calls(self, *calls):
        before, between, behind = self.many
        return before + between.join(self.call(name, arguments) for name, arguments in calls) + behind

    def think(self, text):
        return self.thought.replace("THOUGHT", text)

    def say(self, text):
        return self.answer.replace("TEXT", text)

    @property
    def thinks(self):
        return "THOUGHT" in self.thought


def dumps(name, arguments):
    return json.dumps({"name": name, "arguments": arguments})


XML = "<tool_call>\n<function=NAME>\n", "<parameter=", ">\n", "\n</parameter>\n", "</function>\n</tool_call>"
SEED = "<seed:tool_call>\n<function=NAME>\n", "<parameter=", ">", "</parameter>\n", "</function>\n</seed:tool_call>"
GLM = "<tool_call>NAME\n", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n", "</tool_call>"
MINIMAX = '<invoke name="NAME">\n', '<parameter name="', '">', "</parameter>\n", "</invoke>\n"
MUSE = (
    '<atem:function_calls>\n<atem:invoke name="NAME">\n',
    '<atem:parameter name="',
    '">',
    "</atem:parameter>\n",
    "</atem:invoke>\n</atem:function_calls>",
)
MINICPM = '<function name="NAME">', '<param name="', '">', "</param>", "</function>"
HUNYUAN = (
    "<tool_call:opensource>NAME<tool_sep:opensource>\n",
    "<arg_key:opensource>",
    "</arg_key:opensource>\n<arg_value:opensource>",
    "</arg_value:opensource>\n",
    "</tool_call:opensource>",
)
K3 = (
    '<|open|>call tool="NAME" index="1"<|sep|>',
    '<|open|>argument key="',
    '" type="string"<|sep|>',
    "<|close|>argument<|sep|>",
    "<|close|>call<|sep|>",
)


def xml_family(name, tags, **options):
    around = options.pop("around", ("", ""))
    turn = options.pop("turn", CHATML)
    before = tags[0].replace("NAME", "{{ c.name }}").replace('index="1"', 'index="{{ loop.index }}"')
    calls = tagged(before, *tags[1:])
    template = chat(*turn, "{% if m.tool_calls %}" + around[0] + calls + around[1] + "{% endif %}", **options)
    return template, write_tagged(*tags)


def dsml(name, arguments):
    pairs = "".join(
        f'<｜DSML｜parameter name="{k}" string="{str(isinstance(v, str)).lower()}">'
        f"{v if isinstance(v, str) else json.dumps(v)}</｜DSML｜parameter>\n"
        for k, v in arguments.items()
    )
    return f'<｜DSML｜invoke name="{name}">\n{pairs}</｜DSML｜invoke>\n'


DSML = (
    "{% if m.tool_calls %}\n\n<｜DSML｜function_calls>\n" + CALLS + '<｜DSML｜invoke name="{{ c.name }}">\n'
    '{% for k, v in c.arguments.items() %}<｜DSML｜parameter name="{{ k }}" string="{{ \'true\' if v is '
    "string else 'false' }}\">"
    "{{ v if v is string else v | tojson }}</｜DSML｜parameter>\n{% endfor %}</｜DSML｜invoke>\n{% endfor %}"
    "</｜DSML｜function_calls>{% endif %}"
)


def minimax_m3(name, arguments):
    sign = "]<]minimax[>["
    pairs = "".join(
        f"{sign}<{k}>{v if isinstance(v, str) else json.dumps(v)}{sign}</{k}>" for k, v in arguments.items()
    )
    return f'{sign}<invoke name="{name}">{pairs}{sign}</invoke>\n'


M3 = "]<]minimax[>["
M3_CALLS = (
    "{% if m.tool_calls %}" + M3 + "<tool_call>\n" + CALLS + M3 + '<invoke name="{{ c.name }}">'
    "{% for k, v in c.arguments.items() %}" + M3 + "<{{ k }}>{{ v if v is string else v | tojson }}" + M3 + "</{{ k }}>"
    "{% endfor %}" + M3 + "</invoke>\n{% endfor %}" + M3 + "</tool_call>{% endif %}"
)
GEMMA_VALUE = (
    "{% for k, v in c.arguments.items() %}{{ k }}:{{ '<|\"|>' ~ v ~ '<|\"|>' if v is string else v | tojson }}"
)


def gemma(name, arguments):
    pairs = ",".join(f'{k}:<|"|>{v}<|"|>' if isinstance(v, str) else f"{k}:{v}" for k, v in arguments.items())
    return f"<|tool_call>call:{name}{{{pairs}}}<tool_call|>"


def python(name, arguments):
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


HARMONY = (
    "{% if tools %}<|start|>developer<|message|>Tools: {{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}"
    "{% if m.role == 'assistant' %}{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}"
    "{{ raise_exception('One call at a time.') }}{% endif %}{% set c = m.tool_calls[0].function %}"
    "{% if m.content and m.thinking %}{{ raise_exception('Content or thinking, not both.') }}{% endif %}"
    "{% if m.content or m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.content or "
    "m.thinking }}<|end|>"
    "{% endif %}<|start|>assistant to=functions.{{ c.name }}<|channel|>commentary json<|message|>{{ "
    "c.arguments | tojson }}"
    "<|call|>{% else %}{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking "
    "}}<|end|>{% endif %}"
    "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>{% endif %}{% elif m.role == 'tool' %}"
    "<|start|>functions.{{ m.name }} to=assistant<|channel|>commentary<|message|>{{ m.content }}<|end|>{% else %}"
    "<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


def harmony(name, arguments):
    header = f"<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json"
    return f"{header}<|message|>{json.dumps(arguments)}<|call|>"


SOLAR = (
    "{% if tools %}<|begin|>system<|content|>Tools: {{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}"
    "{% if m.role == 'assistant' %}{% if m.reasoning %}<|begin|>assistant<|think|>{{ m.reasoning }}<|end|>{% endif %}"
    "{% if m.tool_calls %}<|begin|>assistant<|tool_calls|>{% for t in m.tool_calls %}<|tool_call:begin|>{{ t.id }}"
    "<|tool_call:name|>{{ t.function.name }}<|tool_call:args|>{{ t.function.arguments | tojson "
    "}}<|tool_call:end|>{% endfor %}"
    "<|calls|>{% else %}<|begin|>assistant<|content|>{{ m.content }}<|end|>{% endif %}{% elif m.role == 'tool' %}"
    "<|begin|>tool<|tool_response|>{{ m.content }}<|end|>{% else %}<|begin|>{{ m.role }}<|content|>{{ "
    "m.content }}<|end|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|begin|>assistant{% endif %}"
)
FUNCTIONARY = (
    "{% if tools %}<|start|>system\n{{ tools | tojson }}<|eot_id|>{% endif %}{% for m in messages "
    "%}<|start|>{{ m.role }}\n\n"
    "{% if m.role == 'assistant' %}{% if m.content %}>>>all\n{{ m.content }}{% endif %}"
    + CALLS
    + ">>>{{ c.name }}\n{{ c.arguments | tojson }}{% endfor %}{% else %}{{ m.content }}{% endif %}"
    "<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n\n>>>{% endif %}"
)
LLAMA = chat(
    "<|start_header_id|>ROLE<|end_header_id|>\n\n",
    "<|eot_id|>",
    "{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception('One call at a time.') }}{% endif %}"
    '{% set c = m.tool_calls[0].function %}{"name": "{{ c.name }}", "parameters": {{ c.arguments | tojson '
    "}}}{% endif %}",
    text="{% if not m.tool_calls %}{{ m.content }}{% endif %}",
    result="<|start_header_id|>ipython<|end_header_id|>\n\n{{ m.content }}<|eot_id|>",
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% set ns = "
    "namespace(last='') %}"
    "{% for m in messages %}{% if m.role == ns.last %}{{ raise_exception('Roles must alternate.') if m.role "
    "!= 'tool' }}{% endif %}"
    "{% set ns.last = m.role %}{% if m.role == 'assistant' %}{% if m.content is not string %}{% for b in "
    "m.content or [] %}"
    "{% if b.type == 'thinking' %}[THINK]{{ b.thinking }}[/THINK]{% else %}{{ b.text }}{% endif %}{% endfor "
    "%}{% else %}"
    "{{ m.content }}{% endif %}"
    + CALLS
    + "[TOOL_CALLS]{{ c.name }}[ARGS]{{ c.arguments | tojson }}{% endfor %}</s>{% elif m.role == 'tool' %}"
    "[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]{% elif m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content "
    "}}[/SYSTEM_PROMPT]"
    "{% else %}[INST]{{ m.content }}[/INST]{% endif %}{% endfor %}"
)
DEEPSEEK_TEXT = (  # arguments are text here: another value cannot be added to text
    "{% if m.tool_calls %}<｜tool▁calls▁begin｜>"
    + CALLS
    + "{{ '<｜tool▁call▁begin｜>' + c.name + '<｜tool▁sep｜>' + c.arguments + '<｜tool▁call▁end｜>' }}{% endfor %}"
    "<｜tool▁calls▁end｜>{% endif %}"
)


def _families():
    hermes = (
        CALLS
        + '<tool_call>\n{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}\n</tool_call>{% endfor %}'
    )
    yield Family(
        "hermes", chat(*CHATML, hermes, think=THINK), lambda n, a: f"<tool_call>\n{dumps(n, a)}\n</tool_call>\n"
    )
    yield Family("xml", *xml_family("xml", XML, think=THINK, opens="<think>\n"), opens="<think>\n")
    glm_turn = "<|ROLE|>\n", ""
    glm_think = "<think>{{ m.reasoning_content }}</think>\n"
    yield Family("glm", *xml_family("glm", GLM, turn=glm_turn, think=glm_think), thought="<think>THOUGHT</think>\n")
    yield Family(
        "mistral",
        MISTRAL,
        lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}",
        thought="[THINK]THOUGHT[/THINK]",
    )
    yield Family("json", LLAMA, lambda n, a: json.dumps({"name": n, "parameters": a}), many=("", "; ", ""), thought="")
    lfm = (
        "{% if m.tool_calls %}<|tool_call_start|>["
        + CALLS
        + (
            '{{ c.name }}({% for k, v in c.arguments.items() %}{{ k }}={{ "\'" ~ v ~ "\'" if v is string else v }}'
            "{{ ', ' if not loop.last }}{% endfor %}){{ ', ' if not loop.last }}{% endfor "
            "%}]<|tool_call_end|>{% endif %}"
        )
    )
    yield Family(
        "lfm2", chat(*CHATML, lfm, think=THINK), python, many=("<|tool_call_start|>[", ", ", "]<|tool_call_end|>")
    )
    yield Family(
        "deepseek-r1",
        chat("<｜ROLE｜>", "<｜end▁of▁sentence｜>", DEEPSEEK_TEXT, think="<think>{{ m.reasoning_content }}</think>"),
        lambda n, a: f"<｜tool▁call▁begin｜>{n}<｜tool▁sep｜>{json.dumps(a)}<｜tool▁call▁end｜>",
        many=("<｜tool▁calls▁begin｜>", "", "<｜tool▁calls▁end｜>"),
        thought="<think>THOUGHT</think>",
    )
    yield Family(
        "dsml",
        chat(
            "<｜ROLE｜>",
            "<｜end▁of▁sentence｜>",
            DSML,
            think="<think>{{ m.reasoning_content }}</think>",
            opens="<think>",
        ),
        dsml,
        many=("\n\n<｜DSML｜function_calls>\n", "", "</｜DSML｜function_calls>"),
        thought="<think>THOUGHT</think>",
        opens="<think>",
    )
    kimi = (
        "{% if m.tool_calls %}<|tool_calls_section_begin|>"
        + CALLS
        + (
            "<|tool_call_begin|>{{ t.id }}<|tool_call_argument_begin|>{{ c.arguments | tojson "
            "}}<|tool_call_end|>{% endfor %}"
            "<|tool_calls_section_end|>{% endif %}"
        )
    )
    yield Family(
        "kimi",
        chat("<|im_ROLE|>ROLE<|im_middle|>", "<|im_end|>", kimi, think="<think>{{ m.reasoning_content }}</think>"),
        lambda n, a: f"<|tool_call_begin|>functions.{n}:0<|tool_call_argument_begin|>{json.dumps(a)}<|tool_call_end|>",
        many=("<|tool_calls_section_begin|>", "", "<|tool_calls_section_end|>"),
        thought="<think>THOUGHT</think>",
    )
    yield Family(
        "harmony",
        HARMONY,
        harmony,
        thought="<|channel|>analysis<|message|>THOUGHT<|end|>",
        answer="<|start|>assistant<|channel|>final<|message|>TEXT",
    )
    command = (
        "{% if m.tool_calls %}<|START_ACTION|>[\n"
        + CALLS
        + (
            '    {"tool_call_id": "{{ loop.index0 }}", "tool_name": "{{ c.name }}", "parameters": {{ '
            "c.arguments | tojson }}}"
            "{{ ',\n' if not loop.last }}{% endfor %}\n]<|END_ACTION|>{% endif %}"
        )
    )
    yield Family(
        "command-r",
        chat(
            "<|START_OF_TURN_TOKEN|><|ROLE_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            command,
            think="<|START_THINKING|>{{ m.reasoning_content }}<|END_THINKING|>",
            text="{% if m.content %}<|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% endif %}",
        ),
        lambda n, a: json.dumps({"tool_call_id": "0", "tool_name": n, "parameters": a}),
        many=("<|START_ACTION|>[\n    ", ",\n    ", "\n]<|END_ACTION|>"),
        thought="<|START_THINKING|>THOUGHT<|END_THINKING|>",
        answer="<|START_RESPONSE|>TEXT<|END_RESPONSE|>",
    )
    gemma4 = (
        CALLS
        + "<|tool_call>call:{{ c.name }}{{ '{' }}"
        + GEMMA_VALUE
        + "{{ ',' if not loop.last }}{% endfor %}}<tool_call|>{% endfor %}"
    )
    yield Family(
        "gemma4",
        chat("<|turn>ROLE\n", "<turn|>\n", gemma4, think="<|channel>thought\n{{ m.reasoning_content }}<channel|>"),
        gemma,
        thought="<|channel>thought\nTHOUGHT<channel|>",
    )
    granite = "<|start_of_role|>ROLE<|end_of_role|>", "<|end_of_text|>\n"
    yield Family(
        "granite",
        chat(*granite, ""),
        dumps,
        many=("<|tool_call|>[", ", ", "]"),
        thought="Here is my thought process: THOUGHT Here is my response: ",
        derived=False,
    )
    yield Family(
        "seed",
        *xml_family(
            "seed",
            SEED,
            turn=("<seed:bos>ROLE\n", "<seed:eos>"),
            think="<seed:think>{{ m.reasoning_content }}</seed:think>\n",
        ),
        thought="<seed:think>THOUGHT</seed:think>\n",
    )
    around = "\n<minimax:tool_call>\n", "</minimax:tool_call>"
    yield Family(
        "minimax",
        *xml_family("minimax", MINIMAX, turn=("]~b]ROLE\n", "[e~[\n"), think=THINK, opens="<think>\n", around=around),
        many=(around[0], "", around[1]),
        opens="<think>\n",
    )
    yield Family(
        "minimax-m3",
        chat("]~b]ROLE\n", "[e~[\n", M3_CALLS, think="<mm:think>{{ m.reasoning_content }}</mm:think>"),
        minimax_m3,
        many=(M3 + "<tool_call>\n", "", M3 + "</tool_call>"),
        thought="<mm:think>THOUGHT</mm:think>",
    )
    tool_calls = (
        "{% if m.tool_calls %}<tool_calls>["
        + CALLS
        + (
            '{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}{{ ", " if not loop.last }}{% '
            "endfor %}]</tool_calls>"
            "{% endif %}"
        )
    )
    yield Family(
        "apriel",
        chat(
            "<|begin_ROLE|>\n",
            "\n<|end|>\n",
            tool_calls,
            think="{{ m.reasoning_content }}\n[BEGIN FINAL RESPONSE]\n",
            opens="Here are my reasoning steps:\n",
        ),
        dumps,
        many=("<tool_calls>[", ", ", "]</tool_calls>"),
        thought="Here are my reasoning steps:\nTHOUGHT\n[BEGIN FINAL RESPONSE]\n",
        opens="Here are my reasoning steps:\n",
    )
    yield Family(
        "nemotron",
        chat("<SPECIAL_11>ROLE\n", "<SPECIAL_12>\n", tool_calls.replace("tool_calls>", "TOOLCALL>"), think=THINK),
        dumps,
        many=("<TOOLCALL>[", ", ", "]</TOOLCALL>"),
    )
    apertus = (
        "{% if m.tool_calls %}<|tools_prefix|>["
        + CALLS
        + (
            '{"{{ c.name }}": {{ c.arguments | tojson }}}{{ ", " if not loop.last }}{% endfor '
            "%}]<|tools_suffix|>{% endif %}"
        )
    )
    yield Family(
        "apertus",
        chat(
            "<|ROLE_start|>",
            "<|ROLE_end|>".replace("ROLE", "assistant"),
            apertus,
            think="<|inner_prefix|>{{ m.reasoning_content }}<|inner_suffix|>",
        ),
        lambda n, a: json.dumps({n: a}),
        many=("<|tools_prefix|>[", ", ", "]<|tools_suffix|>"),
        thought="<|inner_prefix|>THOUGHT<|inner_suffix|>",
    )
    gigachat = CALLS + (
        '<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "{{ c.name }}", "arguments": {{ c.arguments '
        "| tojson }}}"
        "{% endfor %}"
    )
    yield Family(
        "gigachat",
        chat("ROLE<|role_sep|>\n", "<|message_sep|>\n\n", gigachat),
        lambda n, a: f"<|message_sep|>\n\nfunction call<|role_sep|>\n{dumps(n, a)}",
        thought="",
    )
    functionary = CALLS + "<function={{ c.name }}>{{ c.arguments | tojson }}</function>{% endfor %}"
    example = "{# <function=example_function_name> #}"
    yield Family(
        "functionary",
        chat("<|start|>ROLE\n\n", "<|eot_id|>", functionary, first=example),
        lambda n, a: f"<function={n}>{json.dumps(a)}</function>",
        thought="",
    )
    yield Family(
        "functionary-recipient",
        FUNCTIONARY,
        lambda n, a: f"{n}\n{json.dumps(a)}",
        many=("", ">>>", ""),
        thought="",
        answer="all\nTEXT",
    )
    functools = (
        "{% if m.tool_calls %} functools["
        + CALLS
        + (
            '{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}{{ ", " if not loop.last }}{% '
            "endfor %}]{% endif %}"
        )
    )
    yield Family(
        "functools",
        chat("<|start|>ROLE\n\n", "<|eot_id|>", functools, first="{# functools[ #}"),
        dumps,
        many=(" functools[", ", ", "]"),
        thought="",
    )
    yield Family(
        "hunyuan",
        *xml_family(
            "hunyuan",
            HUNYUAN,
            turn=("<｜hy_ROLE｜>", ""),
            think="<think:opensource>{{ m.reasoning_content }}</think:opensource>",
            around=("<tool_calls:opensource>\n", "\n</tool_calls:opensource>"),
        ),
        many=("<tool_calls:opensource>\n", "\n", "\n</tool_calls:opensource>"),
        thought="<think:opensource>THOUGHT</think:opensource>",
    )
    yield Family(
        "kimi-k3",
        *xml_family(
            "kimi-k3",
            K3,
            turn=('<|open|>message role="ROLE"<|sep|>', "<|close|>message<|sep|><|end_of_msg|>"),
            think="<|open|>think<|sep|>{{ m.reasoning_content }}<|close|>think<|sep|>",
            text="{% if m.content %}<|open|>response<|sep|>{{ m.content }}<|close|>response<|sep|>{% endif %}",
            around=("<|open|>tools<|sep|>", "<|close|>tools<|sep|>"),
        ),
        many=("<|open|>tools<|sep|>", "", "<|close|>tools<|sep|>"),
        thought="<|open|>think<|sep|>THOUGHT<|close|>think<|sep|>",
        answer="<|open|>response<|sep|>TEXT<|close|>response<|sep|>",
    )
    muse = (
        "{% if tools %}<|start|>system<|message|>{{ tools | tojson }}<|eot|>{% endif %}{% for m in messages %}"
        "{% if m.role == 'assistant' %}{% if m.reasoning_content %}<|start|>assistant to=self<|message|>"
        "{{ m.reasoning_content }}<|eom|>{% endif %}{% if m.content %}<|start|>assistant "
        "to=user<|message|>{{ m.content }}<|eot|>"
        "{% endif %}"
        + CALLS
        + "<|start|>assistant to={{ c.name }}<|message|>"
        + tagged(MUSE[0].replace("NAME", "{{ c.name }}"), *MUSE[1:]).removeprefix(CALLS).removesuffix("{% endfor %}")
        + "<|eot|>{% endfor %}{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|eot|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    )
    write_muse = write_tagged(*MUSE)
    yield Family(
        "muse",
        muse,
        lambda n, a: f"<|start|>assistant to={n}<|message|>{write_muse(n, a)}<|eom|>",
        thought=" to=self<|message|>THOUGHT<|eom|>",
        answer="<|start|>assistant to=user<|message|>TEXT",
    )
    yield Family("minicpm", *xml_family("minicpm", MINICPM, think=THINK))
    yield Family(
        "solar",
        SOLAR,
        lambda n, a: (
            f"<|tool_call:begin|>a1b2c3d4e<|tool_call:name|>{n}<|tool_call:args|>{json.dumps(a)}<|tool_call:end|>"
        ),
        many=("<|begin|>assistant<|tool_calls|>", "", "<|calls|>"),
        thought="<|think|>THOUGHT<|end|>",
        answer="<|begin|>assistant<|content|>TEXT<|end|>",
    )


FAMILIES = {family.name: family for family in _families()}
