"""What libraries do when something goes wrong: each case is tried against a server on loopback; nothing is measured.

`nox -s tried` tries all and writes the table into `docs/explanation/compared.md`. `cases` has the cases, `server` the
model service, and `benchmarks/sides` the libraries.
"""
