"""A model for vLLM: what it is told, and whether that fits, by :func:`labkit.estimate`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalog import find
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.units import read_bytes, show_bytes
from ..engines import load
from ..estimation.inference_memory import Estimate
from ..estimation.memory import estimate
from ..finetuning.lora import ORIGIN
from ..gguf.conversion import weight_files
from ..hub.resolver import Location, Source, locate, resolve
from .gguf_release import check_name, name_of
from .prompt_shape import read_shape

SHARE = 0.9
"""Of a GPU's memory that vLLM takes: its default for ``--gpu-memory-utilization``."""

CONTEXT = 8192
"""Tokens of a conversation, where the model was trained for more and nothing else is asked for."""

_PARSERS = {"<tool_call>": "hermes", "[TOOL_CALLS]": "mistral", '{"name": "': "llama3_json"}
"""How a call of a tool begins, and which of vLLM's parsers reads it."""

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` takes."""


@dataclass(frozen=True)
class VllmJob:
    """One model to serve. base: a Hub id, or None where files hold it.

    files: name in the export to where it is. arguments: of ``vllm serve``, behind the model's name.
    needed: bytes of all GPUs together, for one conversation of full length.
    """

    name: str
    base: str | None
    files: Mapping[str, Path]
    arguments: tuple[str, ...]
    gpus: int
    needed: int
    notes: tuple[str, ...]


def settle_vllm(
    model: str | Path,
    *,
    name: str | None = None,
    adapter: str | Path | None = None,
    context: int | None = None,
    vram: str | int | None = None,
    gpus: int = 1,
) -> VllmJob:
    """Settle how vLLM is to serve a model, and refuse what would not fit.

    Usage: ``settle_vllm("Qwen2.5-7B", vram="24GiB", context=8192).needed``

    model: a folder or pocket name, whose files go along, or a name of the catalogue or the Hub,
    which vLLM fetches. adapter: a folder of PEFT's. context: tokens; None takes what the model was
    trained for, at most CONTEXT. vram: of one GPU; None checks nothing. Raises LabError for a GGUF
    file and for what does not fit, with what would.
    """
    location, base = _where(model)
    source = resolve(location or model)
    trained = source.context or source.architecture.max_position_embeddings
    context = min(CONTEXT, trained or CONTEXT) if context is None else context
    estimated = estimate(
        location or model,
        quant=_quant(location.config if location else {}),
        engine="transformers",
        context=context,
        vram=vram,
        gpus=gpus,
    )
    _check_gpus(source, estimated, vram, gpus)
    name = check_name(name or (name_of(location) if location else source.name.lower()))
    arguments = ["--served-model-name", name, "--max-model-len", str(context)]
    arguments += ["--gpu-memory-utilization", str(SHARE)]
    if gpus > 1:
        arguments += ["--tensor-parallel-size", str(gpus)]
    parser = _tool_parser(location) if location else None
    if parser:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    files = {f"model/{path.name}": path for path in _files(location)} if location else {}
    if adapter is not None:
        files |= _adapter_files(Path(adapter).expanduser())
        arguments += ["--enable-lora", "--max-lora-rank", str(_rank(Path(adapter)))]
        arguments += ["--lora-modules", f"{name}-lora=adapter"]
    notes = [_memory_note(estimated, gpus), _tools_note(location, parser)]
    notes.append(location.note if location else "")
    kept = tuple(filter(None, notes))
    return VllmJob(
        name=name,
        base=base,
        files=files,
        arguments=tuple(arguments),
        gpus=gpus,
        needed=_needed(estimated, gpus),
        notes=kept,
    )


def _where(model: str | Path) -> tuple[Location | None, str | None]:
    """On this disk, or only on the Hub: a 70B model need not be here to be served elsewhere."""
    text = str(model)
    if not text.startswith("pocket/") and not Path(text).expanduser().exists():
        try:
            return None, find(text).huggingface
        except LabError:
            pass
    location = locate(model)
    if location.kind == "gguf":
        raise LabError(
            t(
                f"'{model}' is a GGUF file, for llama.cpp.",
                f"'{model}' 是 llama.cpp 的 GGUF 文件。",
            ),
            t(
                "For vLLM name the Hugging Face model it was made from.",
                "用于 vLLM 时，请指定它所来自的 Hugging Face 模型。",
            ),
        )
    hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not location.is_pocket
    return location, text if hub_id and not Path(text).is_dir() else None


def _files(location: Location) -> list[Path]:
    more = ("*.json", "*.jinja", "tokenizer.model")
    found = {path for pattern in more for path in location.path.glob(pattern)}
    return sorted({*weight_files(location.path), *found})


def _adapter_files(adapter: Path) -> dict[str, Path]:
    names = ("adapter_config.json", "adapter_model.safetensors")
    missing = [name for name in names if not (adapter / name).is_file()]
    if missing:
        raise LabError(
            t(f"'{adapter}' has no {missing[0]}.", f"'{adapter}' 里没有 {missing[0]}。"),
            t("Name the folder of an adapter of PEFT.", "请指定 PEFT 适配器的文件夹。"),
        )
    kept = [*names, *([ORIGIN] if (adapter / ORIGIN).is_file() else [])]
    return {f"adapter/{name}": adapter / name for name in kept}


def _rank(adapter: Path) -> int:
    rank = int(need("peft").PeftConfig.from_pretrained(str(adapter.expanduser())).r)
    return next((known for known in _RANKS if known >= rank), rank)


def _quant(config: Mapping[str, Any]) -> str:
    settings = config.get("quantization_config") or {}
    method, bits = settings.get("quant_method"), settings.get("bits", 4)
    if method in ("gptq", "awq"):
        return f"{method}-{bits}bit"
    if method == "bitsandbytes":
        return "nf4" if settings.get("load_in_4bit") else "int8"
    return "bf16"  # and so much fp16 takes; fp32 is made smaller by vLLM


def _tool_parser(location: Location) -> str | None:
    model = load(location, "transformers")
    try:
        shape = read_shape(model)
    except LabError:
        return None
    if shape.tools is None:
        return None
    parser = next((p for begin, p in _PARSERS.items() if shape.tools.opening.startswith(begin)), "")
    if parser == "llama3_json" and "parameters" not in shape.tools.middle:
        return None
    return parser or None


def _tools_note(location: Location | None, parser: str | None) -> str:
    if parser:
        return ""
    if location is None:
        return t(
            "For calls of tools add --enable-auto-tool-choice and the --tool-call-parser that"
            " vLLM's documentation names for this model.",
            "如需工具调用，请加上 --enable-auto-tool-choice，"
            "并按 vLLM 文档为该模型选择 --tool-call-parser。",
        )
    return t(
        "vLLM has no parser for calls of tools as this model writes them: they come back as text.",
        "vLLM 没有适合该模型工具调用格式的解析器：调用会作为文本返回。",
    )


# --- does it fit? -----------------------------------------------------------------------------


def _needed(estimated: Estimate, gpus: int) -> int:
    """Bytes of all GPUs: each has what an engine works in, and only a share is taken."""
    used = estimated.weights + estimated.kv_cache + gpus * estimated.runtime
    return round(used / SHARE)


def _memory_note(estimated: Estimate, gpus: int) -> str:
    each = show_bytes(-(-_needed(estimated, gpus) // gpus))
    return t(
        f"By labkit's estimate: {estimated} for one conversation; with {SHARE:.0%} of it for vLLM,"
        f" a GPU of at least {each}" + (f", {gpus} of them." if gpus > 1 else "."),
        f"labkit 估算（单个对话）：{estimated}；vLLM 使用显存的 {SHARE:.0%}，"
        f"因此每张 GPU 至少需要 {each}" + (f"，共 {gpus} 张。" if gpus > 1 else "。"),
    )


def _check_gpus(source: Source, estimated: Estimate, vram: str | int | None, gpus: int) -> None:
    heads = source.architecture.num_attention_heads
    if heads % gpus:
        raise LabError(
            t(
                f"vLLM cannot divide {heads} attention heads among {gpus} GPUs.",
                f"vLLM 无法把 {heads} 个注意力头平均分给 {gpus} 张 GPU。",
            ),
            t("Take 1, 2, 4 or 8.", "请用 1、2、4 或 8 张。"),
        )
    if vram is None:
        return
    size = read_bytes(vram) if isinstance(vram, str) else vram
    if _needed(estimated, gpus) > size * gpus:
        enough = (n for n in (2, 4, 8) if not heads % n and _needed(estimated, n) <= size * n)
        more = next(enough, None)
        raise LabError(
            t(
                f"{estimated.model} does not fit: it needs {show_bytes(_needed(estimated, gpus))},"
                f" and there are {show_bytes(size * gpus)}.",
                f"{estimated.model} 放不下：需要 {show_bytes(_needed(estimated, gpus))}，"
                f"只有 {show_bytes(size * gpus)}。",
            ),
            t(
                f"Take {more} such GPUs, or a shorter context."
                if more
                else "Take larger GPUs, a shorter context, or a quantized model (GPTQ, AWQ).",
                f"请用 {more} 张这样的 GPU，或缩短上下文。"
                if more
                else "请换更大的 GPU、缩短上下文，或使用量化模型（GPTQ、AWQ）。",
            ),
        )
