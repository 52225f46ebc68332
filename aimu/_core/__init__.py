"""Plain values that all packages share: messages, chunks, replies, images, the thinking splitter, JSON text, slots,
threads.

Does no I/O and knows no provider or tool; only `slots` and `threads` deal with event loops. Imports only the standard
library, attrs and AnyIO.
"""
