"""GGUF files: made from Hugging Face folders, quantized by llama.cpp, kept in the cache.

What is kept is named by what it was made from: other weights, another tokenizer or another format
give another file, and the same give the same. A file appears under its name only when it is
whole; two processes that make the same one at once do not disturb each other.
"""

import errno
import hashlib
import logging
import math
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .errors import LabError
from .extras import need
from .gguf_conversion import read_config, weight_files
from .gguf_inspection import FILE_TYPES, Contents, inspect_gguf
from .gguf_types import BLOCKS
from .gguf_types import FILE_TYPES as MAIN_TYPE
from .i18n import t
from .machine import cache_folder
from .progress import Callback, show_progress
from .units import MiB, show_bytes

FORMATS = (
    "F32", "F16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_1", "Q4_K_M", "Q4_K_S",
    "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
)  # fmt: skip
"""The formats that are made here, spelled as llama.cpp prints them, large to small."""

CONVERTER_VERSION = 1
"""Part of every cached file's name; raise it when what is written changes."""

_HASHED_WHOLE = 64 * MiB
_DAY = 86_400


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
    folder: str | Path, out: str | Path, format: str = "F16", *, callback: Callback | None = None
) -> Path:
    """Convert a Hugging Face folder to a GGUF file.

    Usage: ``write_gguf("Qwen2.5-0.5B-Instruct", "qwen.gguf", "F16")``

    format: "F16" or "F32"; norms, biases and routers are in float32 either way. callback: as in
    :func:`~labkit.progress.show_progress`, in bytes. Only one tensor is in memory at a time.

    Raises LabError for a class, tokenizer or checkpoint that cannot be converted, and when the
    file cannot be written. Not covered: see :mod:`~labkit.gguf_conversion` and
    :mod:`~labkit.gguf_tokenizer`.
    """
    # Only here: a file that is in the cache is found without them.
    from .gguf_conversion import ARCHITECTURES, add_numbers, list_weights, model_class
    from .gguf_tokenizer import add_tokenizer, read_tokenizer

    folder, out = Path(folder), Path(out)
    if format not in ("F16", "F32"):
        raise ValueError(f"a folder is converted to 'F16' or 'F32', not {format!r}")
    gguf = need("gguf")
    config = read_config(folder)
    tokenizer = read_tokenizer(folder, config["vocab_size"])
    weights = list_weights(folder, config)
    wanted = np.dtype(np.float16 if format == "F16" else np.float32)
    kinds = [np.dtype(np.float32) if weight.stays_float32 else wanted for weight in weights]
    sizes = [
        math.prod(weight.shape) * kind.itemsize for weight, kind in zip(weights, kinds, strict=True)
    ]
    with _replacing(out, sum(sizes)) as part:
        writer = gguf.GGUFWriter(part, ARCHITECTURES[model_class(config)])
        try:
            writer.add_name(folder.name)
            writer.add_file_type(FILE_TYPES[format])
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


def quantize_gguf(source: str | Path, out: str | Path, format: str) -> Path:
    """Quantize a GGUF file by llama.cpp's own quantizer.

    Usage: ``quantize_gguf("qwen-F16.gguf", "qwen-Q4_K_M.gguf", "Q4_K_M")``

    source: in F32, F16 or BF16; quantizing twice would add up the losses. Rows that do not divide
    by 256 fall back to larger types in the K formats, as llama.cpp prints and
    :func:`~labkit.gguf_inspection.inspect_gguf` shows. Raises LabError for an unknown format, a
    damaged or quantized source, and when the file cannot be written.
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
    parameters.ftype = FILE_TYPES[format]
    size = quantized_size(contents, format)
    with _replacing(out, size) as part, _quiet():
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


def quantized_size(source: Contents, format: str) -> int:
    """About how many bytes the file will have: all weights in the format's main type."""
    size, weights = BLOCKS[MAIN_TYPE[format]]
    return source.file_size - source.tensor_bytes + source.parameters * size // weights


def gguf_for(source: str | Path, format: str = "F16", *, callback: Callback | None = None) -> Path:
    """The GGUF file of a model in a format: from the cache, or made now.

    Usage: ``gguf_for("Qwen2.5-0.5B-Instruct", "Q4_K_M")``

    source: a Hugging Face folder or a .gguf file; a file that has the format already is itself
    the answer. Raises LabError as :func:`write_gguf` and :func:`quantize_gguf` do.
    """
    source, format = Path(source), read_format(format)
    if source.suffix == ".gguf":
        if inspect_gguf(source).format == format:
            return source
        kept, base = _cache_path(source, [source], format), source
    else:
        read_config(source)
        kept = _cache_path(source, _source_files(source), format)
        if not kept.exists() and format in ("F16", "F32"):
            return write_gguf(source, kept, format, callback=callback)
        base = kept
        if not kept.exists():
            base = gguf_for(source, "F16", callback=callback)
    return kept if kept.exists() else quantize_gguf(base, kept, format)


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
    """Where the file is kept: named by the model for people, by a hash for certainty.

    Small files are hashed whole. Of larger ones, which would take minutes, name, size, time of
    change and the first megabyte (the header of safetensors and GGUF) count.
    """
    digest = hashlib.sha256(str(CONVERTER_VERSION).encode())
    for path in files:
        status = path.stat()
        digest.update(f"\0{path.name}\0{status.st_size}\0".encode())
        with path.open("rb") as file:
            if status.st_size <= _HASHED_WHOLE:
                digest.update(file.read())
            else:
                digest.update(f"{status.st_mtime_ns}\0".encode() + file.read(MiB))
    stem = source.stem if source.suffix == ".gguf" else source.resolve().name
    return cache_folder() / "gguf" / f"{stem}-{digest.hexdigest()[:12]}-{format}.gguf"


# --- whole or not at all ----------------------------------------------------------------------


@contextmanager
def _replacing(path: Path, size: int) -> Iterator[Path]:
    """A file to write beside path, which takes its place when all went well.

    size: bytes it will need. Raises LabError when there is no room or no permission.
    """
    folder = path.parent
    part = folder / f".{path.name}.{platform.node()}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        free = shutil.disk_usage(folder).free
        if free < size:
            raise _no_room(path, size, free)
        try:
            part.touch()  # says why where it may not be written; llama.cpp would only fail
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        # numpy says how much it could write, but not why; EFBIG: more than a FAT disk can hold.
        if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(path, size, shutil.disk_usage(folder).free) from error
        raise LabError(
            t(
                f"'{error.filename or path}' cannot be written: {error.strerror}.",
                f"无法写入 '{error.filename or path}'：{error.strerror}。",
            ),
            t(
                "Choose a folder that you may write to; LABKIT_CACHE moves the cache.",
                "请换一个可写的目录；缓存位置可用环境变量 LABKIT_CACHE 更改。",
            ),
        ) from error


def _no_room(path: Path, size: int, free: int) -> LabError:
    return LabError(
        t(
            f"There is no room for '{path}': it needs {show_bytes(size)}, "
            f"and {show_bytes(free)} are free.",
            f"磁盘空间不足，无法写入 '{path}'：需要 {show_bytes(size)}，只剩 {show_bytes(free)}。",
        ),
        t(
            "Free some space, or set LABKIT_CACHE to a folder on another disk.",
            "请清理磁盘，或把环境变量 LABKIT_CACHE 设为另一块磁盘上的目录。",
        ),
    )


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed left behind; those of other machines after a day."""
    import psutil  # here: a file that is in the cache is found without it

    for part in folder.glob(".*.part"):
        _, host, pid, _ = part.name.removesuffix(".part").rsplit(".", 3)
        try:
            old = time.time() - part.stat().st_mtime > _DAY
            if old or (host == platform.node() and not psutil.pid_exists(int(pid))):
                part.unlink()
        except FileNotFoundError:
            continue  # another process was faster


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
