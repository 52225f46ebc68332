"""The sync surface: facades over the classes of `aimu.aio`."""
