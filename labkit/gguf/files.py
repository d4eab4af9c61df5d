"""GGUF files: made from Hugging Face folders, quantized by llama.cpp, cached.

A cached file is named by what it was made from: other weights, another tokenizer or another format
give another file, and the same give the same. A file appears under its name only when it is
whole; two processes that make the same one at once do not disturb each other.
"""

import ctypes
import errno
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..architecture.config_file import read_json_config
from ..core.cache import cache_path, digest, replacing
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..core.units import MiB
from .conversion import check_config, weight_files
from .quant_types import BLOCKS
from .quant_types import FILE_TYPES as MAIN_TYPE
from .reader import FILE_TYPE_NUMBERS, Contents, inspect_gguf

FORMATS = (
    "F32", "F16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_1", "Q4_K_M", "Q4_K_S",
    "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
)  # fmt: skip
"""The formats that are made here, spelled as llama.cpp prints them, large to small."""

CONVERTER_VERSION = 1
"""Part of every cached file's name; raise it when what is written changes."""


def read_format(name: str) -> str:
    """A GGUF format as llama.cpp spells it.

    Usage: ``read_format("q4_k_m")  # "Q4_K_M"``. Raises LabError with the nearest one.
    """
    if name.upper() in FORMATS:
        return name.upper()
    import difflib

    near = difflib.get_close_matches(name.upper(), FORMATS, 1, 0)[0]
    known = ", ".join(FORMATS)
    raise LabError(
        t(f"The GGUF format '{name}' is not known.", f"没有名为 '{name}' 的 GGUF 格式。"),
        t(f"Did you mean '{near}'? Known: {known}.", f"是不是 '{near}'？可用的有：{known}。"),
    )


def write_gguf(
    folder: str | Path,
    out: str | Path,
    format: str = "F16",
    *,
    config: Mapping[str, Any] | None = None,
    callback: Callback | None = None,
) -> Path:
    """Convert a Hugging Face folder to a GGUF file.

    Usage: ``write_gguf("Qwen2.5-0.5B-Instruct", "qwen.gguf", "F16")``

    format: "F16" or "F32"; norms, biases and routers are in float32 either way. config: the
    folder's ``config.json`` where it was read before. callback: as in
    :func:`~labkit.core.progress.show_progress`, in bytes. Only one tensor is in memory at a time.

    Raises LabError for a class, tokenizer or checkpoint that cannot be converted, and when the
    file cannot be written. Not covered: see :mod:`~labkit.gguf.conversion` and
    :mod:`~labkit.gguf.tokenizer`.
    """
    # Only here: a file that is in the cache is found without them.
    import numpy as np

    from .conversion import ARCHITECTURES, add_numbers, list_weights, model_class
    from .tokenizer import add_tokenizer, read_tokenizer

    folder, out = Path(folder), Path(out)
    if format not in ("F16", "F32"):
        raise ValueError(f"a folder is converted to 'F16' or 'F32', not {format!r}")
    gguf = need("gguf")
    config = check_config(config or read_json_config(folder))
    tokenizer = read_tokenizer(folder, config["vocab_size"])
    weights = list_weights(folder, config)
    wanted = np.dtype(np.float16 if format == "F16" else np.float32)
    kinds = [np.dtype(np.float32) if weight.stays_float32 else wanted for weight in weights]
    sizes = [
        math.prod(weight.shape) * kind.itemsize for weight, kind in zip(weights, kinds, strict=True)
    ]
    with replacing(out, sum(sizes)) as part:
        writer = gguf.GGUFWriter(part, ARCHITECTURES[model_class(config)])
        try:
            writer.add_name(folder.name)
            writer.add_file_type(FILE_TYPE_NUMBERS[format])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            add_numbers(writer, config)
            add_tokenizer(writer, tokenizer)
            for weight, kind, size in zip(weights, kinds, sizes, strict=True):
                writer.add_tensor_info(weight.name, weight.shape, kind, size)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            title = t("converting to GGUF", "转换为 GGUF")
            with show_progress(sum(sizes), title, unit="B", callback=callback) as bar:
                for weight, kind, size in zip(weights, kinds, sizes, strict=True):
                    writer.write_tensor_data(np.ascontiguousarray(weight.read(), kind))
                    bar.advance(size)
        finally:
            writer.close()
    return out


Importances = Mapping[str, Any]
"""Name of a tensor in the GGUF file to what each column matters: float32, (columns,)."""


def quantize_gguf(
    source: str | Path, out: str | Path, format: str, importances: Importances | None = None
) -> Path:
    """Quantize a GGUF file by llama.cpp's own quantizer.

    Usage: ``quantize_gguf("qwen-F16.gguf", "qwen-Q4_K_M.gguf", "Q4_K_M")``

    source: in F32, F16 or BF16; quantizing twice would add up the losses. Rows that do not divide
    by 256 fall back to larger types in the K formats, as llama.cpp prints and
    :func:`~labkit.gguf.reader.inspect_gguf` shows. importances: an importance matrix; tensors that
    it lacks are quantized as without one (:mod:`~labkit.quantization.imatrix`). Raises LabError for
    an unknown format, a damaged or quantized source, and when the file cannot be written.
    """
    out, format, contents = Path(out), read_format(format), inspect_gguf(source)
    if contents.format not in ("F32", "F16", "BF16"):
        raise LabError(
            t(
                f"'{source}' is already quantized ({contents.format}).",
                f"'{source}' 已经是量化过的文件（{contents.format}）。",
            ),
            t("Start from an F16 or F32 file.", "请从 F16 或 F32 文件开始。"),
        )
    llama_cpp = need("llama_cpp")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPE_NUMBERS[format]
    if importances:
        parameters.imatrix = _entries(llama_cpp, importances)
    size = quantized_size(contents, format)
    with replacing(out, size) as part, _quiet():
        status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(part), parameters)
        if status != 0:
            if shutil.disk_usage(part.parent).free < MiB:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise LabError(
                t(
                    f"llama.cpp could not quantize '{source}' to {format}.",
                    f"llama.cpp 无法把 '{source}' 量化为 {format}。",
                ),
                t("Check that llama.cpp can load it.", "请先确认 llama.cpp 能加载这个文件。"),
            )
    return out


def _entries(llama_cpp: Any, importances: Importances) -> Any:
    """llama.cpp's own list of tensors, which an entry without a name ends."""
    import numpy as np

    kind = llama_cpp.llama_model_imatrix_data
    entries = (kind * (len(importances) + 1))()
    for entry, (name, values) in zip(entries, importances.items(), strict=False):
        data = np.ascontiguousarray(values, np.float32)
        entry.name, entry.size = name.encode(), data.size
        entry.data = (ctypes.c_float * data.size).from_buffer_copy(data.tobytes())
    return entries


def quantized_size(source: Contents, format: str) -> int:
    """About how many bytes the file will have: all weights in the format's main type."""
    size, weights = BLOCKS[MAIN_TYPE[format]]
    return source.file_size - source.tensor_bytes + source.parameters * size // weights


def gguf_for(
    source: str | Path,
    format: str = "F16",
    *,
    config: Mapping[str, Any] | None = None,
    callback: Callback | None = None,
) -> Path:
    """The GGUF file of a model in a format: from the cache, or made now.

    Usage: ``gguf_for("Qwen2.5-0.5B-Instruct", "Q4_K_M")``

    source: a Hugging Face folder or a .gguf file; a file that has the format already is itself
    the answer. config: the folder's, where it was read before. Raises LabError as
    :func:`write_gguf` and :func:`quantize_gguf` do.
    """
    source, format = Path(source), read_format(format)
    if source.suffix == ".gguf":
        if inspect_gguf(source).format == format:
            return source
        cached, base = _cache_path(source, [source], format), source
    else:
        config = check_config(config or read_json_config(source))
        cached = _cache_path(source, _source_files(source), format)
        if not cached.exists() and format in ("F16", "F32"):
            return write_gguf(source, cached, format, config=config, callback=callback)
        base = cached
        if not cached.exists():
            base = gguf_for(source, "F16", config=config, callback=callback)
    return cached if cached.exists() else quantize_gguf(base, cached, format)


def _source_files(folder: Path) -> list[Path]:
    """The files of a folder that the GGUF file depends on."""
    names = (
        "config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "chat_template.jinja",
    )
    return weight_files(folder) + [folder / name for name in names if (folder / name).exists()]


def _cache_path(source: Path, files: list[Path], format: str) -> Path:
    """Where the file is cached: named by the model for people, by a hash for certainty."""
    stem = source.stem if source.suffix == ".gguf" else source.resolve().name
    name = f"{stem}-{digest(str(CONVERTER_VERSION), files)}-{format}.gguf"
    return cache_path(os.environ) / "gguf" / name


@contextmanager
def _quiet() -> Iterator[None]:
    """llama.cpp reports every tensor on stderr; the outcome is what it returns."""
    logger = logging.getLogger("llama-cpp-python")  # its level is what the bindings go by
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
