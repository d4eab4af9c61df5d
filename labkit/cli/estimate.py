"""``labkit estimate``: memory to run a model, or to fine-tune it."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.i18n import t
from .console import Json, ModelName, both, print_facts, print_json, say

if TYPE_CHECKING:
    from ..estimation.inference_memory import Estimate
    from ..estimation.training_memory import TrainingEstimate

HELP = both(
    "Compute the memory that a model takes to run, or with --train to fine-tune it.",
    "计算运行一个模型所需的内存；加上 --train 则计算微调所需的内存。",
)


def command(
    model: ModelName,
    quant: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Weight format: a GGUF type such as Q4_K_M, or bf16, int8, nf4, gptq-4bit …"
                " [default: Q4_K_M; with --engine transformers bf16]",
                "权重格式：GGUF 类型如 Q4_K_M，或 bf16、int8、nf4、gptq-4bit 等"
                "［默认 Q4_K_M；--engine transformers 时为 bf16］",
            )
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Tokens of the context, prompt and answer together. [default: 4096]",
                "上下文词元数，提示与回答合计。［默认 4096］",
            )
        ),
    ] = None,
    engine: Annotated[
        Literal["llama.cpp", "transformers"] | None,
        typer.Option(
            help=both(
                "Engine that runs the model. [default: the one that reads the format]",
                "运行模型的引擎。［默认：能读该格式的引擎］",
            )
        ),
    ] = None,
    kv_type: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Type of the KV cache in llama.cpp: f16, q8_0, q4_0 … [default: f16]",
                "llama.cpp 中 KV 缓存的类型：f16、q8_0、q4_0 等。［默认 f16］",
            )
        ),
    ] = None,
    new_tokens: Annotated[
        int | None,
        typer.Option(
            help=both(
                "How many tokens of the context are the answer (Transformers).",
                "上下文里有多少词元是回答（Transformers）。",
            )
        ),
    ] = None,
    n_gpu_layers: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Layers that llama.cpp puts on the GPU. [default: as many as --vram holds]",
                "llama.cpp 放到 GPU 上的层数。［默认：--vram 放得下多少就放多少］",
            )
        ),
    ] = None,
    group_size: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Weights that share one scale in GPTQ and AWQ. [default: 128]",
                "GPTQ 与 AWQ 中共用一个缩放系数的权重数。［默认 128］",
            )
        ),
    ] = None,
    vram: Annotated[
        float | None,
        typer.Option(
            help=both("Free memory of one GPU, in GiB.", "一块 GPU 的可用显存，单位 GiB。")
        ),
    ] = None,
    gpus: Annotated[
        int, typer.Option(help=both("Number of such GPUs.", "这样的 GPU 有几块。"))
    ] = 1,
    batch: Annotated[
        int,
        typer.Option(
            help=both(
                "Sequences run at once; with --train samples of one step on one GPU.",
                "同时运行的序列数；--train 时为每块 GPU 每步的样本数。",
            )
        ),
    ] = 1,
    train: Annotated[
        Literal["full", "lora", "qlora"] | None,
        typer.Option(
            help=both("Compute memory to fine-tune by this method.", "计算用该方法微调所需的内存。")
        ),
    ] = None,
    seq: Annotated[
        int | None,
        typer.Option(
            help=both(
                "With --train: tokens of one sample. [default: 2048]",
                "配合 --train：每个样本的词元数。［默认 2048］",
            )
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            help=both(
                "With --train: rank of the LoRA matrices. [default: 16]",
                "配合 --train：LoRA 矩阵的秩。［默认 16］",
            )
        ),
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp16", "fp32", "mixed"] | None,
        typer.Option(
            help=both(
                "With --train: number format of weights and arithmetic. [default: bf16]",
                "配合 --train：权重与运算的数值格式。［默认 bf16］",
            )
        ),
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            help=both(
                "With --train: compute activations again in the backward pass instead of keeping"
                " them. [default: yes]",
                "配合 --train：反向传播时重算激活值，而不是一直保留。［默认开启］",
            )
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help=both(
                "With --train: optimizer, such as adamw_torch, adamw_8bit, sgd."
                " [default: adamw_torch]",
                "配合 --train：优化器，如 adamw_torch、adamw_8bit、sgd。［默认 adamw_torch］",
            )
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..core.units import GiB
    from ..estimation.memory import estimate

    running = {
        "--quant": quant, "--context": context, "--engine": engine, "--kv-type": kv_type,
        "--new-tokens": new_tokens, "--n-gpu-layers": n_gpu_layers, "--group-size": group_size,
    }  # fmt: skip
    training = {
        "--seq": seq, "--rank": rank, "--precision": precision,
        "--checkpointing": checkpointing, "--optimizer": optimizer,
    }  # fmt: skip
    for option, value in (training if train is None else running).items():
        if value is not None:
            raise typer.BadParameter(
                t(f"{option} needs --train.", f"{option} 需要与 --train 同用。")
                if train is None
                else t(f"{option} does not go with --train.", f"{option} 不能与 --train 同用。")
            )
    memory = None if vram is None else round(vram * GiB)
    found: Estimate | TrainingEstimate
    if train is None:
        found = estimate(
            model, quant=quant, context=context, engine=engine, kv_type=kv_type, batch=batch,
            new_tokens=new_tokens, n_gpu_layers=n_gpu_layers, group_size=group_size, vram=memory,
            gpus=gpus,
        )  # fmt: skip
    else:
        found = estimate(
            model, train=train, batch=batch, seq=seq, rank=rank,
            precision=precision, checkpointing=checkpointing, optimizer=optimizer, vram=memory,
            gpus=gpus,
        )  # fmt: skip
    print_json(found) if as_json else _show(found)


def _show(found: "Estimate | TrainingEstimate") -> None:
    """The parts of a running or a training estimate, in bytes for a reader."""
    from ..core.units import show_bytes

    parts = {
        "weights": t("weights", "权重"),
        "kv_cache": t("KV cache", "KV 缓存"),
        "adapter": t("adapter", "适配器"),
        "gradients": t("gradients", "梯度"),
        "optimizer": t("optimizer", "优化器"),
        "activations": t("activations", "激活值"),
        "runtime": t("runtime", "运行缓冲"),
        "total": t("total", "合计"),
        "file_size": t("GGUF file", "GGUF 文件"),
        "on_gpu": t("on the GPU", "其中在显存"),
        "in_ram": t("in RAM", "其中在内存"),
    }
    sizes = {part: getattr(found, part, None) for part in parts}
    facts = [
        (f"  {parts[part]}", show_bytes(size)) for part, size in sizes.items() if size is not None
    ]
    layers = getattr(found, "n_gpu_layers", None)
    if layers is not None:
        facts.append(("  n_gpu_layers", f"{layers} / {getattr(found, 'n_layers', '')}"))
    say(f"{found.model}, {_settings(found)}")
    print_facts(facts)
    validity = {
        "exact": t("Exact: follows from the shapes.", "精确：由张量形状直接得出。"),
        "calibrated": t("Calibrated: checked on measurements.", "已校准：与实测核对过。"),
        "rough": t("Rough: outside what was measured.", "粗略：超出实测范围。"),
    }
    say(validity[found.validity], *found.warnings)


def _settings(found: "Estimate | TrainingEstimate") -> str:
    """What the figures hold for; without it they say little."""
    from ..estimation.inference_memory import Estimate

    if isinstance(found, Estimate):
        size = t(f", {found.context:,} tokens of context", f"，上下文 {found.context:,} 个词元")
        return f"{found.quant}, {found.engine}{size}"
    size = t(f"{found.seq:,} tokens", f"{found.seq:,} 个词元")
    return f"{found.method}, {found.batch} × {size}"
