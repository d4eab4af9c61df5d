"""Whether a model of the catalogue fits a machine, in which GGUF type, and where its layers lie."""

from dataclasses import replace
from functools import lru_cache

from ..catalog import CatalogModel, find
from ..estimation.inference_memory import Estimate
from ..estimation.memory import estimate_run
from ..gguf.quant_types import file_size
from ..hub.resolver import Source, source_of
from .available_memory import AvailableMemory
from .needs import perplexity_rise


def place(
    model: CatalogModel, quant: str, context: int, machine: AvailableMemory
) -> Estimate | None:
    """The estimate with its layers placed on the machine; None where it does not fit.

    Where RAM is not counted everything must fit on the GPU, the embedding table too.
    """
    e = size(model, quant, context)
    if not machine.vram:
        fits = machine.ram is not None and e.total <= machine.ram
        return replace(e, n_gpu_layers=0, on_gpu=0, in_ram=e.total) if fits else None
    if machine.ram is None:
        whole = e.total <= machine.vram * machine.gpus
        if whole and machine.gpus > 1:  # each has a buffer of its own, and layers are not divided
            whole = bool(size(model, quant, context, vram=machine.vram, gpus=machine.gpus).fits)
        return replace(e, n_gpu_layers=e.n_layers, on_gpu=e.total, in_ram=0) if whole else None
    placed = size(model, quant, context, vram=machine.vram, gpus=machine.gpus)
    assert placed.in_ram is not None
    return placed if placed.in_ram <= machine.ram else None


def quants(model: CatalogModel) -> tuple[str, ...]:
    """The GGUF types worth ranking: all that were measured; of MXFP4 weights only the original."""
    return ("MXFP4_MOE",) if model.native_dtype == "mxfp4" else tuple(perplexity_rise())


@lru_cache(maxsize=1024)
def _source(name: str) -> Source:
    return source_of(find(name))  # not resolve: a file of that name must not come in between


def size(
    model: CatalogModel,
    quant: str,
    context: int,
    kv_type: str = "f16",
    vram: int | None = None,
    gpus: int = 1,
) -> Estimate:
    """The estimate of a catalogue model, cached: the same question is asked many times."""
    return _size(model.name, quant, context, kv_type, vram, gpus)


@lru_cache(maxsize=2**16)
def _size(
    name: str, quant: str, context: int, kv_type: str, vram: int | None, gpus: int
) -> Estimate:
    return estimate_run(
        _source(name), quant=quant, context=context, kv_type=kv_type, vram=vram, gpus=gpus
    )


@lru_cache(maxsize=2**14)
def sizes(name: str, context: int) -> tuple[tuple[str, int, int], ...]:
    """GGUF type, total and bytes of the file for each type worth ranking, the finest first.

    Usage: ``sizes("Qwen3-8B", 8192)``. Cache and runtime are counted once: they are the same for
    every type.
    """
    first, *_ = types = quants(find(name))
    e = size(find(name), first, context)
    a = _source(name).architecture
    files = [
        (quant, file_size(a, quant, False)) for quant in types
    ]  # as estimate_run asks: cached once
    return tuple((quant, e.total - e.weights + file.tensors, file.total) for quant, file in files)


def smallest(model: CatalogModel, context: int) -> Estimate:
    """The estimate in the GGUF type that takes the least.

    Usage: ``smallest(find("Qwen3-8B"), 8192).quant``
    """
    quant, _, _ = min(sizes(model.name, context), key=lambda row: row[1])
    return size(model, quant, context)
