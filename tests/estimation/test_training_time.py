"""Time to train: the operations as PyTorch counts them, the share of the peak as published."""

import pytest

from labkit.architecture.tensors import count_parameters
from labkit.catalog.quotes import find_device
from labkit.core.errors import LabError
from labkit.estimation.training_time import SHARE, count_operations, predict_time

QWEN_1_8B = dict(hidden_size=2048, num_hidden_layers=24, intermediate_size=5504, heads=16)
QWEN_7B = dict(hidden_size=4096, num_hidden_layers=32, intermediate_size=11008, heads=32)
QWEN_14B = dict(hidden_size=5120, num_hidden_layers=40, intermediate_size=13696, heads=40)
PUBLISHED = [
    (QWEN_1_8B, "lora", {1024: 1.1, 2048: 1.7, 4096: 3.3}),
    (QWEN_1_8B, "qlora", {1024: 1.4, 2048: 2.0, 4096: 3.4}),
    (QWEN_7B, "lora", {1024: 2.8, 2048: 5.2, 4096: 10.1}),
    (QWEN_7B, "qlora", {1024: 3.5, 2048: 7.0, 4096: 11.6}),
    (QWEN_14B, "lora", {1024: 4.4, 2048: 8.4, 4096: 17.0}),
    (QWEN_14B, "qlora", {1024: 8.2, 2048: 11.8, 4096: 20.1}),
]
"""Seconds a step of 8 samples on one A100, by length: QwenLM/Qwen README.md @85cb093.

Its LoRA scripts train with checkpointing; the models' shapes are those of their config.json.
"""


def architecture(hidden_size, num_hidden_layers, intermediate_size, heads):
    """Qwen (the first) is a Llama with biases on q, k and v, as Qwen2 is."""
    return {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_hidden_layers,
        "intermediate_size": intermediate_size,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "tie_word_embeddings": False,
    }


@pytest.mark.parametrize(("shape", "method", "steps"), PUBLISHED)
def test_published_trainings_reach_that_share_of_the_peak(shape, method, steps):
    peak = find_device("A100-80GB SXM").bf16_tflops * 1e12
    for length, seconds in steps.items():
        done = count_operations(architecture(**shape), method, 8 * length)
        least, best = SHARE[method]
        assert least <= done / seconds / peak <= best, (length, done / seconds / peak)


def test_full_training_without_checkpointing_is_six_operations_a_weight():
    config = architecture(**QWEN_7B)
    counted = count_parameters(config)
    six = 6 * (counted.total - counted.embedding)
    assert count_operations(config, "full", checkpointing=False) == six
    assert count_operations(config, "full") == six * 8 / 6
    assert count_operations(config, "lora", checkpointing=False) == six * 4 / 6
    tied = config | {"tie_word_embeddings": True}  # one table, which is the head
    assert count_operations(tied, "lora") == count_operations(config, "lora")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_pytorch_counts_the_same(method):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from labkit.finetuning.lora import add_lora, load_base

    model = load_base("pocket/qwen2.5", dtype="float32")
    if method == "lora":
        add_lora(model, rank=1)
    else:
        model.model.requires_grad_(True)
    ids = torch.arange(64)[None]
    with FlopCounterMode(display=False) as counter:
        model.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    ours = count_operations("pocket/qwen2.5", method, ids.numel(), checkpointing=False)
    assert counter.get_total_flops() == pytest.approx(ours, rel=0.08)  # attention, rank 1


def test_time_is_in_proportion_and_t4_counts_in_fp16():
    one = predict_time("Qwen2.5-0.5B", "qlora", 10**6, "t4")
    assert 0 < one.low < one.high
    assert predict_time("Qwen2.5-0.5B", "qlora", 2 * 10**6, "T4").low == pytest.approx(2 * one.low)
    assert find_device("T4").bf16_tflops is None and find_device("T4").fp16_tflops


def test_what_is_not_known_gets_no_number():
    with pytest.raises(LabError, match="RTX 4060 8GB"):
        predict_time("Qwen2.5-0.5B", "lora", 1, "RTX 4060 8GB")
    with pytest.raises(LabError, match="Voodoo"):
        predict_time("Qwen2.5-0.5B", "lora", 1, "Voodoo 2")
    with pytest.raises(LabError, match="'dora'"):
        predict_time("Qwen2.5-0.5B", "dora", 1, "T4")
