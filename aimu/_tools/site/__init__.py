"""What the documentation site has beyond the pages under docs/: the reference, made from the code at build time.

`mkdocs build` calls `hooks`. Nothing generated is checked in, so no page of the reference can be out of date.
"""
