"""Tables of what the engines make of each kind of model: `python -m tests.engines.survey [PAGE]`.

Models of random weights go through the conversations of `comparing`. Prints the tables, or puts them into PAGE, below
the line that begins with `<!-- survey`. Ends with 1 if a turn differs from what the library itself writes.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import anyio
import transformers

from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import EngineError
from aimu.testing import tiny_model
from tests.engines.architectures import NotBuilt, Outcome, examine, kinds, random_model, reason
from tests.engines.comparing import TURNS, compare, compare_together
from tests.engines.fresh import Fresh
from tests.engines.gguf_kinds import CHATML, KINDS, REFUSED, byte_level, random_gguf

SHOWN = {"first": "first turn", "next": "next turn", "branch": "branch"}
HEADS = ["architecture", "class", *SHOWN.values(), "other turns", "batch", "reused"]


def table(heads, rows):
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def cells(outcome):
    """The turns of a row, and what its prompts reuse."""
    said = ["differs" if turn in outcome.differ else "equal" for turn in SHOWN]
    others = [turn for turn in TURNS if turn not in SHOWN and turn in outcome.differ]
    some = "whole conversations" if outcome.reused["back"] else "nothing"
    reused = "any beginning" if outcome.reused["again"] else some
    return [*said, f"differ: {', '.join(others)}" if others else "equal"], reused


def batch(outcome):
    if not outcome.batch_refused:
        return "differs" if "batch" in outcome.differ else "equal"
    reason = outcome.batch_refused.removesuffix("; use batch=1")
    return f"refused: {reason.rpartition(' this model, which ')[2]}"


def transformers_tables():
    """Examine all architectures of transformers; return the tables, and the kinds that differ."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model())
    rows, refused, missing, differ = [], [], [], []
    for kind in kinds():
        try:
            model = random_model(kind)
        except NotBuilt:
            missing.append(f"`{kind}`")
            continue
        outcome = anyio.run(examine, model, tokenizer)
        names = [f"`{kind}`", f"`{type(model).__name__}`"]
        if outcome.refused:
            refused.append([names[0], f"`{outcome.refused.partition(' ')[0]}` {outcome.refused.partition(' ')[2]}"])
            continue
        turns, reused = cells(outcome)
        rows.append([*names, *turns, batch(outcome), reused])
        differ += [kind] * bool(outcome.differ)
    text = [
        f"### transformers {transformers.__version__}: {len(rows)} architectures",
        table(HEADS, rows),
        f"### Refused at loading: {len(refused)} architectures",
        table(["architecture", "reason"], [[name, said.replace("\n", " ")] for name, said in refused]),
        "Without a tiny configuration, so not examined: " + ", ".join(missing) + ".",
    ]
    return text, differ


def gguf_tables():
    """Examine the kinds of GGUF files; return the tables, and the kinds that differ."""
    rows, refused, differ = [], [], []
    vocabulary = byte_level(CHATML.replace("{{ START }}", ""))
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in (KINDS | REFUSED).items():
            path = random_gguf(Path(folder) / f"{kind.architecture}.gguf", kind, vocabulary)
            try:
                engine = LlamaCppEngine(path, threads=1)
            except EngineError as exc:
                refused.append([name, f"`{kind.architecture}`", reason(exc)])
                continue
            fresh = Fresh(path)
            found = anyio.run(compare, engine, fresh.differs)
            engine.close()
            together = LlamaCppEngine(path, threads=1, batch=3)
            if anyio.run(compare_together, together, fresh.differs):
                found.differ.append("batch")
            together.close()
            fresh.close()
            outcome = Outcome(differ=found.differ, reused=found.reused)
            turns, reused = cells(outcome)
            rows.append([name, f"`{kind.architecture}`", *turns, batch(outcome), reused])
            differ += [name] * bool(found.differ)
    text = [
        f"### GGUF: {len(rows)} kinds",
        table(["model", *HEADS[:1], *HEADS[2:]], rows),
        table(["refused at loading", "architecture", "reason"], refused),
    ]
    return text, differ


def main(page=None):
    warnings.simplefilter("ignore")  # the code of architectures warns of what it lacks
    transformers.logging.set_verbosity_error()
    of_transformers, differ = transformers_tables()
    of_gguf, others = gguf_tables()
    text = "\n\n".join(of_transformers + of_gguf)
    if page is None:
        print(text)
    else:
        before, mark, rest = Path(page).read_text("utf8").partition("<!-- survey")
        mark += rest.partition("\n")[0]
        Path(page).write_text(f"{before}{mark}\n\n{text}\n", "utf8")
    print(f"differ: {', '.join(differ + others) or 'none'}")
    return bool(differ + others)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
