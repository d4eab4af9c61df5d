"""A model run by llama.cpp."""

import codecs
import ctypes
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..gguf.reader import inspect_gguf
from ..hub.resolver import Location
from .model import Model, Sampling, any_of, fitting_context

DEFAULT_CONTEXT = 8192
"""Tokens that llama.cpp makes room for unless told otherwise; it sets the memory aside at once."""


def without_extra_buffers(llama: type) -> type:
    """llama-cpp-python's ``Llama``, but weights are kept as they are in the file.

    Usage: ``without_extra_buffers(llama_cpp.Llama)("model.gguf")``. By default llama.cpp lays
    weights out anew for the processor. With AMX it then ends the whole process on DeepSeek-V2 in
    16 bits, whose heads it finds no way to multiply (ggml-org/llama.cpp, issue 18099).
    """

    class Plain(llama):  # type: ignore[misc]
        @property
        def model_params(self) -> object:
            return self._model_params

        @model_params.setter
        def model_params(self, params: Any) -> None:
            params.use_extra_bufts = False  # Llama has no argument for it
            self._model_params = params

    return Plain


class LlamaModel(Model):
    """A model run by llama.cpp, from a GGUF file or a folder turned into one.

    The beginning of a prompt that the last call has already read is not read again.
    """

    engine = "llama.cpp"

    def __init__(
        self,
        location: Location,
        context: int | None,
        n_gpu_layers: int,
        n_threads: int | None = None,
    ) -> None:
        self._cpp = need("llama_cpp")
        self.location = location
        path = location.gguf()
        # Also says what is wrong with a file, where llama.cpp only refuses.
        trained = inspect_gguf(path).context_length
        n_ctx = fitting_context(context or min(trained, DEFAULT_CONTEXT), trained)
        amx = b"AMX_INT8 = 1" in self._cpp.llama_print_system_info()
        llama = without_extra_buffers(self._cpp.Llama) if amx else self._cpp.Llama
        try:
            self.model = llama(
                str(path),
                n_ctx=n_ctx,
                n_gpu_layers=n_gpu_layers,
                n_threads=n_threads,
                n_threads_batch=n_threads,
                verbose=False,
            )
        except ValueError as error:  # all that llama.cpp says, its reasons go to its own log
            raise LabError(
                t(
                    f"llama.cpp cannot load '{path}' with {n_ctx} tokens of context.",
                    f"llama.cpp 无法以 {n_ctx} 个词元的上下文加载 '{path}'。",
                ),
                t(
                    "Its architecture may be newer than this llama.cpp, or memory too small:"
                    " update llama-cpp-python, or give a smaller context.",
                    "可能是模型架构比当前 llama.cpp 更新，也可能是内存不足："
                    "请升级 llama-cpp-python，或调小 context。",
                ),
            ) from error
        # Left to the end of the interpreter, it would complain of modules that are gone.
        self._finalizer = weakref.finalize(self, self.model.close)
        self._vocab = self._cpp.llama_model_get_vocab(self.model._model.model)
        self.context_length = n_ctx
        self.config = self.model.metadata
        self.tokenizer = self.model.tokenizer()
        self.chat_template = self.config.get("tokenizer.chat_template")

    @cached_property
    def special_tokens(self) -> Mapping[str, str]:  # type: ignore[override]
        ids = {name: getattr(self._cpp, f"llama_vocab_{name}")(self._vocab) for name in _NAMED}
        return {f"{name}_token": self._text(id) for name, id in ids.items() if id >= 0}

    @cached_property
    def bos(self) -> tuple[int, ...]:  # type: ignore[override]
        id = self._cpp.llama_vocab_bos(self._vocab)
        adds = self._cpp.llama_vocab_get_add_bos(self._vocab)
        return (id,) if id >= 0 and (adds or id not in self.stop_ids) else ()

    @cached_property
    def stop_ids(self) -> frozenset[int]:  # type: ignore[override]
        return frozenset(
            id for id in self._special_ids if self._cpp.llama_vocab_is_eog(self._vocab, id)
        )

    @cached_property
    def special(self) -> re.Pattern[str] | None:  # type: ignore[override]
        left, right = self._cpp.LLAMA_TOKEN_ATTR_LSTRIP, self._cpp.LLAMA_TOKEN_ATTR_RSTRIP
        attributes = ((id, self._attributes(id)) for id in self._special_ids)
        return any_of((self._text(id), bool(a & left), bool(a & right)) for id, a in attributes)

    @cached_property
    def _special_ids(self) -> list[int]:
        """The tokens llama.cpp makes of text only where it is told to."""
        kinds = self._cpp.LLAMA_TOKEN_ATTR_CONTROL | self._cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        return [id for id in range(self.model.n_vocab()) if self._attributes(id) & kinds]

    def _attributes(self, id: int) -> int:
        found: int = self._cpp.llama_vocab_get_attr(self._vocab, id)
        return found

    def _text(self, id: int) -> str:
        found: str = self._cpp.llama_vocab_get_text(self._vocab, id).decode()
        return found

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        found: list[int] = self.model.tokenize(text.encode(), add_bos=False, special=special)
        return found

    def decode(self, ids: Iterable[int], *, special: bool = False) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        buffer = ctypes.create_string_buffer(1024)
        for id in ids:
            size = self._cpp.llama_token_to_piece(self._vocab, id, buffer, 1024, 0, special)
            if text := decoder.decode(buffer.raw[: max(size, 0)]):
                yield text

    def next_tokens(self, ids: list[int], sampling: Sampling) -> Iterator[int]:
        self.model.set_seed(sampling.seed)
        chosen: Iterator[int] = self.model.generate(
            ids,
            temp=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repeat_penalty=sampling.repeat_penalty,
        )
        return chosen

    def forget(self) -> None:
        self.model.reset()

    def close(self) -> None:
        self._finalizer()


_NAMED = ("bos", "eos", "pad")
"""Special tokens that llama.cpp keeps by name and templates may ask for."""
