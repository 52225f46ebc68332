"""The programs that made the tiny model: its world, the corpus, training, evaluation, conversion to GGUF.

Run `python -m aimu.testing._recipe.train FOLDER`, then `.evaluate`, `.to_gguf` and `.parity`. Nothing else in the
library imports this folder. It needs the extra `hf`; the last two also need `gguf` or `llama-cpp-python`.
"""
