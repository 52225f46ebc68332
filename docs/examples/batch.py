"""A batch of 1,000 tasks with a progress bar that you can stop at any time, and that goes on when you start it again.

    pip install '.[progress]'
    python docs/examples/batch.py                     # Ctrl-C, or even kill -9; then start it again
    python docs/examples/batch.py REVIEWS TABLE       # your texts, one on each line, into a table

Each review is read by a model, 20 at once, and its answer has the type `Verdict`. The answers go into a journal beside
the table (TABLE.journal) as they come, so what was answered is not asked again. A review that fails does not stop the
others: the next run asks it again. Runs on asyncio and on trio.

For your own: change `Verdict`, `PROMPT` and `row`; put a real model into `model`, at the end. No key is needed as it
is: a script stands for the model, and reads the made-up reviews. After a change of prompt, type or model, the journal
does not answer: delete it, and all reviews are asked again.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
from pathlib import Path
from typing import Literal

import anyio
from pydantic import BaseModel, Field

from aimu import aio
from aimu.errors import JournalError
from aimu.providers import Request
from aimu.testing import ScriptedProvider, Step

PROMPT = "You read reviews of our shop."


class Verdict(BaseModel):
    stars: int = Field(ge=1, le=5)
    about: Literal["price", "quality", "delivery"]


def row(review: str, answer: aio.Answer[Verdict]) -> list[object]:
    return [review, answer.output.stars, answer.output.about]


async def main(reviews: list[str], table: Path, client: aio.AsyncBaseModelClient) -> int:
    rows: dict[int, list[object]] = {}
    failures: dict[int, Exception] = {}
    async with aio.amap(
        aio.Agent(client, PROMPT, name="reader"),
        reviews,
        max_concurrency=20,
        timeout=60,
        on_error="collect",
        output_type=Verdict,
        journal=f"{table}.journal",
    ) as results:
        async for index, answer in results:
            if isinstance(answer, Exception):
                failures[index] = answer
            else:
                rows[index] = row(reviews[index], answer)
    with table.open("w", encoding="utf8", newline="") as file:
        csv.writer(file).writerows(rows[index] for index in sorted(rows))
    print(f"{table}: {len(rows)} of {len(reviews)} reviews")
    for index, error in list(failures.items())[:3]:
        print(f"  review {index + 1} failed: {type(error).__name__}: {error}")
    if failures:
        print(f"Start the program again to ask the {len(failures)} that failed once more.")
    return 1 if failures else 0


def made_up(count: int) -> list[str]:
    """Reviews to try the program with, the same ones each time."""
    dice, thing = random.Random(1), ["The price is", "The quality is", "The delivery was"]
    return [f"{dice.choice(thing)} {dice.choice(['awful', 'fair', 'great'])}. Order {n}." for n in range(count)]


def scripted(request: Request) -> Step:
    """Answer as a model would that takes a tenth of a second."""
    text = request.messages[-1]["content"]
    stars = 1 if "awful" in text else 3 if "fair" in text else 5
    return Step(json.dumps({"stars": stars, "about": text.split()[1]}), delay=0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask a model about each review.")
    parser.add_argument("reviews", nargs="?", type=Path, help="a file, one review on each line; made up if left out")
    parser.add_argument("table", nargs="?", type=Path, default=Path("reviews.csv"), help="is written")
    given = parser.parse_args()
    model = aio.client(ScriptedProvider(scripted, repeat=True))  # a real one: aio.client("openai:gpt-5.4-mini")
    try:
        lines = made_up(1000) if given.reviews is None else given.reviews.read_text("utf8").splitlines()
        reviews = [line for line in lines if line.strip()]
        if not reviews:
            parser.error(f"{given.reviews} has no reviews; write one on each line")
        if given.table.is_dir() or not given.table.parent.is_dir():
            parser.error(f"{given.table} cannot be written; name a file in a folder that exists")
        sys.exit(anyio.run(main, reviews, given.table, model))  # on trio: add backend="trio"
    except KeyboardInterrupt:
        print("Stopped. Start the program again to go on.", file=sys.stderr)
        sys.exit(130)
    except UnicodeDecodeError as error:
        parser.error(f"{given.reviews} is not text in UTF-8: {error}")
    except (JournalError, OSError) as error:
        parser.error(str(error))
