"""LoRA adapters by PEFT: put on, save, load, switch on and off, stack, merge.

An adapter adds ``scale · B·A·x`` to what a linear layer gives, scale = alpha / rank; the base stays
as it is. Hu et al., LoRA, 2021, arXiv 2106.09685. What is made here, other tools of PEFT read.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.cache import digest, replacing
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import is_silent
from ..engines import Model, load
from ..gguf.conversion import weight_files
from ..hub.resolver import Location

ORIGIN = "labkit.json"
"""Beside an adapter: which base it was trained on, name and digest of its files."""

QUANTS = ("nf4-double", "nf4", "int8")
"""What bitsandbytes makes of a base, spelled as in ``estimation.training_memory``."""


def load_base(
    name: str | Path,
    *,
    dtype: str | None = None,
    quant: str | None = None,
    context: int | None = None,
) -> Model:
    """A model to train or to put adapters on, by Transformers.

    Usage: ``load_base("pocket/qwen2.5", quant="nf4-double")``

    quant: one of QUANTS holds the linear layers so, by bitsandbytes; the output head and the
    embedding stay in dtype, which is also what is computed in. Raises LabError for a GGUF file,
    which cannot be trained, and as :func:`labkit.load` does.
    """
    model = load(name, "transformers", dtype=dtype, context=context)
    if model.location.kind == "gguf":
        raise LabError(
            t(
                f"'{name}' is a GGUF file and cannot be tuned.",
                f"'{name}' 是 GGUF 文件，不能微调。",
            ),
            t("Name the Hugging Face model.", "请指定对应的 Hugging Face 模型。"),
        )
    if quant is not None:
        model.model = _quantized(model, dtype, quant)
    if model.tokenizer.pad_token is None:  # any will do: padding is masked by place, never learnt
        model.tokenizer.pad_token = model.tokenizer.eos_token
    return model


def _quantized(model: Model, dtype: str | None, quant: str) -> Any:
    if quant not in QUANTS:
        raise LabError(
            t(f"quant {quant!r:.40} is not known.", f"没有量化格式 {quant!r:.40}。"),
            t(f"Known: {', '.join(QUANTS)}.", f"可用的有：{'、'.join(QUANTS)}。"),
        )
    torch, transformers = need("torch"), need("transformers")
    with _quiet():
        need("bitsandbytes")
    gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = getattr(torch, dtype or ("bfloat16" if gpu else "float32"))
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=quant != "int8",
        load_in_8bit=quant == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quant == "nf4-double",
        bnb_4bit_compute_dtype=kind,
    )
    with _quiet():
        net = transformers.AutoModelForCausalLM.from_pretrained(
            model.location.path,
            quantization_config=settings,
            dtype=kind,
            device_map={"": str(gpu or "cpu")},
            local_files_only=True,
            use_safetensors=True,
        ).eval()
    for module in net.modules():
        # Some CPUs would repack the weights when first asked and then compute in bfloat16: neither
        # can be trained on, nor is it what was trained.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return net


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries warn of much that is as it should be, and of each other's old names."""
    if is_silent():
        need("transformers.utils.logging").disable_progress_bar()
    loggers = [logging.getLogger(name) for name in ("transformers", "bitsandbytes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def linear_modules(net: Any) -> list[str]:
    """Names of the linear layers an adapter can be put on, such as ``q_proj``; without the head.

    Usage: ``linear_modules(model.model)``
    """
    linear = need("torch").nn.Linear
    head = net.get_output_embeddings()
    names = [n for n, m in net.named_modules() if isinstance(m, linear) and m is not head]
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def check_targets(model: Model, targets: Sequence[str] | str) -> None:
    """Refuse target modules that the model does not have, and name those it has.

    Usage: ``check_targets(model, ("q_proj", "v_proj"))``
    """
    known = linear_modules(model.model)
    missing = [] if isinstance(targets, str) else [name for name in targets if name not in known]
    if missing or not targets or (isinstance(targets, str) and targets != "all-linear"):
        raise LabError(
            t(
                f"'{model.name}' has no module {', '.join(missing) or repr(targets)}.",
                f"'{model.name}' 没有模块 {'、'.join(missing) or repr(targets)}。",
            ),
            t(
                f"Choose from: all-linear, {', '.join(known)}.",
                f"可选：all-linear、{'、'.join(known)}。",
            ),
        )


def add_lora(
    model: Model,
    *,
    rank: int = 16,
    alpha: int | None = None,
    targets: Sequence[str] | str = "all-linear",
    dropout: float = 0.0,
    seed: int = 0,
) -> int:
    """Put a new LoRA adapter on a model, ready to be trained; gives its number of parameters.

    Usage: ``add_lora(load_base("pocket/qwen2.5"), rank=8, targets=("q_proj", "v_proj"))``

    alpha: None takes twice the rank. targets: module names, or all linear layers but the head.
    A starts random (by seed), B as zeros, so nothing changes before the first step. Raises
    LabError for a module that does not exist, with those that do.
    """
    check_targets(model, targets)
    torch = need("torch")
    with _quiet():  # it brings bitsandbytes, if that is there
        peft = need("peft")
    settings = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        target_modules=targets if isinstance(targets, str) else list(targets),
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
        base_model_name_or_path=model.location.name,
    )
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)
        model.model = peft.get_peft_model(model.model, settings)
    # The path of this computer, which PEFT took from the base, helps nobody elsewhere.
    model.model.peft_config["default"].base_model_name_or_path = model.location.name
    return sum(p.numel() for p in model.model.parameters() if p.requires_grad)


def save_adapter(model: Model, folder: str | Path, adapter: str = "default") -> Path:
    """Write one adapter as PEFT does, and which base it is for; whole or not at all.

    Usage: ``save_adapter(model, "clinic-lora")``. An adapter that is there already is replaced;
    raises LabError where something else is.
    """
    weights = need("peft").get_peft_model_state_dict(
        model.model,
        adapter_name=adapter,
        save_embedding_layers=False,  # None would ask the Hub whether the vocabulary has grown
    )
    weights = {name: tensor.contiguous().cpu() for name, tensor in weights.items()}
    origin = {"base": model.location.name, "digest": base_digest(model.location)}
    with _replacing_folder(Path(folder), weights, "adapter_config.json") as part:
        need("safetensors.torch").save_file(
            weights, part / "adapter_model.safetensors", metadata={"format": "pt"}
        )
        model.model.peft_config[adapter].save_pretrained(part)
        (part / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    return Path(folder)


def check_folder(folder: Path, kind: str) -> None:
    """Refuse to write over anything but what it replaces. kind: the file that tells it.

    Usage: ``check_folder(Path("out"), "adapter_config.json")``
    """
    if folder.exists() and not (folder / kind).exists():
        if not folder.is_dir() or any(folder.iterdir()):
            raise LabError(
                t(f"'{folder}' holds something else.", f"'{folder}' 里有别的内容。"),
                t("Name a new folder.", "请换一个新文件夹。"),
            )


@contextmanager
def _replacing_folder(folder: Path, tensors: Mapping[str, Any], kind: str) -> Iterator[Path]:
    """A folder to write; when all went well it takes the place of one of its kind."""
    check_folder(folder, kind)
    size = sum(tensor.nbytes for tensor in tensors.values())
    with replacing(folder, size, folder=True) as part:
        yield part
        if folder.exists():
            shutil.rmtree(folder)


def base_digest(location: Location) -> str:
    """What tells one base from another: its configuration and weights."""
    return digest("base", [location.path / "config.json", *weight_files(location.path)])


def load_adapter(model: Model, folder: str | Path, adapter: str | None = None) -> str:
    """Put a saved adapter on a model and switch it on, alone; gives its name.

    Usage: ``load_adapter(load_base("pocket/qwen2.5"), report.folder, "clinic")``

    adapter: a name to switch it by; None takes the folder's. Raises LabError for a folder without
    an adapter, a damaged one, a name that is taken, and an adapter of another base: by the digest
    kept beside it, or else by the shapes of its matrices.
    """
    folder = Path(folder)
    adapter = (adapter or folder.resolve().name).replace(".", "-")  # PEFT's names take no dots
    if adapter in adapter_names(model):
        raise LabError(
            t(f"There is an adapter '{adapter}' already.", f"已有名为 '{adapter}' 的适配器。"),
            t("Give another name.", "请换一个名字。"),
        )
    _check_origin(model, folder)
    _check_shapes(model, folder)  # first: PEFT builds its layers before it reads what goes in
    with _quiet():
        if adapter_names(model):
            model.model.load_adapter(folder, adapter)
        else:
            model.model = need("peft").PeftModel.from_pretrained(model.model, folder, adapter)
    switch_adapters(model, adapter)
    model.model.eval()
    return adapter


def _check_origin(model: Model, folder: Path) -> None:
    if not (folder / "adapter_config.json").is_file():
        raise LabError(
            t(f"'{folder}' holds no adapter.", f"'{folder}' 里没有适配器。"),
            t(
                "Name a folder with an adapter_config.json.",
                "请指定含 adapter_config.json 的文件夹。",
            ),
        )
    if (folder / ORIGIN).is_file():
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        if origin["digest"] != base_digest(model.location):
            raise _not_for(
                model, folder, t(f"its base: {origin['base']}", f"它的基座：{origin['base']}")
            )


def _check_shapes(model: Model, folder: Path) -> None:
    """Every matrix of the adapter must have its layer in the model, of the right size."""
    net = model.model.get_base_model() if adapter_names(model) else model.model
    layers = dict(net.named_modules())
    path = folder / "adapter_model.safetensors"
    try:
        with need("safetensors").safe_open(path, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    except (OSError, need("safetensors").SafetensorError) as error:
        raise LabError(
            t(f"'{path}' is damaged or missing: {error}.", f"'{path}' 已损坏或缺失：{error}。"),
            t("Copy it again, or train it again.", "请重新复制，或重新训练。"),
        ) from error
    for name, shape in shapes.items():
        stem, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
        if not stem:
            continue
        layer = layers.get(stem)
        if layer is None or not hasattr(layer, "in_features"):
            raise _not_for(model, folder, t(f"it has no {stem}", f"模型没有 {stem}"))
        wanted = layer.in_features if part.startswith("A") else layer.out_features
        found = shape[1] if part.startswith("A") else shape[0]
        if found != wanted:
            reason = t(f"{stem}: {found} instead of {wanted}", f"{stem}：{found}，应为 {wanted}")
            raise _not_for(model, folder, reason)


def _not_for(model: Model, folder: Path, reason: str) -> LabError:
    return LabError(
        t(
            f"The adapter in '{folder}' was not trained on this '{model.name}' ({reason}).",
            f"'{folder}' 里的适配器不是在这个 '{model.name}' 上训练的（{reason}）。",
        ),
        t(
            "Load the base it was trained on, or train it again.",
            "请加载训练时的基座模型，或重新训练。",
        ),
    )


def adapter_names(model: Model) -> list[str]:
    """Names of the adapters on a model. Usage: ``adapter_names(model)  # ["clinic"]``"""
    return list(getattr(model.model, "peft_config", {}))


def switch_adapters(model: Model, *names: str) -> None:
    """Switch on these adapters and no others; several add up, none leaves the base alone.

    Usage: ``switch_adapters(model, "clinic", "captain")``, ``switch_adapters(model)``

    Raises LabError for a name that is not there.
    """
    known = adapter_names(model)
    missing = [name for name in names if name not in known]
    if missing:
        raise LabError(
            t(f"There is no adapter '{missing[0]}'.", f"没有名为 '{missing[0]}' 的适配器。"),
            t(f"There are: {', '.join(known) or '-'}.", f"现有：{'、'.join(known) or '无'}。"),
        )
    if not known:
        return
    tuner = model.model.base_model
    if names:
        tuner.enable_adapter_layers()
        tuner.set_adapter(list(names))
    else:
        tuner.disable_adapter_layers()


def merge_adapters(model: Model) -> None:
    """Add the adapters that are on into the weights; the model is then a plain one again.

    Usage: ``merge_adapters(model)``. Into 4 or 8 bits it rounds: see
    :mod:`labkit.finetuning.merging`.
    """
    if adapter_names(model):
        with _quiet():
            model.model = model.model.merge_and_unload()


def dequantize(model: Model) -> None:
    """Make a quantized base a plain one again, of the weights that its bits stand for.

    Usage: ``dequantize(load_base("pocket/qwen2.5", quant="nf4"))``
    """
    with _quiet():
        model.model = model.model.dequantize()


def save_model(model: Model, folder: str | Path, dtype: str | None = None) -> Path:
    """Write a whole model, tokenizer and template included; whole or not at all.

    Usage: ``save_model(model, "clinic-merged")``; then ``lab.load("clinic-merged")``

    dtype: of the weights on disk; None takes what the base's files hold. A folder that is there
    already is replaced if it holds a model, else LabError.
    """
    folder, torch = Path(folder), need("torch")
    kind = getattr(torch, dtype) if dtype else stored_dtype(model.location)
    net = model.model
    state, cast = net.state_dict(), dict[int, Any]()
    for name, tensor in state.items():
        if tensor.is_floating_point():  # tied weights are one tensor, and stay so
            state[name] = cast.setdefault(tensor.data_ptr(), tensor.to(kind))
    with _replacing_folder(folder, state, "config.json") as part:
        net.save_pretrained(part, state_dict=state)
        config = part / "config.json"  # says what the model held, not what was written
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings["dtype"] = str(kind).removeprefix("torch.")
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        model.tokenizer.save_pretrained(part)
    return folder


def stored_dtype(location: Location) -> Any:
    """The float type a model's files hold, by their first tensor."""
    with need("safetensors").safe_open(weight_files(location.path)[0], "pt") as file:
        (name, *_) = file.keys()
        return file.get_tensor(name).dtype
