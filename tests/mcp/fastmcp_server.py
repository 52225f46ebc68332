"""A FastMCP server as a user would write one, over stdio or over HTTP at a given port."""

import sys

import anyio
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers
from fastmcp.utilities.types import Image

server = FastMCP("friend")
cancelled = []


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
async def count(to: int, ctx: Context) -> str:
    """Count, and report each step."""
    for step in range(1, to + 1):
        await ctx.report_progress(step, to, f"step {step}")
    return "counted"


@server.tool
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@server.tool
async def wait(ctx: Context) -> str:
    """Wait forever."""
    try:
        await ctx.report_progress(1)
        await anyio.sleep_forever()
    finally:
        cancelled.append("wait")
    return ""


@server.tool
def cancellations() -> list[str]:
    """List the cancelled calls."""
    return cancelled


@server.tool
def picture() -> list:
    """Return an image with a caption."""
    return ["a dot", Image(data=b"\x89PNG\r\n\x1a\n", format="png")]


@server.tool
def header(name: str) -> str:
    """Return a header of this request."""
    return get_http_headers(include_all=True).get(name, "")


@server.resource("notes://today", name="today", description="What happened", mime_type="text/plain")
def today() -> str:
    """Return the notes of today."""
    return "It rained."


@server.resource("notes://dot", mime_type="image/png")
def dot() -> bytes:
    """Return a picture."""
    return b"\x89PNG\r\n\x1a\n"


@server.resource("notes://{day}")
def day(day: str) -> str:
    """Return the notes of a day."""
    return f"Nothing on {day}."


@server.prompt
def review(text: str, tone: str = "kind") -> str:
    """Ask for a review."""
    return f"Review this, be {tone}: {text}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(transport="http", port=int(sys.argv[1]), show_banner=False, log_level="CRITICAL")
    else:
        server.run(show_banner=False, log_level="CRITICAL")
