"""Does the works of one side in a process of its own, in an environment that has little but that library.

    python -m benchmarks.sides.child NAME

Each line of standard input is a JSON object: the name of a function in `works` and its arguments. Each line of standard
output is the cost, or what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial

from benchmarks.harness.bench import timed
from benchmarks.sides import works


def main(name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints goes to standard error
    make = works.load(name)
    for line in sys.stdin:
        work, arguments = json.loads(line)
        try:
            cost = timed(partial(getattr(works, work), make=make, **arguments), "asyncio")
            answer = {"cpu": cost.cpu, "wall": cost.wall, "memory": cost.memory}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
