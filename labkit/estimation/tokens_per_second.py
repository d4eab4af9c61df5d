"""Tokens per second while answering, as a range: how often memory can be read through in a second.

For each new token a model reads its weights once (of the experts only the chosen ones) and the
cache of the context. A single answer is bound by that and not by arithmetic, so

    tokens/s = share of the peak × memory bandwidth / bytes read

The share that llama.cpp reaches is a rule of thumb, not a constant: 0.65 to 0.80 in the published
runs that the tests cite; the range is wider, and lower where experts are scattered. Not covered:
reading the prompt, several answers at once, speculative decoding.
"""

import re
from functools import cache
from typing import NamedTuple

from ..catalog import Device, devices
from .inference_memory import Estimate

SHARE = (0.45, 0.85)
"""Share of the peak bandwidth that dense models reach, at least and at best."""

SHARE_OF_EXPERTS = (0.25, 0.7)
"""The same where a token reads only some of the experts."""

_VARIANTS = {
    "ti",
    "super",
    "pro",
    "max",
    "ultra",
    "laptop",
    "mobile",
    "q",
    "d",
    "ada",
    "nano",
    "pcie",
}
_OPTIONAL = re.compile(r"\d+gb|sxm\d*|dense|blackwell|grace")


class Speed(NamedTuple):
    """Tokens per second, from the slowest to the fastest that is likely."""

    low: float
    high: float


def token_speed(estimate: Estimate, gpu: str | None, ram: str | None = None) -> Speed | None:
    """The likely speed of one answer; None where the hardware is not known.

    Usage: ``token_speed(lab.estimate("Qwen2.5-7B", vram="24GiB"), "NVIDIA GeForce RTX 4090")``

    gpu, ram: names as the driver or the maker writes them, "RTX 4090", "Apple M2 Max", "DDR5-5600
    dual channel". What the estimate puts in RAM is read from there, so a partly offloaded model
    needs both. low counts the cache of a full context, high an empty one.
    """
    on_gpu = 1.0 if estimate.on_gpu is None else _gpu_share(estimate)
    fast, slow = (
        find_bandwidth(gpu) if on_gpu else None,
        find_bandwidth(ram) if on_gpu < 1 else None,
    )
    if (on_gpu and fast is None) or (on_gpu < 1 and slow is None):
        if estimate.on_gpu is not None or ram is None:
            return None
        on_gpu, slow = 0.0, find_bandwidth(ram)  # nothing was placed: all of it may run in RAM
        if slow is None:
            return None
    scattered = estimate.read_per_token < 0.7 * estimate.weights
    least, best = SHARE_OF_EXPERTS if scattered else SHARE
    weights, cache = estimate.read_per_token, estimate.kv_cache // estimate.batch
    speeds = []
    for share, size, edge in ((least, weights + cache, 0), (best, weights, 1)):
        seconds = 0.0
        if on_gpu and fast:
            seconds += on_gpu * size / (fast[edge] * share)
        if on_gpu < 1 and slow:
            seconds += (1 - on_gpu) * size / (slow[edge] * share)
        speeds.append(round(1 / seconds, 1))
    return Speed(*speeds)


def _gpu_share(estimate: Estimate) -> float:
    """Share of the layers that the GPU computes."""
    if estimate.n_gpu_layers is None:
        return 1.0
    return estimate.n_gpu_layers / estimate.n_layers


@cache
def find_bandwidth(name: str | None) -> tuple[float, float] | None:
    """Peak memory bandwidth in bytes per second, lowest and highest of what the name can mean.

    Usage: ``find_bandwidth("NVIDIA GeForce RTX 4090")  # (1.008e12, 1.008e12)``. None for a name
    that is not in ``hardware.toml``: no number is invented.
    """
    if not name:
        return None
    words = _words(name)
    found = [device for device in devices() if device.bandwidth_gbps and _names(device, words)]
    exact = [device for device in found if _words(device.name) <= words]
    peaks = [(device.bandwidth_gbps or 0) * 1e9 for device in exact or found]
    return (min(peaks), max(peaks)) if peaks else None


def _names(device: Device, words: frozenset[str]) -> bool:
    """Whether a name means the device: all its words but memory and socket, no other variant."""
    own = _words(device.name)
    needed = {word for word in own if not _OPTIONAL.fullmatch(word)}
    sizes = {word for word in words if re.fullmatch(r"\d+gb", word)}
    own_sizes = {word for word in own if re.fullmatch(r"\d+gb", word)}
    if sizes and own_sizes and not sizes & own_sizes:
        return False
    return needed <= words and words & _VARIANTS <= own


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", name.lower()))
