"""The sides of a comparison: one library each, doing the same work against `tests/loopback.py`.

A side is a class `Side(url)` with the methods of `works.Side`, in a module that is named after the library, and written
as its documentation shows it. `IMPORT` is the import that its users begin with, `DISTRIBUTION` what is installed.
"""
