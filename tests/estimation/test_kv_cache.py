"""The KV cache of the llama.cpp that is installed, as its own log prints it, beside ours."""

import re

import pytest
from llama_cpp import Llama

from labkit.core.units import MiB
from labkit.estimation.memory import estimate
from labkit.gguf.files import gguf_for
from labkit.pocket import folder

TYPES = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""ggml's numbers of the cache types."""

PRINTED = re.compile(r"llama_kv_cache: size = +([\d.]+) MiB")


@pytest.mark.parametrize("name", ["llama2", "llama3", "chatglm3", "mistral", "deepseek-v2"])
@pytest.mark.parametrize(
    ("context", "kv_type", "flash_attn"),
    [(1024, "f16", True), (1000, "f16", False), (700, "q8_0", True), (2048, "q4_0", True)],
)
def test_llama_cpp_keeps_as_much(name, context, kv_type, flash_attn, capfd):
    """All heads, grouped heads, few groups, a window that is not used, a latent vector."""
    number = TYPES[kv_type]
    path = gguf_for(folder(name))
    Llama(
        str(path), n_ctx=context, flash_attn=flash_attn, type_k=number, type_v=number, verbose=True
    )
    printed = float(PRINTED.findall(capfd.readouterr().err)[-1])
    e = estimate(path, context=context, kv_type=kv_type, flash_attn=flash_attn)
    assert e.kv_cache / MiB == pytest.approx(printed, abs=0.006)
