"""Tools for developing the library in its checkout; not part of the installed package."""
