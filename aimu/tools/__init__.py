"""Tools: what a function promises to a model, and calling it safely."""
