"""Smaller checkpoints that Transformers loads, by bitsandbytes and three makers of GPTQ's format.

| format | made by | weights of the layers |
|---|---|---|
| int8, nf4, nf4-double | bitsandbytes | 8 or 4 bits, rounded; no text needed |
| gptq-8bit, gptq-4bit | :mod:`~labkit.quantization.gptq` | groups of 128, calibrated |
| gptqmodel-8bit, gptqmodel-4bit | gptqmodel, where it is installed | the same format and idea |
| autoround-8bit, autoround-4bit | auto-round | the same format, rounding learnt by SignSGD |

Embeddings, output head and norms keep 16 bits, and so do routed experts with bitsandbytes; the
other kinds are for models without them. Transformers loads all of them, GPTQ's format with
auto-round's or gptqmodel's kernels.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..architecture.config_file import read_json_config
from ..architecture.layers import read_architecture
from ..core.cache import cache_folder, digest, replacing
from ..core.errors import LabError
from ..core.extras import has, need
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..core.workers import run_apart
from ..engines import load
from ..estimation.transformers_weights import loaded_weights
from ..gguf.conversion import weight_files
from ..hub.huggingface import DOWNLOADED
from ..hub.resolver import Location
from .calibration import Text, calibration_rows
from .gptq import (
    GPTQTensors,
    dequantize_gptq,
    measure_hessian,
    pack_gptq,
    quantization_config,
    quantize_gptq,
)

BITSANDBYTES: dict[str, dict[str, Any]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4-double": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
}
MAKERS = {"gptq": None, "gptqmodel": "gptqmodel", "autoround": "auto_round"}
"""What stands before the bits in a calibrated format, to the package that makes it."""

CALIBRATED = {f"{maker}-{bits}bit": bits for maker in MAKERS for bits in (8, 4)}
"""Format to the bits of a code."""

FORMATS = (
    "int8",
    "autoround-8bit",
    "gptq-8bit",
    "gptqmodel-8bit",
    "nf4",
    "nf4-double",
    "autoround-4bit",
    "gptq-4bit",
    "gptqmodel-4bit",
)

GROUP_SIZE = 128
ITERATIONS = 20
"""Steps of SignSGD a block; auto-round's default is 200, for larger models and longer texts."""

MAKER_VERSION = 1
"""Part of every checkpoint's name; raise it when what is written changes."""


def checkpoint_for(
    location: Location,
    format: str,
    *,
    text: Text = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> Path:
    """The folder of a model in one of FORMATS: from the cache, or made now in a fresh process.

    Usage: ``checkpoint_for(locate("pocket/llama3"), "gptq-4bit")``

    text: to calibrate on; None takes the corpus. callback: as in
    :func:`~labkit.core.progress.show_progress`. An interrupt leaves nothing behind. Raises LabError
    for a GGUF file, a model that is quantized already, a missing package, and a full disk.
    """
    package = MAKERS.get(format.partition("-")[0], "bitsandbytes")
    architecture = read_architecture(_plain_config(location, format))
    if architecture.num_experts and format in CALIBRATED:
        raise _experts(location.name, format)
    used = version(package.replace("_", "-")) if package and has(package) else ""
    made_by = f"{MAKER_VERSION} {used} {GROUP_SIZE} {ITERATIONS}"
    if format in CALIBRATED:
        made_by += json.dumps([text, seed])
    files = [path for path in _files(location.path) if path.suffix != ".md"]
    stem = location.path.resolve().name
    cached = cache_folder() / "checkpoints" / f"{stem}-{digest(made_by, files)}-{format}"
    if not cached.exists():
        if package and not has(package):  # only the worker imports it: that takes seconds
            need(package)
        bits = CALIBRATED.get(format)
        size = loaded_weights(architecture, f"gptq-{bits}bit" if bits else format)
        title = t(f"quantizing to {format}", f"量化为 {format}")
        with (
            replacing(cached, size, folder=True) as part,
            show_progress(None, title, callback=callback) as bar,
        ):
            arguments = (str(location.path), format, str(part), text, seed)
            run_apart(
                _make,
                *arguments,
                callback=lambda done, total: bar.advance(),
                small=location.is_pocket,
            )
    return cached


def _plain_config(location: Location, format: str) -> dict[str, Any]:
    """The config.json of a folder that can be quantized."""
    if location.kind == "gguf":
        raise LabError(
            t(
                f"'{format}' is made from a Hugging Face folder, and '{location.name}' is GGUF.",
                f"'{format}' 要从 Hugging Face 文件夹制作，而 '{location.name}' 是 GGUF 文件。",
            ),
            t("Name the folder or the Hub id of the model.", "请给出模型的文件夹或 Hub 名称。"),
        )
    return refuse_quantized(location)


def _experts(name: str, format: str) -> LabError:
    return LabError(
        t(
            f"'{format}' is not covered for '{name}': it has routed experts, which Transformers"
            " keeps together and readers of the GPTQ format want one by one.",
            f"'{name}' 含路由专家，暂不支持 '{format}'："
            "Transformers 把所有专家存成一个参数，而 GPTQ 格式要求逐个存放。",
        ),
        t("Use a GGUF format, 'nf4' or 'int8'.", "请用 GGUF 格式、'nf4' 或 'int8'。"),
    )


def refuse_quantized(location: Location) -> dict[str, Any]:
    """The config.json of a folder; LabError when it says that the model is quantized already.

    Usage: ``refuse_quantized(locate("pocket/llama3"))["hidden_size"]``
    """
    config = dict(location.config)
    if found := config.get("quantization_config"):
        method = found.get("quant_method", "?")
        raise LabError(
            t(
                f"'{location.name}' is already quantized ({method}).",
                f"'{location.name}' 已经量化过了（{method}）。",
            ),
            t("Start from the model in 16 bits.", "请从 16 位的原始模型开始。"),
        )
    return config


def _files(folder: Path) -> list[Path]:
    """What makes up a model: weights, config, tokenizer."""
    return sorted({path for pattern in DOWNLOADED for path in folder.glob(pattern)})


# --- in the worker ----------------------------------------------------------------------------


def _make(
    folder: str, format: str, out: str, text: Text, seed: int, callback: Callback = lambda *_: None
) -> None:
    """Write a checkpoint into a folder that is there."""
    logging.disable(logging.WARNING)
    need("transformers.utils.logging").disable_progress_bar()
    source, target = Path(folder), Path(out)
    for path in _files(source):
        if path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            shutil.copyfile(path, target / path.name)
    if format in BITSANDBYTES:
        return _by_bitsandbytes(source, target, format)
    rows = calibration_rows(load(source, "transformers"), text, seed)
    bits, maker = CALIBRATED[format], format.partition("-")[0]
    if maker == "gptq":
        return _by_gptq(source, target, rows, bits, callback)
    made = target / "made"
    if maker == "autoround":
        _by_auto_round(source, made, rows, bits, seed)
    else:
        _by_gptqmodel(source, made, rows, bits)
    (config,) = made.glob("**/config.json")
    for path in config.parent.iterdir():
        path.replace(target / path.name)
    shutil.rmtree(made)


def _by_bitsandbytes(source: Path, target: Path, format: str) -> None:
    transformers = need("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        dtype="auto",
        use_safetensors=True,
        quantization_config=transformers.BitsAndBytesConfig(**BITSANDBYTES[format]),
    )
    model.save_pretrained(target)


def _by_auto_round(source: Path, target: Path, rows: list[list[int]], bits: int, seed: int) -> None:
    torch, transformers = need("torch"), need("transformers")
    auto_round = need("auto_round")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source, dtype="float32", use_safetensors=True
    )
    batches = [torch.tensor(rows[start : start + 8]) for start in range(0, len(rows), 8)]
    tuner = auto_round.AutoRound(
        model,
        transformers.AutoTokenizer.from_pretrained(source),
        bits=bits,
        group_size=GROUP_SIZE,
        sym=True,
        iters=ITERATIONS,
        seqlen=len(rows[0]),
        nsamples=len(rows),
        batch_size=len(batches[0]),
        dataset=[batch for batch in batches if len(batch) == len(batches[0])],
        seed=seed,
        device_map="cpu",
        enable_torch_compile=False,  # compiling takes longer than it saves on small models
    )
    tuner.quantize_and_save(str(target), format="auto_gptq")
    _halve(target)


def _halve(folder: Path) -> None:
    """Store in 16 bits what a maker left in 32: auto-round does so on a CPU without bfloat16."""
    torch, safetensors = need("torch"), need("safetensors.torch")
    for path in folder.rglob("*.safetensors"):
        tensors = safetensors.load_file(path)
        wide = {name: w for name, w in tensors.items() if w.dtype == torch.float32}
        if wide:
            halved = {name: w.to(torch.float16) for name, w in wide.items()}
            safetensors.save_file(tensors | halved, path, metadata={"format": "pt"})


def _by_gptqmodel(source: Path, target: Path, rows: list[list[int]], bits: int) -> None:
    gptqmodel = need("gptqmodel")
    settings = gptqmodel.QuantizeConfig(bits=bits, group_size=GROUP_SIZE, sym=True, desc_act=False)
    model = gptqmodel.GPTQModel.load(str(source), settings, device="cpu")
    samples = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]
    model.quantize(samples, batch_size=8)
    model.save(str(target))
    config = read_json_config(target)
    # Where "meta" stands, Transformers expects the second version of the format; this is the first.
    del config["quantization_config"]["meta"]
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _by_gptq(
    source: Path, target: Path, rows: list[list[int]], bits: int, callback: Callback
) -> None:
    torch, transformers = need("torch"), need("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source, dtype="float32", use_safetensors=True
    ).eval()
    made, left = quantize_layers(model, torch.tensor(rows), bits, callback=callback)
    stored = need("safetensors.torch")
    tensors: dict[str, Any] = {}
    for path in weight_files(source):
        tensors |= stored.load_file(path)
    for name, packed in made.items():
        del tensors[f"{name}.weight"]
        tensors |= {f"{name}.{part}": torch.from_numpy(a) for part, a in vars(packed).items()}
    stored.save_file(tensors, target / "model.safetensors", {"format": "pt"})
    config = read_json_config(source)
    config["quantization_config"] = quantization_config(bits, GROUP_SIZE)
    if left:  # as gptqmodel writes layers that keep their weights
        plain: dict[str, Any] = {f"-:^{name.replace('.', chr(92) + '.')}$": {} for name in left}
        config["quantization_config"]["dynamic"] = plain
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def quantize_layers(
    model: Any, ids: Any, bits: int, *, callback: Callback = lambda *_: None
) -> tuple[dict[str, GPTQTensors], list[str]]:
    """Quantize a model's linear layers by GPTQ, in place and in one pass, block by block.

    Usage: ``made, left = quantize_layers(model, torch.tensor(rows), bits=4)``

    model: a causal model of Transformers in float32. ids: (rows, tokens) to calibrate on. Each
    block is fed what the blocks before it give once they are quantized, so that their errors can
    be made up for too (GPTQ, section 4). Gives the layers' names to their tensors, and the names
    of those left as they are: their sides do not divide by the group size and by 32.
    """
    torch = need("torch")
    made: dict[str, GPTQTensors] = {}
    left: list[str] = []
    blocks = list(_blocks(model))

    def take_turn(number: int) -> Any:
        name, block = blocks[number]
        linear = [(n, p) for n, p in block.named_modules() if isinstance(p, torch.nn.Linear)]

        def hook(block: Any, arguments: Any, options: Any) -> None:
            fed: dict[str, Any] = {}
            hooks = [
                part.register_forward_pre_hook(
                    lambda _, given, key=key: fed.update({key: given[0]})
                )
                for key, part in linear
            ]
            block.forward(*arguments, **options)
            for handle in hooks:
                handle.remove()
            # Queries, keys and values are fed the same tensor: its Hessian is measured once.
            hessians = {
                id(inputs): _hessian(inputs) for inputs in {id(x): x for x in fed.values()}.values()
            }
            for key, part in linear:
                rows, columns = part.weight.shape
                if rows % 32 or columns % GROUP_SIZE:
                    left.append(f"{name}.{key}")
                    continue
                weights = part.weight.detach().numpy()
                quantized = quantize_gptq(weights, hessians[id(fed[key])], bits, GROUP_SIZE)
                made[f"{name}.{key}"] = pack_gptq(quantized)
                part.weight.data = torch.from_numpy(dequantize_gptq(quantized))
            callback(number + 1, len(blocks))

        return block.register_forward_pre_hook(hook, with_kwargs=True)

    turns = [take_turn(number) for number in range(len(blocks))]
    try:
        with torch.no_grad():
            model.base_model(ids, use_cache=False)  # without the head: its output is large
    finally:
        for turn in turns:
            turn.remove()
    return made, left


def _blocks(model: Any) -> Iterator[tuple[str, Any]]:
    """The decoder's blocks with their names in the checkpoint."""
    layers = getattr(model.base_model, "layers", None)
    if layers is None:
        raise LabError(
            t(
                f"GPTQ does not know where '{type(model).__name__}' has its layers.",
                f"GPTQ 不知道 '{type(model).__name__}' 的层在哪里。",
            ),
            t("Use 'nf4' or 'int8' for this model.", "这个模型请用 'nf4' 或 'int8'。"),
        )
    for number, block in enumerate(layers):
        yield f"{model.base_model_prefix}.layers.{number}", block


def _hessian(inputs: Any) -> np.ndarray:
    """Of (rows, …, columns), row by row: rows are equally long, so the mean is that of all."""
    windows = inputs.numpy().reshape(len(inputs), -1, inputs.shape[-1])
    return np.asarray(sum(measure_hessian(window) for window in windows)) / len(windows)
