"""How much a chat template may do. Templates come with the weights, from strangers."""

from __future__ import annotations

SOURCE = 1 << 20  # characters of a template
STEPS = 3_000_000  # of its loops and macros
WRITTEN = 1 << 26  # characters
SIZE = 1 << 24  # characters of a string, or elements of a list
DEPTH = 128  # of a value that is written: more than arguments may nest, and what stands around them
BITS = 4096  # of a number


class TemplateLimit(Exception):
    """A template does more than any honest one."""
