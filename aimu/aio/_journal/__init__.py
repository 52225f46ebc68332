"""The journal of `amap(journal=path)`: a file with the answers of a batch, which a later run of it takes from there.

`_file` owns the file: its format, its lock, and where each record is. `_record` makes a record of an answer and an
answer of a record. `_identity` says what the tasks were asked of. `_journal` puts them together for one batch. Nothing
of this is loaded by an `amap` without a journal.
"""

from __future__ import annotations

from aimu.aio._journal._journal import Journal

__all__ = ["Journal"]
