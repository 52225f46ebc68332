"""How the tiny model was made: its world, the corpus drawn from it, training, evaluation, conversion to GGUF.

Run as `python -m aimu.testing._recipe.train FOLDER`, `.evaluate`, `.to_gguf`, `.parity`. Nothing else in the library
imports this folder; it needs the extra `hf`, and `gguf` or `llama-cpp-python` for the last two.
"""
