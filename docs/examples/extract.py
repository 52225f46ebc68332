"""Typed extraction: read a folder of texts into SQLite, several files at once.

    pip install '.'
    python docs/examples/extract.py                     # from docs/examples/invoices into invoices.db
    python docs/examples/extract.py FOLDER DATABASE

Each answer is checked twice: it must have the type `Invoice`, and its items must add up. If it does not fit, the model
reads why and tries again; a file that still fails is recorded with the error. Each result is committed when it comes,
so a run that was killed loses only the files that it was reading. The next run reads what is new, changed or failed.
Runs on asyncio and on trio.

For your own: change `Invoice`, `adds_up` and the table; put a real model into `model`, at the end. No key is needed as
it is: a script reads these five invoices, one of which is too smudged for it.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
from contextlib import closing
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import anyio
from pydantic import BaseModel, Field

from aimu import aio
from aimu.providers import Request
from aimu.testing import ScriptedProvider

HERE = Path(__file__).parent
TABLES = """
CREATE TABLE IF NOT EXISTS files (file TEXT PRIMARY KEY, digest TEXT, error TEXT);
CREATE TABLE IF NOT EXISTS invoices (file TEXT PRIMARY KEY, number TEXT, seller TEXT, due TEXT, total TEXT, items TEXT);
"""


class Item(BaseModel):
    count: int = Field(gt=0)
    what: str
    price: Decimal = Field(description="of one piece")


class Invoice(BaseModel):
    number: str
    seller: str
    due: date
    items: list[Item]
    total: Decimal


def adds_up(invoice: Invoice) -> None:
    """Send the answer back to the model if the items do not add up to the total."""
    found = sum(item.count * item.price for item in invoice.items)
    if found != invoice.total:
        raise ValueError(f"the items add up to {found}, not to the total of {invoice.total}; read the prices again")


def left_to_read(db: sqlite3.Connection, folder: Path) -> list[tuple[Path, str]]:
    """The files, each with its digest, that no earlier run has read as they are now."""
    done = set(db.execute("SELECT file, digest FROM files WHERE error IS NULL"))
    files: list[tuple[Path, str]] = []
    for file in sorted(folder.glob("*.txt")):
        try:
            files.append((file, sha256(file.read_bytes()).hexdigest()))
        except OSError as error:  # such as a file of another user
            save(db, file.name, "", error)
    return [(file, digest) for file, digest in files if (file.name, digest) not in done]


def save(db: sqlite3.Connection, name: str, digest: str, result: aio.Answer[Invoice] | Exception) -> None:
    """Record what came of a file, in one transaction."""
    error = f"{type(result).__name__}: {result}" if isinstance(result, Exception) else None
    with db:
        db.execute("REPLACE INTO files VALUES (?, ?, ?)", (name, digest, error))
        db.execute("DELETE FROM invoices WHERE file = ?", (name,))
        if not isinstance(result, Exception):
            row = result.output.model_dump(mode="json")
            row |= {"file": name, "items": json.dumps(row["items"])}
            db.execute("INSERT INTO invoices VALUES (:file, :number, :seller, :due, :total, :items)", row)
    print(f"{name:<12}", error or "read", flush=True)


async def main(folder: Path, database: Path, client: aio.AsyncBaseModelClient) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.executescript(TABLES)
        files = left_to_read(db, folder)
        reader = aio.Agent(client, "You read invoices.", name="reader")
        texts = (f"Read this invoice:\n\n{file.read_text('utf8', 'replace')}" for file, _ in files)  # taken one by one
        async with aio.amap(
            reader,
            texts,
            max_concurrency=4,
            timeout=60,
            on_error="collect",  # a file that fails does not stop the others
            output_type=Invoice,
            output_validator=adds_up,
        ) as results:
            async for index, result in results:
                file, digest = files[index]
                save(db, file.name, digest, result)
        (total,) = db.execute("SELECT count(*) FROM invoices").fetchone()
        print(f"{database.name} has {total} invoices; this run read or tried {len(files)} files")


def scripted(request: Request) -> str:
    """Answer as a model would that reads print, but not smudges."""
    text = request.messages[1]["content"]
    items = re.findall(r"^(\d+) x (.+?) {2,}([\d.]+)$", text, re.MULTILINE)
    found = re.search(r"INVOICE (.+)\n(.+), .+\n(?s:.*)Total +([\d.]+)\n.* by ([\d-]+)", text)
    if not found:
        return "I am sorry, I cannot read this."
    keys = ("count", "what", "price")
    number, seller, total, due = found.groups()
    read = {
        "number": number,
        "seller": seller,
        "due": due,
        "items": [dict(zip(keys, item, strict=True)) for item in items],
    }
    return json.dumps({**read, "total": total})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read the invoices of a folder into a database.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "invoices", help="has the texts, *.txt")
    parser.add_argument("database", nargs="?", type=Path, default=Path("invoices.db"), help="is made if there is none")
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder} is not a folder; name the one that has the texts")
    if not any(given.folder.glob("*.txt")):
        parser.error(f"{given.folder} has no files *.txt")
    model = aio.client(ScriptedProvider(scripted, repeat=True))  # a real one: aio.client("anthropic:claude-sonnet-4-6")
    try:
        anyio.run(main, given.folder, given.database, model)  # on trio: add backend="trio"
    except KeyboardInterrupt:
        print("Stopped. Start the program again to go on.", file=sys.stderr)
        sys.exit(130)
    except sqlite3.Error as error:
        parser.error(f"{given.database} cannot be used as the database: {error}")
