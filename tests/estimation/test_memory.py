"""Memory to run a model: published figures, properties, and what must be refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import errors, kv_cache_rows, transformers_rows

from labkit.architecture.model_types import TRAITS
from labkit.catalog import find, models
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.core.units import GiB, MiB
from labkit.estimation.inference_memory import Estimate
from labkit.estimation.memory import estimate
from labkit.estimation.transformers_weights import WEIGHT_FORMATS
from labkit.gguf.quant_types import FILE_TYPES

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 32000,
    "max_position_embeddings": 4096,
}  # fmt: skip


def test_published_peaks_of_transformers_within_three_percent_on_average():
    found = errors(transformers_rows())
    assert len(found) == 59
    assert sum(found) / len(found) <= 0.03


def test_caches_are_those_that_llama_cpp_prints():
    assert estimate("Llama-2-7B", context=2048).kv_cache == 1024 * MiB
    assert max(errors(kv_cache_rows())) < 1e-5  # a log prints hundredths of a MiB


@pytest.mark.parametrize(
    ("model", "context", "flash_attn", "printed"),
    [
        ("Llama-2-7B", 2048, False, 164.01),
        ("Llama-3-8B", 8192, False, 560.0),
        ("Llama-3-8B", 8192, True, 258.5),
        ("Qwen2.5-7B", 8192, True, 304.0),
        ("Llama-3.1-8B", 13312, True, 258.48),
    ],
)
def test_compute_buffers_are_those_llama_cpp_prints(model, context, flash_attn, printed):
    runtime = estimate(model, context=context, flash_attn=flash_attn).runtime
    assert runtime / MiB == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(
    ("model", "context", "printed"),
    [
        ("gpt-oss-20b", 131072, 456.98),
        ("Qwen3.5-9B", 262144, 808.02),
        ("Qwen3.6-27B", 200192, 654.78),
    ],
)
def test_the_mask_of_a_long_context_needs_room_even_with_flash_attention(model, context, printed):
    runtime = estimate(model, context=context).runtime
    assert runtime / MiB == pytest.approx(printed, rel=0.05)


def test_every_kind_of_attention_keeps_what_it_needs():
    def per_token(name: str) -> int:
        long, short = (estimate(name, context=c).kv_cache for c in (131072, 65536))
        return (long - short) // 65536

    assert per_token("Llama-2-7B") == 524288  # every head
    assert per_token("Qwen2.5-7B") == 57344  # grouped heads
    assert per_token("DeepSeek-V2-Lite") == 31104  # one latent vector
    assert per_token("gemma-3-4b") == 20480  # 5 of 34 layers
    assert per_token("Qwen3.5-27B") == 65536  # 16 of 64 layers
    fixed = estimate("Qwen3.5-27B", context=256).kv_cache - 256 * 65536
    assert 150_994_944 < fixed < 1.1 * 150_994_944  # the state and the tail of its convolution


def test_quantized_caches_have_their_scales():
    f16 = estimate("Qwen2.5-7B", context=8192).kv_cache
    assert estimate("Qwen2.5-7B", context=8192, kv_type="q8_0").kv_cache == f16 * 34 // 64
    assert estimate("Qwen2.5-7B", context=8192, kv_type="q4_0").kv_cache == f16 * 18 // 64


def test_sizes_of_a_file_come_from_the_file(tmp_path: Path):
    from random_gguf import write_random

    from labkit.architecture.layers import read_architecture

    path = tmp_path / "random.gguf"
    write_random(read_architecture(LLAMA), path)
    e = estimate(path, context=1024)
    assert e.file_size == path.stat().st_size
    assert e.kv_cache == estimate(LLAMA, context=1024).kv_cache
    assert e.weights == estimate(LLAMA, quant="F16").weights


def test_layers_go_to_the_gpu_while_they_fit():
    parts = [estimate("Llama-3.1-8B", vram=size * GiB) for size in (1, 3, 5, 8)]
    assert [e.n_gpu_layers for e in parts] == sorted(e.n_gpu_layers for e in parts)
    assert parts[0].n_gpu_layers < 33 and parts[-1].n_gpu_layers == 33
    assert not parts[0].fits and parts[-1].fits
    assert all(e.per_gpu <= size * GiB for e, size in zip(parts, (1, 3, 5, 8), strict=True))


def test_a_tied_embedding_is_held_twice_when_the_output_is_on_the_gpu():
    e = estimate("Qwen2.5-0.5B", vram="8GiB")
    assert e.on_gpu + e.in_ram > e.total


def test_several_gpus_share_the_layers():
    one, two = (estimate("Llama-2-70B", vram="24GiB", gpus=n) for n in (1, 2))
    assert one.n_gpu_layers < two.n_gpu_layers
    assert two.per_gpu <= 24 * GiB


def test_in_transformers_too_several_gpus_share_what_can_be_divided():
    one, two, many = (
        estimate("Llama-2-70B", quant="bf16", vram="80GiB", gpus=n) for n in (1, 2, 64)
    )
    assert not one.fits and two.fits
    assert one.total / 2 < two.per_gpu < 80 * GiB
    assert many.per_gpu > 80 * 1.6e9 * 2 / 80  # a layer stays whole


def test_smaller_groups_have_more_scales():
    sizes = [
        estimate("Qwen2.5-7B", quant="gptq-4bit", group_size=n).weights for n in (-1, 128, 64, 32)
    ]
    assert sizes == sorted(sizes)
    linear = 7_615_616_512 - 2 * 152_064 * 3584  # all but embedding and head, to a thousandth
    assert sizes[2] - sizes[1] == pytest.approx(linear / 128 * 2.5, rel=1e-3)
    assert estimate("Qwen2.5-7B", quant="nf4", group_size=32) == estimate("Qwen2.5-7B", quant="nf4")


def test_context_above_the_maximum_is_answered_with_a_warning():
    e = estimate("Llama-2-7B", context=8192)
    assert e.kv_cache == 4 * GiB
    assert any("4096" in warning for warning in e.warnings)


def test_a_config_json_and_its_directory_are_enough(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    assert estimate(tmp_path).weights == estimate(tmp_path / "config.json").weights
    assert estimate(tmp_path).weights == estimate(LLAMA).weights


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": None}, "hidden_size"),
        ({"vocab_size": -5}, "-5"),
        ({"num_hidden_layers": 1e9}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "3 key-value heads"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": ["mystery"] * 8}, "mystery"),
    ],
)
def test_broken_configurations_are_refused_by_the_field(change, named):
    with pytest.raises(LabError, match=named):
        estimate(LLAMA | change)


def test_what_an_index_of_tokens_is_made_from_must_be_there():
    config = dict(find("GLM-5.2").config)
    del config["q_lora_rank"]
    with pytest.raises(LabError, match="q_lora_rank"):
        estimate(config)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"context": 0}, "context"),
        ({"context": -1}, "-1"),
        ({"context": 10**30}, "context"),
        ({"context": 8.5}, "8.5"),
        ({"batch": True}, "batch"),
        ({"vram": 0}, "vram"),
        ({"vram": "much"}, "much"),
        ({"quant": "Q9"}, "Q9"),
        ({"quant": 4}, "4"),
        ({"engine": "vllm"}, "vllm"),
        ({"kv_type": "q3"}, "q3"),
        ({"kv_type": "q8_0", "flash_attn": False}, "flash attention"),
        ({"kv_type": "q8_0", "quant": "nf4"}, "llama.cpp"),
        ({"context": 10, "new_tokens": 11}, "new_tokens"),
        ({"gpus": 0}, "gpus"),
        ({"quant": "gptq-4bit", "group_size": 0}, "group_size"),
    ],
)
def test_impossible_settings_are_refused_by_name(options, named):
    with pytest.raises(LabError, match=named):
        estimate(LLAMA, **options)


@pytest.mark.parametrize("model", ["no-such-model", "no/such.gguf", 7, None])
def test_unknown_models_are_refused(model):
    with pytest.raises(LabError):
        estimate(model)


def test_broken_files_are_refused(tmp_path: Path):
    for name, content in (("a.gguf", b"GGUF\x03"), ("b.json", b"{"), ("c.json", b"[1]")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LabError):
            estimate(tmp_path / name)


formats = st.sampled_from([*FILE_TYPES, *WEIGHT_FORMATS])
names = st.sampled_from([model.name for model in models() if model.verification != "unverified"])


def sound(e: Estimate) -> bool:
    return (
        e.total == e.weights + e.kv_cache + e.runtime and min(e.weights, e.kv_cache, e.runtime) >= 0
    )


@settings(deadline=None, max_examples=60)
@given(names, formats, st.integers(1, 200_000), st.integers(1, 200_000), st.integers(1, 8))
def test_memory_never_falls_when_context_or_batch_rises(name, quant, first, second, batch):
    less, more = sorted((first, second))
    config = dict(find(name).config)
    small, large = (estimate(config, quant=quant, context=c) for c in (less, more))
    many = estimate(config, quant=quant, context=more, batch=batch)
    assert sound(small) and sound(large) and sound(many)
    assert small.total <= large.total <= many.total


LADDER = ("IQ1_S", "IQ2_XXS", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16", "F32")


@settings(deadline=None, max_examples=40)
@given(names)
def test_memory_never_falls_when_bits_rise(name):
    config = dict(find(name).config)
    sizes = [estimate(config, quant=quant).total for quant in LADDER]
    assert sizes == sorted(sizes)


@settings(deadline=None, max_examples=60)
@given(names, st.integers(MiB, 200 * GiB), st.integers(1, 4))
def test_what_is_said_to_fit_fits(name, vram, gpus):
    e = estimate(dict(find(name).config), vram=vram, gpus=gpus)
    assert e.per_gpu <= vram
    assert e.on_gpu + e.in_ram >= e.total - e.runtime
    assert e.fits == (e.n_gpu_layers == e.n_layers)


FIELDS = [
    *LLAMA, "head_dim", "tie_word_embeddings", "num_experts", "num_experts_per_tok", "layer_types",
    "moe_intermediate_size", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "v_head_dim",
    "qk_rope_head_dim", "sliding_window", "text_config", "n_shared_experts", "mlp_only_layers",
    "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "index_n_heads",
    "linear_value_head_dim", "linear_conv_kernel_dim", "full_attention_interval", "mlp_layer_types",
    "attention_chunk_size", "hidden_size_per_layer_input", "per_layer_config", "index_head_dim",
    "num_local_experts", "moe_layer_freq", "indexer_types", "global_head_dim", "kv_channels",
]  # fmt: skip
junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(0, 300), st.floats(), st.text(max_size=5),
    st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=9),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
)  # fmt: skip


small = {model_type: LLAMA | {"model_type": model_type} for model_type in TRAITS}
real = {model.config["model_type"]: dict(model.config) for model in models()}


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from([*small.values(), *real.values()]),
    st.dictionaries(st.sampled_from(FIELDS), junk, max_size=4),
    st.sets(st.sampled_from(FIELDS), max_size=2),
    formats,
    st.one_of(st.none(), st.integers(-2, 10**7)),
)
def test_broken_configurations_get_an_answer_or_a_sentence(whole, damage, gone, quant, context):
    config = {key: value for key, value in (whole | damage).items() if key not in gone}
    try:
        e = estimate(config, quant=quant, context=context)
    except LabError as error:
        assert error.what and error.way_out
    else:
        assert sound(e)
        assert 0 < e.total < 10**21


def test_pocket_models_are_known_by_their_names():
    folders = sorted((Path(__file__).parents[2] / "labkit/pocket/weights").glob("*/config.json"))
    assert folders
    for folder in folders:
        e = estimate(f"pocket/{folder.parent.name}", quant="Q8_0", context=512)
        assert 0 < e.weights < 64 * MiB
    with pytest.raises(LabError, match="pocket/no-such"):
        estimate("pocket/no-such")


def test_an_estimate_speaks_the_readers_language():
    for call in ({}, {"train": "qlora"}):
        assert "weights" in str(estimate("Qwen2.5-7B", **call))
    use_language("zh")
    for call in ({}, {"train": "qlora"}):
        said = str(estimate("Qwen2.5-7B", **call))
        assert "权重" in said and "weights" not in said


def test_beyond_its_native_context_a_model_needs_yarn():
    def warnings(context: int) -> tuple[str, ...]:
        return estimate("Qwen2.5-7B", context=context).warnings

    assert warnings(32768) == ()
    assert "YaRN" in warnings(32769)[0] and "YaRN" in warnings(131072)[0]
    assert "above the model's maximum" in warnings(131073)[0]
    assert "above the model's maximum" in estimate("Qwen2.5-1.5B", context=65536).warnings[0]
