"""How much memory a model takes, to run it or to train it; computed, not guessed.

Usage: ``estimate("Qwen2.5-7B", quant="Q4_K_M", context=8192).total``
"""

from typing import Any, overload

from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_whole
from ..core.units import MiB, read_bytes
from ..gguf.quant_types import FILE_TYPES
from ..hub.resolver import ModelLike, Source, resolve
from .inference_memory import (
    Estimate,
    cache_by_layer,
    compute_buffer,
    gguf_parts,
    place,
    read_per_token,
    transformers_run,
)
from .training_memory import Training, TrainingEstimate, estimate_training
from .transformers_weights import (
    BITS_AND_BYTES,
    GROUP_SIZE,
    WEIGHT_FORMATS,
    check_format,
    largest_piece,
    read_weights,
)

ENGINES = ("llama.cpp", "transformers")


@overload
def estimate(
    model: ModelLike,
    *,
    train: None = None,
    quant: str | None = None,
    context: int | None = None,
    engine: str | None = None,
    kv_type: str | None = None,
    batch: int | None = None,
    new_tokens: int | None = None,
    flash_attn: bool | None = None,
    imatrix: bool | None = None,
    group_size: int | None = None,
    n_gpu_layers: int | None = None,
    vram: int | str | None = None,
    gpus: int | None = None,
) -> Estimate: ...
@overload
def estimate(
    model: ModelLike,
    *,
    train: str,
    quant: str | None = None,
    batch: int | None = None,
    seq: int | None = None,
    rank: int | None = None,
    targets: tuple[str, ...] | str | None = None,
    precision: str | None = None,
    checkpointing: bool | None = None,
    optimizer: str | None = None,
    fused: bool | None = None,
    vram: int | str | None = None,
    gpus: int | None = None,
) -> TrainingEstimate: ...
def estimate(
    model: ModelLike,
    *,
    train: str | None = None,
    quant: str | None = None,
    batch: int | None = None,
    vram: int | str | None = None,
    gpus: int | None = None,
    context: int | None = None,
    engine: str | None = None,
    kv_type: str | None = None,
    new_tokens: int | None = None,
    flash_attn: bool | None = None,
    imatrix: bool | None = None,
    group_size: int | None = None,
    n_gpu_layers: int | None = None,
    seq: int | None = None,
    rank: int | None = None,
    targets: tuple[str, ...] | str | None = None,
    precision: str | None = None,
    checkpointing: bool | None = None,
    optimizer: str | None = None,
    fused: bool | None = None,
) -> Estimate | TrainingEstimate:
    """Memory to run a model, or with ``train`` to fine-tune it.

    Usage::

        estimate("Qwen2.5-7B", quant="Q4_K_M", context=8192)
        estimate("Qwen2.5-7B", quant="nf4", context=4096, new_tokens=512)
        estimate("Llama-2-7B", train="qlora", batch=1, seq=2048)

    model: as for :func:`~labkit.hub.resolver.resolve`; nothing but a ``config.json`` is fetched.
    train: "full", "lora" or "qlora". quant, batch, vram and gpus mean something to both; context to
    n_gpu_layers are those of :func:`estimate_run`, seq to fused those of
    :class:`~labkit.estimation.training_memory.Training`. None takes the default that stands there.
    Raises LabError for what cannot be: an unknown model or type, a setting of training without
    ``train`` or the reverse, numbers below one or out of all proportion.
    """
    both = {"quant": quant, "batch": batch, "gpus": gpus}
    running = {
        "context": context, "engine": engine, "kv_type": kv_type, "new_tokens": new_tokens,
        "flash_attn": flash_attn, "imatrix": imatrix, "group_size": group_size,
        "n_gpu_layers": n_gpu_layers,
    }  # fmt: skip
    training = {
        "seq": seq, "rank": rank, "targets": targets, "precision": precision,
        "checkpointing": checkpointing, "optimizer": optimizer, "fused": fused,
    }  # fmt: skip
    mine, others = (running, training) if train is None else (training, running)
    for name, value in others.items():
        if value is not None:
            raise _wrong_setting(name, train, [*both, "vram", *mine])
    options: dict[str, Any] = {k: v for k, v in (both | mine).items() if v is not None}
    source = resolve(model)
    if train is None:
        return estimate_run(source, vram=vram, **options)
    return estimate_training(
        source.name, source.architecture, Training(method=train, vram=_memory(vram), **options)
    )


def _wrong_setting(name: str, train: str | None, known: list[str]) -> LabError:
    return LabError(
        t(
            f"There is no setting '{name}' to {'run' if train is None else 'train'}.",
            f"{'运行' if train is None else '训练'}时没有 '{name}' 这个设置。",
        ),
        t(f"Known: {', '.join(known)}.", f"可用的有：{'、'.join(known)}。"),
    )


def estimate_run(
    source: Source,
    *,
    quant: str | None = None,
    context: int | None = None,
    engine: str | None = None,
    kv_type: str = "f16",
    batch: int = 1,
    new_tokens: int = 0,
    flash_attn: bool = True,
    imatrix: bool = False,
    group_size: int = GROUP_SIZE,
    n_gpu_layers: int | None = None,
    vram: int | str | None = None,
    gpus: int = 1,
) -> Estimate:
    """Memory to run a model.

    Usage: ``estimate("Llama-3.1-8B", quant="Q4_K_M", context=8192, vram="8GiB").n_gpu_layers``

    quant: a GGUF type as llama.cpp prints it (default Q4_K_M), or bf16, fp16, fp32, int8, nf4,
    nf4-double, gptq-4bit, gptq-8bit, awq-4bit for Transformers. engine: "llama.cpp" or
    "transformers"; by default the one that reads the quant. context: tokens of one sequence,
    prompt and answer together; default 4096 or the model's maximum. new_tokens: how many of them
    are the answer (Transformers). batch: sequences at once. kv_type: of the cache in llama.cpp.
    vram: of one GPU, bytes or a text like "8GiB"; n_gpu_layers: how many layers go there, default
    as many as fit. gpus: how many such GPUs. imatrix: the file is made with an importance matrix.
    group_size: of GPTQ and AWQ, -1 for a scale a row.
    """
    a = source.architecture
    quant, engine = _choose(quant or source.quant, engine, source)
    limit = source.context or a.max_position_embeddings
    context = min(4096, limit or 4096) if context is None else context
    context = _whole("context", context, 1, 10**9)
    batch = _whole("batch", batch, 1, 10**6)
    gpus = _whole("gpus", gpus, 1, 10**4)
    new_tokens = _whole("new_tokens", new_tokens, 0, context)
    memory = _memory(vram)
    if n_gpu_layers is not None:
        n_gpu_layers = _whole("n_gpu_layers", n_gpu_layers, 0, 10**6)
    warnings = _warnings(source, context, limit, quant)
    layers = len(a.layers) + 1
    if engine == "transformers":
        _only_llama_cpp(kv_type, n_gpu_layers)
        if group_size != -1:
            group_size = _whole("group_size", group_size, 1, 2**20)
        parts = transformers_run(a, quant, context, new_tokens, batch, group_size)
        weights, cache, runtime = parts
        total = weights + cache + runtime
        if quant in BITS_AND_BYTES and a.num_experts:
            warnings += (
                t(
                    "bitsandbytes leaves the routed experts in 16 bits.",
                    "bitsandbytes 不量化路由专家，它们仍占 16 位。",
                ),
            )
        validity = "rough" if a.num_experts or a.extra else "calibrated"
        per_gpu = total
        if gpus > 1:  # layers are not divided, and each GPU works in a space of its own
            per_gpu = -(-(weights + cache) // gpus) + largest_piece(a, quant, group_size) + runtime
            per_gpu = min(per_gpu, total)
        return Estimate(
            model=source.name,
            engine=engine,
            quant=quant,
            context=context,
            batch=batch,
            weights=weights,
            kv_cache=cache,
            runtime=runtime,
            total=total,
            file_size=None,
            warnings=warnings,
            validity=validity,
            n_layers=layers,
            per_gpu=per_gpu,
            read_per_token=read_weights(a, quant, group_size),
            on_gpu=total if memory else None,
            in_ram=0 if memory else None,
            fits=per_gpu <= memory if memory else None,
        )
    if not flash_attn and kv_type not in ("f16", "bf16", "f32"):
        raise LabError(
            t(
                f"A cache of type {kv_type} needs flash attention.",
                f"{kv_type} 类型的缓存需要 flash attention。",
            ),
            t("Use kv_type f16 or flash_attn=True.", "请使用 kv_type f16 或 flash_attn=True。"),
        )
    sizes = gguf_parts(a, quant, source.contents, imatrix)
    by_layer = cache_by_layer(a, context, kv_type, batch)
    runtime = compute_buffer(a, context, flash_attn) + 4 * a.vocab_size * batch
    weights, cache = sizes.tensors, sum(by_layer)
    total = weights + cache + runtime
    validity = "calibrated" if a.extra else "exact"
    placed = None
    if memory is not None or n_gpu_layers is not None:
        placed = place(
            a, sizes, by_layer, runtime, vram=memory, n_gpu_layers=n_gpu_layers, gpus=gpus
        )
    return Estimate(
        model=source.name,
        engine=engine,
        quant=quant,
        context=context,
        batch=batch,
        weights=weights,
        kv_cache=cache,
        runtime=runtime,
        total=total,
        file_size=sizes.total,
        warnings=warnings,
        validity=validity,
        n_layers=layers,
        read_per_token=read_per_token(a, sizes),
        on_gpu=placed.on_gpu if placed else None,
        in_ram=placed.in_ram if placed else None,
        per_gpu=placed.per_gpu if placed else None,
        n_gpu_layers=placed.n_gpu_layers if placed else None,
        fits=placed.n_gpu_layers == layers and placed.per_gpu <= memory
        if placed and memory is not None
        else None,
    )


def _choose(quant: str | None, engine: str | None, source: Source) -> tuple[str, str]:
    """The weight format and the engine that reads it."""
    if engine is not None and engine not in ENGINES:
        raise LabError(
            t(f"Engine {engine!r:.40} is not known.", f"没有推理引擎 {engine!r:.40}。"),
            t(f"Known: {', '.join(ENGINES)}.", f"可用的有：{'、'.join(ENGINES)}。"),
        )
    if source.contents is not None:
        return source.contents.format, "llama.cpp"
    if quant is None:
        quant = "bf16" if engine == "transformers" else "Q4_K_M"
    if not isinstance(quant, str):
        raise LabError(
            t(f"{quant!r:.40} is not a weight format.", f"{quant!r:.40} 不是权重格式。"),
            t("Write for example 'Q4_K_M' or 'nf4'.", "请写成例如 'Q4_K_M' 或 'nf4'。"),
        )
    if engine == "transformers" or (engine is None and quant in WEIGHT_FORMATS):
        return check_format(quant), "transformers"
    if quant.upper() in FILE_TYPES:
        return quant.upper(), "llama.cpp"
    known = FILE_TYPES if engine else [*FILE_TYPES, *WEIGHT_FORMATS]
    raise LabError(
        t(f"Weight format {quant!r:.40} is not known.", f"没有权重格式 {quant!r:.40}。"),
        t(f"Known: {', '.join(known)}.", f"可用的有：{'、'.join(known)}。"),
    )


def _whole(name: str, value: object, least: int, most: int) -> int:
    if not is_whole(value, least, most):
        raise LabError(
            t(
                f"{name} is {value!r:.40}; it must be a whole number from {least} to {most}.",
                f"{name} 为 {value!r:.40}，应是 {least} 到 {most} 之间的整数。",
            ),
            t("Give another number.", "请换一个数。"),
        )
    return value


def _memory(vram: int | str | None) -> int | None:
    """Bytes of one GPU."""
    if vram is None:
        return None
    try:
        size = read_bytes(vram) if isinstance(vram, str) else vram
    except ValueError:
        size = -1
    if not is_whole(size, MiB, 10**15):
        raise LabError(
            t(
                f"vram is {vram!r:.40}: no memory of a GPU.",
                f"vram 为 {vram!r:.40}，不是显存大小。",
            ),
            t("Write bytes or a text like '8GiB'.", "请写字节数，或 '8GiB' 这样的文字。"),
        )
    return size


def _only_llama_cpp(kv_type: str, n_gpu_layers: int | None) -> None:
    if kv_type not in ("f16", "bf16") or n_gpu_layers is not None:
        raise LabError(
            t(
                "kv_type and n_gpu_layers are settings of llama.cpp, not of Transformers.",
                "kv_type 和 n_gpu_layers 是 llama.cpp 的设置，Transformers 没有。",
            ),
            t("Leave them out, or use a GGUF type.", "请去掉它们，或改用 GGUF 类型。"),
        )


def _warnings(source: Source, context: int, limit: int, quant: str) -> tuple[str, ...]:
    warnings = [source.location.name_note] if source.location and source.location.name_note else []
    native = source.native_context
    if limit and context > limit:
        warnings.append(
            t(
                f"The context of {context} is above the model's maximum of {limit}.",
                f"上下文 {context} 超过了模型的最大值 {limit}。",
            )
        )
    elif native and context > native:
        warnings.append(
            t(
                f"Beyond {native} tokens this model needs YaRN (llama.cpp: --rope-scaling yarn).",
                f"超过 {native} 个词元时，该模型需要开启 YaRN（llama.cpp：--rope-scaling yarn）。",
            )
        )
    if source.architecture.traits.fused_qkv and quant in FILE_TYPES:
        warnings.append(
            t(
                "Counted as in most published files; one made by llama.cpp of 2026 differs by up "
                "to 3%, for it treats attn_qkv otherwise.",
                "按多数已发布文件的规则计算；用 2026 年的 llama.cpp 自行量化，因 attn_qkv "
                "的处理不同，大小最多相差 3%。",
            )
        )
    return tuple(warnings)
