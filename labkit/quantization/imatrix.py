"""Importance matrices: how much each column of a weight matters, for llama.cpp's quantizer.

A column matters as much as what it is multiplied with is large: its mean squared input, as
llama.cpp's ``imatrix`` tool measures it. The Python bindings only take such a matrix; here it is
measured by Transformers on the calibration text. Not covered: routed experts, which Transformers
keeps as one parameter, and DeepSeek's kv_b, which llama.cpp splits; they are quantized as without.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..architecture.config_file import read_json_config
from ..core.cache import cache_folder, digest
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..core.workers import run_apart
from ..engines import load
from ..gguf.conversion import ARCHITECTURES, model_class, weight_files
from ..gguf.files import Importances, gguf_for, quantize_gguf, read_format
from ..hub.resolver import Location
from .calibration import Text, calibration_rows

SUFFIX = "-imatrix"
"""Behind a GGUF format: made with an importance matrix."""

MAKER_VERSION = 1


def imatrix_gguf_for(
    location: Location,
    format: str,
    *,
    text: Text = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> Path:
    """The GGUF file of a folder in a format, quantized with an importance matrix; cached.

    Usage: ``imatrix_gguf_for(locate("pocket/llama3"), "Q4_K_M")``

    text: to measure importances on; None takes the corpus. Raises LabError for a GGUF file, and as
    :func:`~labkit.gguf.files.gguf_for` does.
    """
    format = read_format(format)
    if location.kind == "gguf":
        raise LabError(
            t(
                f"An importance matrix is measured on a folder, and '{location.name}' is GGUF.",
                f"重要性矩阵要用文件夹里的模型来测，而 '{location.name}' 是 GGUF 文件。",
            ),
            t("Name the folder or the Hub id of the model.", "请给出模型的文件夹或 Hub 名称。"),
        )
    base = gguf_for(location.path, "F16", callback=callback)
    made_by = f"{MAKER_VERSION} {json.dumps([text, seed])}"
    stem = location.path.resolve().name
    name = f"{stem}-{digest(made_by, [base, *weight_files(location.path)])}-{format}{SUFFIX}.gguf"
    cached = cache_folder() / "gguf" / name
    if not cached.exists():
        with show_progress(None, t("measuring importances", "测量重要性")):
            measured = run_apart(_measure, str(location.path), text, seed, small=location.is_pocket)
        importances = {name: np.array(values, np.float32) for name, values in measured.items()}
        quantize_gguf(base, cached, format, importances)
    return cached


def measure_importances(model: Any, ids: Any, config: dict[str, Any]) -> Importances:
    """The mean squared input of every column of every linear layer, under llama.cpp's names.

    Usage: ``measure_importances(model, torch.tensor(rows), config)``

    model: a causal model of Transformers. ids: (rows, tokens). The output head is left out, as
    llama.cpp's tool leaves it.
    """
    torch, gguf = need("torch"), need("gguf")
    architecture = ARCHITECTURES[model_class(config)]
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config["num_hidden_layers"])
    sums: dict[str, Any] = {}
    hooks = []

    def add(name: str, inputs: Any) -> None:
        columns = inputs.reshape(-1, inputs.shape[-1]).double()
        total, count = sums.get(name, (0, 0))
        sums[name] = (total + columns.square().sum(0), count + len(columns))

    for key, part in model.named_modules():
        name = names.get_name(f"{key}.weight", try_suffixes=(".weight",))
        if name and name.startswith("blk.") and isinstance(part, torch.nn.Linear):
            hooks.append(
                part.register_forward_pre_hook(lambda _, fed, name=name: add(name, fed[0]))
            )
    with torch.no_grad():
        for row in ids:
            model.base_model(row[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: (total / count).float().numpy() for name, (total, count) in sums.items()}


def _measure(folder: str, text: Text, seed: int) -> dict[str, list[float]]:
    """In a worker: the importances of a model's columns."""
    model = load(folder, "transformers", dtype="float32")
    rows = calibration_rows(model, text, seed)
    ids = need("torch").tensor(rows)
    measured = measure_importances(model.model, ids, read_json_config(Path(folder)))
    return {name: [float(value) for value in values] for name, values in measured.items()}
