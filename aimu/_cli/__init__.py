"""The command `aimu`, written on the public surface as a user's program would be.

`main` owns the process; each other module owns one part of what users see. Only `region`, `markdown`, `display`,
`prompt`, `run` and `chat` need the extra `cli`.
"""
