"""The sync facade over aimu.aio."""
