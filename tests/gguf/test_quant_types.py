"""GGUF sizes: against published files, and to the byte against llama.cpp's own quantizer."""

import ctypes
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from published import errors, gguf_rows
from random_gguf import write_random

from labkit.architecture.layers import read_architecture
from labkit.architecture.tensors import list_tensors
from labkit.catalog import find
from labkit.core.errors import LabError
from labkit.gguf import quant_types
from labkit.gguf.quant_types import FILE_TYPES, NEEDS_IMATRIX, file_size, row_bytes, stored_type
from labkit.gguf.reader import inspect_gguf


def test_published_files_within_a_thousandth_and_none_off_by_a_hundredth():
    found = errors(gguf_rows())
    assert len(found) >= 95
    assert sum(found) / len(found) <= 0.001
    assert max(found) <= 0.01


def test_older_recipes_are_named_and_not_hidden():
    named = [row for row in gguf_rows() if row.left_out]
    assert {row.what.split()[0] for row in named} == {"Q2_K"}
    assert all(row.error < -0.05 for row in named)


def test_rows_that_do_not_divide_by_256_fall_back():
    assert [stored_type(kind, 896) for kind in ("Q2_K", "Q4_K", "Q5_K", "Q6_K")] == [
        "Q4_0", "Q5_0", "Q5_1", "Q8_0",
    ]  # fmt: skip
    assert stored_type("Q4_K", 100) == "F16"
    assert row_bytes("Q4_K", 4096) == 2304


def test_fused_attention_follows_the_recipe_of_the_published_file():
    phi = read_architecture({
        "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32064,
    })  # fmt: skip
    published = 2_393_231_072  # microsoft/Phi-3-mini-4k-instruct-gguf, q4
    assert file_size(phi, "Q4_K_M").total == pytest.approx(published, rel=1e-5)
    assert file_size(phi, "Q4_K_M", today=True).total > published


def test_unknown_type_is_refused_by_name():
    with pytest.raises(LabError, match="Q9_X"):
        file_size(read_architecture(find("Llama-2-7B").config), "Q9_X")


SMALL: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "num_hidden_layers": 8, "num_key_value_heads": 2},
    "tied": {"model_type": "llama", "num_hidden_layers": 9, "intermediate_size": 544,
             "num_attention_heads": 4, "tie_word_embeddings": True},
    "narrow": {"model_type": "qwen2", "hidden_size": 320, "num_hidden_layers": 6,
               "num_attention_heads": 5, "num_key_value_heads": 1},
    "phi3": {"model_type": "phi3", "num_hidden_layers": 8},
    "mixtral": {"model_type": "mixtral", "num_hidden_layers": 8, "num_key_value_heads": 2,
                "num_local_experts": 8, "num_experts_per_tok": 2},
    "deepseek2": {"model_type": "deepseek_v2", "num_hidden_layers": 4, "n_routed_experts": 6,
                  "num_experts_per_tok": 2, "moe_intermediate_size": 256, "n_shared_experts": 1,
                  "first_k_dense_replace": 1, "kv_lora_rank": 64, "q_lora_rank": 96,
                  "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32},
    "glm": {"model_type": "glm", "num_hidden_layers": 8, "num_key_value_heads": 2,
            "attention_bias": True},
    "gemma2": {"model_type": "gemma2", "num_hidden_layers": 8, "head_dim": 64,
               "num_key_value_heads": 2, "sliding_window": 64},
}  # fmt: skip
COMMON = {
    "hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 8, "vocab_size": 64,
}  # fmt: skip
MADE = ("Q4_0", "Q5_0", "Q8_0", "Q2_K", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K",
        "IQ4_NL")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_llama_cpp_itself_makes_files_of_these_tensor_bytes(name: str, tmp_path: Path):
    llama_cpp = pytest.importorskip("llama_cpp")
    architecture = read_architecture(COMMON | SMALL[name])
    source, target = tmp_path / "source.gguf", tmp_path / "made.gguf"
    write_random(architecture, source)
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    for quant in MADE:
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype, parameters.nthread = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quant}"), 1
        result = llama_cpp.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(parameters)
        )
        assert result == 0, quant
        ours = file_size(architecture, quant, today=True)
        assert inspect_gguf(target).tensor_bytes == ours.tensors, quant


def test_every_type_has_a_size_for_every_model_of_the_course():
    for name in ("Llama-2-7B", "Qwen2.5-0.5B", "DeepSeek-V2-Lite", "Mixtral-8x7B", "ChatGLM3-6B"):
        architecture = read_architecture(find(name).config)
        sizes = {quant: file_size(architecture, quant).total for quant in FILE_TYPES}
        assert sizes["F32"] > sizes["F16"] > sizes["Q8_0"] > sizes["Q4_K_M"] > sizes["Q2_K"] > 0
        assert all(sizes[quant] > 0 for quant in NEEDS_IMATRIX)


def test_only_the_tensors_that_are_named_vary_from_layer_to_layer():
    for model in (find("Llama-2-70B"), find("Mixtral-8x7B"), find("Phi-3-mini-4k")):
        a = read_architecture(model.config)
        for quant, today in product(FILE_TYPES, (False, True)):
            recipe = quant_types._Recipe(a, quant, True, today)
            for tensor in list_tensors(a):
                kinds = {recipe.choose(tensor, i) for i in tensor.layers or (0,)}
                assert len(kinds) == 1 or recipe.varies(tensor), (quant, tensor.name)
