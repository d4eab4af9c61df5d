"""Tokens per second: known hardware only, and bounded by what memory can deliver."""

import pytest

from labkit.estimation.memory import estimate
from labkit.estimation.tokens_per_second import find_bandwidth, token_speed


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("NVIDIA GeForce RTX 4090", 1008),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("Tesla T4", 320),
        ("Apple M2 Max", 400),
        ("Apple M2", 100),
        ("NVIDIA GeForce RTX 4060 Ti", 288),
    ],
)
def test_drivers_names_find_the_device(name, gigabytes):
    assert find_bandwidth(name) == (gigabytes * 1e9, gigabytes * 1e9)


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 5070 Ti",
        "H100 PCIe",
        "Voodoo 2",
    ],
)
def test_unknown_hardware_gets_no_number(name):
    assert find_bandwidth(name) is None
    assert token_speed(estimate("Llama-2-7B", vram="24GiB"), name) is None


def test_a_name_that_leaves_the_memory_open_gives_a_range():
    low, high = find_bandwidth("NVIDIA A100")
    assert low < high


def test_speed_is_bounded_by_the_bandwidth():
    e = estimate("Llama-2-7B", quant="Q4_0", vram="24GiB", context=512)
    speed = token_speed(e, "RTX 4090")
    assert 0 < speed.low < speed.high < 1008e9 / e.read_per_token


@pytest.mark.parametrize(
    ("chip", "model", "quant", "published"),
    [
        ("Apple M4", "Llama-3.1-8B", "Q4_K_M", 20.87),  # brand-o/normiebench issue 3, tg128
        # XiongjieDai/GPU-Benchmarks-on-LLM-Inference issue 1: 28.92 and 92.43 ms a token
        ("Apple M2 Pro", "Llama-2-7B", "Q4_0", 34.58),
        ("Apple M2 Pro", "Llama-2-7B", "F16", 10.82),
    ],
)
def test_published_runs_lie_in_the_range(chip, model, quant, published):
    low, high = token_speed(estimate(model, quant=quant, context=256), chip)
    assert low <= published <= high


def test_only_chosen_experts_are_read():
    e = estimate("Mixtral-8x7B", vram="48GiB")
    assert 0.2 < e.read_per_token / e.weights < 0.35


def test_what_lies_in_ram_slows_it_down_and_needs_its_name():
    whole = estimate("Llama-3.1-8B", vram="24GiB")
    part = estimate("Llama-3.1-8B", vram="3GiB")
    assert token_speed(part, "RTX 4090") is None
    slow = token_speed(part, "RTX 4090", "DDR5-5600 dual channel")
    assert slow.high < token_speed(whole, "RTX 4090").low


def test_a_longer_context_is_slower_at_its_end():
    short, long = (estimate("Llama-2-7B", context=c, vram="48GiB") for c in (256, 4096))
    assert token_speed(long, "RTX 4090").low < token_speed(short, "RTX 4090").low
