"""Constrained decoding: what grammar the text of a reply has to follow, and which tokens it allows next."""
