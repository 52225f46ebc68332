"""The command line: subcommands, their options, and help that teaches by example."""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from aimu import __version__
from aimu._cli.choice import MODEL_VARIABLE
from aimu._cli.exits import EXIT_CODES, is_debugging

_ABOUT = """\
Talk to language models, run agents with tools, see what is installed.

  aimu demo                                  see it work, without a key
  aimu chat                                  talk to a model in the terminal
  aimu run "What are tides?"                 one task, its answer on stdout
  aimu doctor                                what is missing, and how to get it
"""

_MODEL = f"""\
which model answers: -m, else {MODEL_VARIABLE}, else the first of these services whose key is set: Anthropic
(ANTHROPIC_API_KEY), OpenAI (OPENAI_API_KEY), Gemini (GOOGLE_API_KEY), else the embedded model of 630 KB, which
knows two tools and nothing else. `aimu models` lists model strings.

A server of your own that speaks OpenAI's protocol: VLLM_BASE_URL=http://HOST:PORT/v1 aimu ... -m vllm:MODEL
"""

_CHAT = """\
examples:
  aimu chat -m ollama:qwen3.5:9b
  aimu chat -m anthropic:claude-sonnet-4-6 --system "Answer in one sentence."
  aimu chat --tools mytools:search --tools mytools:fetch,store
  aimu chat --mcp mcp.json --skills ./skills
  printf 'Hello.\\nAnd now in French.\\n' | aimu chat      a line is a message

in the chat:
  Enter sends, Alt-Enter or Ctrl-J begins a new line, arrow-up brings back what you wrote before
  Ctrl-C stops the answer; the chat goes on with what there is
  Ctrl-C twice at an empty prompt, or Ctrl-D, leaves
  /help lists the commands
"""

_RUN = """\
examples:
  aimu run "What are tides?" -m anthropic:claude-sonnet-4-6
  git diff | aimu run - --system "Write a commit message."
  aimu run "Who wrote Emma?" --output-type books:Book     the value as JSON
  aimu run "What is 17 plus 25?" --json | jq .usage
  aimu run "Which tickets are open?" --mcp mcp.json --timeout 60

The answer goes to stdout, everything else to stderr.
"""

_MODELS = """\
examples:
  aimu models                    the catalog: models known by name
  aimu models claude             those with "claude" in their name
  aimu models -p ollama --tools  those of a provider that call tools
  aimu models --local            those that run here without a download
  aimu models --json | jq -r '.[].model'

Any other id of a provider works as well: aimu run "Hello" -m anthropic:another-id
"""

_DOCTOR = """\
examples:
  aimu doctor                          everything
  aimu doctor -m ollama:qwen3.5:9b     also whether this model can be used
  aimu doctor --json | jq '.[] | select(.state == "broken")'

Exit code 1 if something that you asked for is broken: the model of -m or AIMU_MODEL, a server whose address you set,
an installed extra. What is merely absent is no fault. No key is ever shown; no address but this machine's is asked.
"""

_DEMO = """\
examples:
  aimu demo
  aimu demo --seed 7      the same numbers and the same weather again
  aimu demo --scripted    without weights: scripted answers replace the model
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with code 2 and a usage line if it is wrong."""
    parser = argparse.ArgumentParser("aimu", description=_ABOUT, **_RAW)
    parser.add_argument("--version", action="version", version=f"aimu {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    chat = _command(commands, "chat", "talk to a model in the terminal", _CHAT + "\n" + _MODEL)
    _agent_options(chat)
    chat.set_defaults(quiet=False)
    chat.add_argument("-v", "--verbose", action="store_true", help="show thinking and results of tools in full")
    run = _command(commands, "run", "run one task, print its answer", f"{_RUN}\n{EXIT_CODES}\n{_MODEL}")
    run.add_argument("task", metavar="TASK", help="what to do; - reads it from stdin")
    _agent_options(run)
    run.add_argument("--output-type", metavar="MODULE:CLASS", help="the type that the answer must have")
    run.add_argument("--json", action="store_true", help="print one JSON object: text, output, usage, stop_reason, ...")
    run.add_argument("--image", action="append", default=[], metavar="FILE", help="an image to send; repeatable")
    run.add_argument("--timeout", type=float, metavar="SECONDS", help="stop after so many seconds")
    run.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes on stderr")
    models = _command(commands, "models", "list models", _MODELS)
    models.add_argument("filter", nargs="?", default="", metavar="FILTER", help="a part of the name")
    models.add_argument("-p", "--provider", metavar="NAME", help="only models of this provider")
    for ability in ("tools", "thinking", "vision"):
        models.add_argument(f"--{ability}", action="store_true", help=f"only models known to have {ability}")
    models.add_argument("--local", action="store_true", help="the models in the cache of the Hugging Face hub")
    models.add_argument("--json", action="store_true", help="print a JSON list")
    doctor = _command(commands, "doctor", "check keys, extras, servers and GPU", _DOCTOR)
    doctor.add_argument("-m", "--model", metavar="MODEL", help="also check that this model can be used")
    doctor.add_argument("--json", action="store_true", help="print a JSON list")
    demo = _command(commands, "demo", "agents with tools on the embedded model", _DEMO)
    demo.add_argument("--seed", type=int, default=random.randrange(1000), help="what numbers and weather are made from")
    demo.add_argument("-m", "--model", metavar="MODEL", help="a model string instead of the embedded model")
    demo.add_argument("--scripted", action="store_true", help="scripted answers replace the model")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        named: argparse.ArgumentParser = commands.choices.get(options.command, parser)
        named.error(f"unrecognized arguments: {' '.join(unknown)}{_quotes(options, unknown)}")
    if options.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    options.debug = is_debugging(options.debug)
    return options


def _quotes(options: argparse.Namespace, unknown: Sequence[str]) -> str:
    """Return the advice to quote a task, if its words are what is unknown."""
    if options.command != "run" or any(word.startswith("-") for word in unknown):
        return ""
    return f"; put the task in quotes: aimu run {shlex.quote(' '.join([options.task, *unknown]))}"


_RAW: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}


def _command(commands: Any, name: str, help: str, examples: str) -> argparse.ArgumentParser:
    title = help[0].upper() + help[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=title, epilog=examples, **_RAW)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and the log; AIMU_DEBUG=1 does the same")
    return parser


def _agent_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model", metavar="MODEL", help='a model string, "provider:model_id"')
    add("-s", "--system", metavar="TEXT", help="the system message")
    add(
        "--tools",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="functions that the model may call, or lists of them, with commas between; repeatable; modules of the "
        "working directory are found",
    )
    add("--mcp", action="append", default=[], metavar="FILE", help="a JSON file that names MCP servers; repeatable")
    add("--skills", action="append", default=[], metavar="DIR", help="a folder with skills; repeatable")
    add(
        "--thinking", action=argparse.BooleanOptionalAction, help="whether the model thinks first; its default if unset"
    )
    add(
        "-o",
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help="an option of requests, such as temperature=0.2 or max_tokens=500; repeatable",
    )
    add("--max-iterations", type=int, default=10, metavar="N", help="model requests that may call tools (default: 10)")


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
