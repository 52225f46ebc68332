"""Answers computed afresh by llama.cpp alone, to compare those of the engine with."""

import os

import llama_cpp


class Fresh:
    """Computes each answer afresh, by llama.cpp alone."""

    def __init__(self, path):
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), llama_cpp.llama_model_default_params())
        self.vocabulary = llama_cpp.llama_model_get_vocab(self._model)

    def __call__(self, ids, count):
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_threads = 2048, 2048, 1
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama_cpp.llama_init_from_model(self._model, settings)
        written, step = list(ids), list(ids)
        for _ in range(count):
            tokens = (llama_cpp.llama_token * len(step))(*step)
            assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(step))) == 0
            size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
            logits = llama_cpp.llama_get_logits_ith(context, -1)[:size]
            step = [logits.index(max(logits))]
            written += step
            if llama_cpp.llama_vocab_is_eog(self.vocabulary, step[0]):
                break
        llama_cpp.llama_free(context)
        return written

    def differs(self, written, known):
        """Whether other tokens follow the first `known`."""
        return self(written[:known], len(written) - known) != written

    def tokenize(self, text, *, adds_start):
        raw = text.encode()
        tokens = (llama_cpp.llama_token * (len(raw) + 2))()
        count = llama_cpp.llama_tokenize(self.vocabulary, raw, len(raw), tokens, len(tokens), adds_start, True)
        return list(tokens[:count])

    def close(self):
        llama_cpp.llama_model_free(self._model)
