"""The command `aimu`, which runs models through the public surface, as a user's program would.

`main` owns the process; each other module owns one part of what users see. Only `chat` and `run`, and the modules that
they alone import, need the extra `cli`.
"""
