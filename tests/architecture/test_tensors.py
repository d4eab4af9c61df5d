"""Parameter counts: against published numbers, and against Transformers on the meta device."""

import warnings
from typing import Any

import pytest

from labkit.architecture.layers import read_architecture
from labkit.architecture.model_types import TRAITS
from labkit.architecture.tensors import count_parameters, list_tensors
from labkit.catalog import models
from labkit.core.errors import LabError

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
}  # fmt: skip


def test_llama_2_7b_has_the_published_number_of_parameters():
    assert count_parameters(LLAMA).total == 6_738_415_616


def test_tied_embeddings_count_once():
    tied = count_parameters({**LLAMA, "tie_word_embeddings": True}).total
    assert count_parameters(LLAMA).total - tied == 32000 * 4096


def test_every_exact_count_of_the_catalogue_follows_from_its_configuration():
    wrong = {}
    for model in models():
        if model.verification == "unverified":
            continue
        try:
            counted = count_parameters(model.config)
        except LabError as error:
            wrong[model.name] = str(error)
            continue
        if (counted.total, counted.active) != (model.parameters, model.active_parameters):
            wrong[model.name] = (counted, model.parameters, model.active_parameters)
    assert not wrong


def test_head_dim_is_read_and_not_derived():
    shapes = {
        tensor.name: tensor.shape
        for tensor in list_tensors(read_architecture({**LLAMA, "head_dim": 64}))
    }
    assert shapes["attn_q.weight"] == (32 * 64, 4096)


def test_only_chosen_experts_are_active():
    mixtral = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    counted = count_parameters(mixtral)
    experts = 32 * 8 * 3 * 4096 * 11008
    assert counted.total - counted.active == experts * 6 // 8


NATIVE = [name for name in TRAITS if name not in (
    "Yi", "internlm2", "baichuan", "minicpm", "chatglm", "kimi_k2", "mistral4",
)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model_type", NATIVE)
def test_counts_equal_those_of_the_transformers_class(model_type: str):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    small: dict[str, Any] = {
        "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 5,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512,
        "pad_token_id": None,
    }  # fmt: skip
    if model_type in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral", "glm4_moe", "dots1"):
        small["head_dim"] = 32
    if model_type == "dots1":
        small |= {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1}
    if model_type in ("gemma3n_text", "gemma4_text"):
        del small["num_hidden_layers"]
    if model_type == "falcon":
        del small["intermediate_size"], small["num_key_value_heads"]
    if TRAITS[model_type].gguf in ("deepseek2", "deepseek32", "glm-dsa"):
        small["num_key_value_heads"] = 8
        small |= {"num_experts_per_tok": 2, "first_k_dense_replace": 1}
    config = transformers.AutoConfig.for_model(model_type, **small)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_config(config)
    exact = sum(parameter.numel() for parameter in model.parameters())
    assert count_parameters(config.to_dict()).total == exact
