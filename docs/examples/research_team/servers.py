"""Three small MCP servers over stdio, of which team.py starts one for each researcher.

    python docs/examples/research_team/servers.py library

They stand for servers of yours; any MCP server will do, in any language.
"""

from __future__ import annotations

import argparse
import os
import sys

from aimu.tools import serve_mcp

BOOKS = {
    "The storm of 1921": "In the night of 3 November 1921 the sea took eleven houses of Hallstad.",
    "A harbour town": "Hallstad lived on herring until the harbour silted up.",
}
TIDES = {1921: 4.1, 1953: 3.2, 1987: 3.6}  # m; the highest of the year
LETTERS = ["Mayor Lie, 1922: I will not bury neighbours again. We build a wall of four and a half metres."]


def find_books(words: str) -> dict[str, str]:
    """Find books about the town by words of their title, each with its summary."""
    wanted = words.lower().split()
    return {title: text for title, text in BOOKS.items() if any(word in title.lower() for word in wanted)}


def highest_tide(year: int) -> float:
    """Look up the highest tide of a year, in metres."""
    return TIDES[year]


def find_letters(name: str) -> list[str]:
    """Find letters in the archive by the name of their writer."""
    if os.environ.get("CRASH"):
        print("the archive has burnt down", file=sys.stderr, flush=True)
        os._exit(1)  # as a server that is killed, in the middle of a call
    return [letter for letter in LETTERS if name.lower() in letter.lower()]


SERVERS = {"library": find_books, "figures": highest_tide, "archive": find_letters}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An MCP server over stdio.")
    parser.add_argument("name", choices=SERVERS, help="which one")
    name = parser.parse_args().name
    serve_mcp([SERVERS[name]], name=name).run(show_banner=False)
