"""A LoRA adapter as a GGUF file of its own, which llama.cpp puts on the base's GGUF.

Usage: ``write_lora_gguf("clinic-lora", "pocket/qwen2.5", "clinic-lora.gguf")``

Layout as llama.cpp's loader wants it (``src/llama-adapter.cpp``): ``general.type`` is "adapter",
``adapter.type`` is "lora", and beside ``adapter.lora.alpha`` stand pairs of tensors, named like
the base's with ``.lora_a`` (rank × inputs) and ``.lora_b`` (outputs × rank) behind.

Not covered: layers that llama.cpp lays out as one tensor of several (experts) or splits in two
(DeepSeek-V2's kv_b_proj), and adapters with weights besides A and B. Those are merged instead.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.cache import replacing
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..gguf.conversion import (
    ARCHITECTURES,
    Weight,
    check_config,
    lay_out,
    model_class,
    rename_weights,
)
from ..hub.resolver import locate

_PART = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def write_lora_gguf(adapter: str | Path, base: str | Path, out: str | Path) -> Path:
    """Write an adapter of PEFT as a GGUF file, in float32.

    Usage: ``Llama(model_path=gguf_for(folder), lora_path=str(write_lora_gguf(…)))``

    adapter: a folder as :func:`~labkit.finetuning.lora.save_adapter` and PEFT write it. base: the
    model it was trained on, whose configuration says how layers are laid out. Raises LabError for a
    folder without an adapter and for layers that are not covered.
    """
    adapter, out = Path(adapter), Path(out)
    gguf, safetensors = need("gguf"), need("safetensors.numpy")
    settings = _settings(adapter)
    config = check_config(locate(base).config)
    stored = safetensors.load_file(adapter / "adapter_model.safetensors")
    # llama.cpp scales by alpha / rank; rsLoRA by alpha / √rank.
    alpha = settings["lora_alpha"] * (settings["r"] ** 0.5 if settings.get("use_rslora") else 1)
    tensors: dict[str, Any] = {}
    for name, array in stored.items():
        found = _PART.fullmatch(name)
        if found is None:
            raise _not_covered(name)
        weight = Weight(f"{found[1]}.weight", array.shape, array.astype(np.float32).view)
        if found[2] == "B":  # its rows are the layer's, so they are laid out as the layer's are
            weight = _rows(weight, config)
        (renamed,) = rename_weights([weight], config)
        tensors[f"{renamed.name}.lora_{found[2].lower()}"] = renamed.read()
    size = sum(array.nbytes for array in tensors.values())
    with replacing(out, size) as file:
        writer = gguf.GGUFWriter(file, ARCHITECTURES[model_class(config)])
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
            for name, array in tensors.items():
                writer.add_tensor(name, np.ascontiguousarray(array))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return out


def _settings(adapter: Path) -> dict[str, Any]:
    path = adapter / "adapter_config.json"
    if not path.is_file():
        raise LabError(
            t(f"'{adapter}' holds no adapter.", f"'{adapter}' 里没有适配器。"),
            t(
                "Name a folder with an adapter_config.json.",
                "请指定含 adapter_config.json 的文件夹。",
            ),
        )
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("peft_type") != "LORA" or settings.get("use_dora"):
        raise _not_covered(
            str(settings.get("peft_type")) + " DoRA" * bool(settings.get("use_dora"))
        )
    return settings


def _rows(weight: Weight, config: Mapping[str, Any]) -> Weight:
    parts = list(lay_out(weight, config))
    if len(parts) != 1:
        raise _not_covered(weight.name)
    return parts[0]


def _not_covered(what: str) -> LabError:
    return LabError(
        t(
            f"llama.cpp cannot put '{what}' on a model as a LoRA of its own.",
            f"llama.cpp 无法把 '{what}' 作为独立的 LoRA 挂到模型上。",
        ),
        t(
            "Merge the adapter instead: labkit.finetuning.merging.",
            "请改为合并适配器：labkit.finetuning.merging。",
        ),
    )
