"""Grammars in llama.cpp's GBNF: which texts they allow.

Usage: ``allows(lab.load("pocket/qwen2.5", "llama.cpp"), "root ::= [0-9]+", "42")``

The language: github.com/ggml-org/llama.cpp, ``grammars/README.md``.
"""

import ctypes
import math
from typing import Any

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..engines import Model


def allows(model: Model, gbnf: str, text: str) -> bool:
    """Whether an answer held to this grammar can be this text, and end there.

    Usage: ``allows(model, 'root ::= "yes" | "no"', "no")  # True``

    model: one of llama.cpp, whose own grammar sampler is asked, token after token. Raises LabError
    for a grammar that llama.cpp cannot read; where it stands is in llama.cpp's own message.
    """
    cpp = need("llama_cpp")
    llama = model.model
    vocab = cpp.llama_model_get_vocab(llama.model)
    sampler = cpp.llama_sampler_init_grammar(vocab, gbnf.encode(), b"root")
    if not sampler:
        raise LabError(
            t(
                f"llama.cpp cannot read the grammar {gbnf!r:.80}.",
                f"llama.cpp 读不懂语法 {gbnf!r:.80}。",
            ),
            t(
                "A rule is: name ::= …; one must be called root.",
                "每条规则写作：name ::= …；其中一条必须叫 root。",
            ),
        )
    try:
        for token in [*_cut(cpp, llama, text), llama.token_eos()]:
            if not _allowed(cpp, sampler, token):
                return False
            if token != llama.token_eos():
                cpp.llama_sampler_accept(sampler, token)
        return True
    finally:
        cpp.llama_sampler_free(sampler)


def _cut(cpp: Any, llama: Any, text: str) -> list[int]:
    """Tokens that make up the text exactly; some tokenizers would put a space in front of it."""
    vocab = cpp.llama_model_get_vocab(llama.model)
    buffer, pieces = ctypes.create_string_buffer(256), {}
    for id in range(llama.n_vocab()):
        size = cpp.llama_token_to_piece(vocab, id, buffer, 256, 0, False)
        pieces[buffer.raw[: max(size, 0)]] = id
    rest, ids = text.encode(), []
    while rest:
        sizes = range(min(len(rest), 256), 0, -1)
        size = next((n for n in sizes if rest[:n] in pieces), 0)
        if not size:
            raise LabError(
                t(f"The vocabulary has no token for {text!r:.40}.", f"词表里拼不出 {text!r:.40}。"),
                t("Try another text.", "请换一段文字。"),
            )
        ids.append(pieces[rest[:size]])
        rest = rest[size:]
    return ids


def _allowed(cpp: Any, sampler: Any, token: int) -> bool:
    """The sampler takes the logit of what it does not allow down to minus infinity."""
    candidate = (cpp.llama_token_data * 1)(cpp.llama_token_data(token, 0.0, 0.0))
    candidates = cpp.llama_token_data_array(
        ctypes.cast(candidate, cpp.llama_token_data_p), 1, -1, False
    )
    cpp.llama_sampler_apply(sampler, ctypes.byref(candidates))
    return not math.isinf(candidate[0].logit)
