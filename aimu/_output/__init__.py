"""Typed output: the schema of a type, what a strict service accepts of it, and how a model's text becomes the value."""
