"""The implementation: async on AnyIO, for asyncio and trio."""
