"""Plain values that every room speaks in: messages, chunks, replies, images, the thinking splitter, slots.

Owns no I/O and knows no provider, tool or event loop (`slots` alone wakes one). Only the standard library, attrs
and anyio are imported here.
"""
