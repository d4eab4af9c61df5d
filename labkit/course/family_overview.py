"""What every lesson on a family shows: its successors, its published scores, and how to run it.

Usage: ``lab.successors("llama")``, ``lab.published_scores("llama")``,
``lab.run_lines("Llama-3-8B")``

All of it is read from the catalogue and computed by :func:`labkit.estimation.memory.estimate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..architecture.layers import Architecture, read_architecture
from ..catalog import (
    BenchmarkScore,
    CatalogModel,
    families,
    find,
    models,
    not_legal_advice,
    scores,
    successor,
    terms,
)
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..core.units import GB, show_bytes
from ..estimation.memory import estimate
from ..machine.hardware import hardware
from ..picker.available_memory import find_memory

LARGEST_FILE = 48 * GB
"""Above this a GGUF on the Hub is published in several parts."""

CONTEXT = 4096
"""Tokens of context the memory is counted for, where a model has as many."""


# Successors -------------------------------------------------------------------------------


def successors(family: str) -> Table:
    """What became of a family's models in the course: today's model in the place of each.

    Usage: ``successors("llama")``. family: a key of ``labkit/data/families.toml``.

    What changed is read from both configurations; the licence is named where it is another one. The
    memory is that of the successor in Q4_K_M by llama.cpp with a context of 4,096. Raises LabError
    for an unknown family.
    """
    header = (
        t("Model", "模型"), t("Released", "发布"), t("Today", "如今换成"), t("Released", "发布"),
        t("What changed", "变了什么"), t("Licence", "许可证"), t("Memory", "内存占用"),
    )  # fmt: skip
    rows = [_heir_row(model) for model in _members(family)]
    memory = t(
        "Memory: today's model in Q4_K_M, context 4,096.",
        "内存占用：新模型用 Q4_K_M、上下文 4,096 时。",
    )
    return Table(header, rows, f"{memory} {not_legal_advice()}")


def _members(family: str) -> list[CatalogModel]:
    """The models of a family that the course works with."""
    known = [row.key for row in families()]
    if family not in known:
        raise LabError(
            t(f"There is no family '{family}'.", f"没有家族 '{family}'。"),
            t(f"Known: {', '.join(known)}.", f"可用的有：{'、'.join(known)}。"),
        )
    return [model for model in models() if model.family == family and model.course]


def _heir_row(model: CatalogModel) -> tuple[str, ...]:
    new = successor(model)
    need = show_bytes(estimate(new.name, context=min(CONTEXT, new.context)).total)
    licence, old = _licence(new), _licence(model)
    if new is model:
        same = t("(no newer one in its line)", "（同系列没有更新的）")
        return model.name, model.release_date, same, "", "", licence, need
    before, after = describe(model), describe(new)
    changes = [
        f"{what}{t(': ', '：')}{before.get(what, '–')} → {value}"
        for what, value in after.items()
        if before.get(what) != value
    ] or [t("same architecture, trained anew", "架构相同，重新训练")]
    licence = licence if licence == old else f"{old} → {licence}"
    return (
        model.name, model.release_date, new.name, new.release_date, t("; ", "；").join(changes),
        licence, need,
    )  # fmt: skip


def _licence(model: CatalogModel) -> str:
    says = {
        "yes": t("commercial use: yes", "可商用"),
        "conditions": t("commercial use: conditions", "商用有条件"),
        "no": t("commercial use: no", "不可商用"),
    }
    return " + ".join(f"{row.name} ({says[row.commercial]})" for row in terms(model))


def describe(model: CatalogModel) -> dict[str, str]:
    """What a model is built of, in a few words each, read from its configuration.

    Usage: ``describe(find("Llama-3-8B"))["attention"]  # "GQA 32/8"``, query heads before
    key-value heads. The names are in the reader's language.
    """
    a = read_architecture(model.config)
    words = {
        t("parameters", "参数量"): _billions(model),
        t("attention", "注意力"): describe_attention(a),
        t("layers", "层数"): str(len(a.layers)),
        t("vocabulary", "词表"): f"{a.vocab_size:,}",
        t("context", "上下文"): f"{model.context:,}",
    }
    if base := model.config.get("rope_theta"):
        words[t("rope base", "RoPE 底数")] = f"{base:,.0f}"
    if a.num_experts:
        words[t("experts", "专家")] = f"{a.num_experts_per_tok}/{a.num_experts}"
    return words


def _billions(model: CatalogModel) -> str:
    total, active = model.parameters / 1e9, model.active_parameters / 1e9
    if active > 0.9 * total:
        return f"{total:.1f}B"
    return t(f"{total:.1f}B ({active:.1f}B active)", f"{total:.1f}B（激活 {active:.1f}B）")


def describe_attention(a: Architecture) -> str:
    """The kind of attention, with its heads, its window and its layers without a cache.

    Usage: ``describe_attention(read_architecture(config))  # "GQA 32/8"``
    """
    attending = [layer for layer in a.layers if layer.attention != "linear"]
    heads = a.num_attention_heads
    kept = attending[-1].num_key_value_heads
    kind = "MHA" if kept == heads else "MQA" if kept == 1 else "GQA"
    words = ["MLA" if a.kv_lora_rank else f"{kind} {heads}/{kept}"]
    total = len(a.layers)
    if windowed := [layer for layer in attending if layer.attention in ("sliding", "chunked")]:
        n, window = len(windowed), windowed[0].window
        words.append(
            t(f"window {window:,} in {n} of {total} layers", f"{total} 层中 {n} 层窗口 {window:,}")
        )
    if linear := total - len(attending):
        words.append(t(f"linear in {linear} of {total} layers", f"{total} 层中 {linear} 层线性"))
    return t(", ", "，").join(words)


# Scores ----------------------------------------------------------------------------------


def published_scores(
    names: str | Iterable[str], benchmarks: Iterable[str] = (), variant: str | None = None
) -> Table:
    """Published scores, only those beside each other that were measured the same way.

    Usage: ``published_scores("llama", ["MMLU", "HumanEval"])``, ``published_scores(["Yi-6B"])``

    names: a family (then its models in the course), or models, a closed one among them if wanted.
    benchmarks: in this order; default all there are. variant: "base", "chat" or "rl". Scores with
    the same number in brackets come from one source and protocol, named below with the day they
    were read; others are not comparable. Raises LabError where nothing is known.
    """
    wanted = [m.name for m in _members(names)] if isinstance(names, str) else list(names)
    mine = [s for s in scores() if s.model in wanted and variant in (None, s.variant)]
    columns = list(benchmarks) or list(dict.fromkeys(s.benchmark for s in mine))
    mine = [s for s in mine if s.benchmark in columns]
    if not mine:
        raise LabError(
            t(
                f"No published score is known for {', '.join(wanted)}.",
                f"没有 {'、'.join(wanted)} 的已发表得分。",
            ),
            t("Ask for other models or benchmarks.", "请换别的模型或基准。"),
        )
    sources = list(dict.fromkeys(map(_origin, mine)))
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for s in sorted(mine, key=lambda s: (sources.index(_origin(s)), wanted.index(s.model))):
        key = (f"[{sources.index(_origin(s)) + 1}]", s.model, s.variant)
        rows.setdefault(key, {})[s.benchmark] = s.score
    used = [name for name in columns if any(name in row for row in rows.values())]
    header = ("", t("Model", "模型"), t("Variant", "版本"), *used)
    cells = [
        (*key, *(f"{row[name]:.1f}" if name in row else "" for name in used))
        for key, row in rows.items()
    ]
    notes = [f"[{n}] {origin}" for n, origin in enumerate(sources, 1)]
    return Table(header, cells, t("Per cent. ", "单位：%。") + "; ".join(notes))


def _origin(s: BenchmarkScore) -> str:
    source = s.source or t("unverified, from memory", "未核实，凭记忆")
    protocol = f" ({s.protocol})" if s.protocol else ""
    return f"{source}{protocol}, {s.as_of}"


# Running ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunLine:
    """One way to run a model. memory, download: bytes; None where the way is not open."""

    by: str
    line: str
    memory: int | None
    download: int | None


@dataclass(frozen=True, repr=False)
class RunLines(ShowsTable):
    """The exact lines that run a model; shows itself as a table.

    context: tokens that the memory is counted for. notes: what to know before.
    """

    model: str
    context: int
    lines: tuple[RunLine, ...]
    notes: tuple[str, ...] = ()

    def table(self) -> Table:
        """The lines with what they download and take."""
        header = (
            t("By", "工具"), t("What to type", "输入什么"), t("Download", "下载"),
            t("Memory", "内存占用"),
        )  # fmt: skip
        rows = [(row.by, row.line, _size(row.download), _size(row.memory)) for row in self.lines]
        counted = t(
            f"Memory for a context of {self.context:,}.", f"内存按上下文 {self.context:,} 计算。"
        )
        return Table(header, rows, "\n".join((counted, *self.notes)))

    def here(self) -> Table:
        """Whether each way fits this machine as it is now; these figures differ from hour to hour.

        Usage: ``run_lines("Llama-3-8B").here()``, in a cell tagged ``varies``.
        """
        machine = find_memory(hardware())
        rows = []
        for row in self.lines:
            if row.memory is None:
                continue
            spare = machine.total - row.memory
            fits = t("fits", "放得下") if spare >= 0 else t("does not fit", "放不下")
            lacks = t(f"lacks {show_bytes(-spare)}", f"还差 {show_bytes(-spare)}")
            left = t(f"{show_bytes(spare)} left", f"剩 {show_bytes(spare)}")
            rows.append((row.by, _size(row.memory), fits, left if spare >= 0 else lacks))
        header = (t("By", "工具"), t("Memory", "内存占用"), t("Here", "这台电脑"), "")
        return Table(header, rows, str(machine))


def run_lines(name: str, quant: str = "Q4_K_M", context: int = CONTEXT) -> RunLines:
    """The exact lines to run a real model by Transformers, llama.cpp and Ollama.

    Usage: ``run_lines("Llama-3-8B")``; in a tagged cell ``run_lines("Llama-3-8B").here()``

    name: of the catalogue. quant: a GGUF type, for llama.cpp and Ollama; Transformers runs it in
    bf16. context: tokens, at most the model's. The chat model is run where there is one. Ollama
    takes the same GGUF by the same library, so its memory is llama.cpp's at the same context.
    """
    model = find(name)
    context = min(context, model.context)
    gguf = estimate(model.name, quant=quant, context=context)
    notes = list(_notes(model, context))
    if model.gguf and (gguf.file_size or 0) > LARGEST_FILE:
        notes.append(
            t(
                "A file of this size comes in parts, which Ollama does not fetch: merge them with"
                " llama-gguf-split --merge, then: ollama create",
                "这么大的文件在网上是分卷的，Ollama 不会拉取分卷："
                "先用 llama-gguf-split --merge 合并，再用 ollama create",
            )
        )
    chat = _native(model)
    if chat:
        line = f'pipeline("text-generation", "{chat}", dtype="auto", device_map="auto")'
        memory = estimate(model.name, engine="transformers", context=context, new_tokens=256).total
        by_transformers = RunLine("Transformers", line, memory, 2 * model.parameters)
    else:
        none = t(
            "no class for it in Transformers 5, and its own code no longer loads",
            "Transformers 5 里没有它的类，它自带的代码也已无法加载",
        )
        by_transformers = RunLine("Transformers", none, None, None)
    if model.gguf:
        llama = f"llama-cli -hf {model.gguf[0]}:{quant} -c {context}"
        ollama = f"ollama run hf.co/{_unsplit(model)}:{quant}"
    else:
        file = f"{model.name}-{quant}.gguf"
        llama = f"llama-cli -m {file} -c {context}"
        ollama = f"echo FROM ./{file} > Modelfile && ollama create mine && ollama run mine"
        notes.append(_make_gguf(model, quant, file))
    return RunLines(
        model.name,
        context,
        (
            by_transformers,
            RunLine("llama.cpp", llama, gguf.total, gguf.file_size),
            RunLine("Ollama", ollama, gguf.total, gguf.file_size),
        ),
        tuple(notes),
    )


def _native(model: CatalogModel) -> str | None:
    """The id that Transformers loads without code from the Hub; None where there is none."""
    id = model.chat or model.huggingface
    if model.config["model_type"] != "chatglm":
        return id
    return next((m.huggingface for m in models() if m.huggingface == f"{id}-hf"), None)


def _unsplit(model: CatalogModel) -> str:
    """Ollama fetches no GGUF in several parts, as makers publish theirs; others leave one file."""
    maker = model.huggingface.partition("/")[0]
    return next((id for id in model.gguf if not id.startswith(f"{maker}/")), model.gguf[0])


def _notes(model: CatalogModel, context: int) -> Iterable[str]:
    if model.license.startswith(("llama", "gemma")):
        id = model.chat or model.huggingface
        yield t(
            f"Gated: accept the terms at https://huggingface.co/{id}, then run: hf auth login",
            f"需要授权：先在 https://huggingface.co/{id} 接受条款，再运行：hf auth login",
        )
    tuned = ("chat", "instruct", "-it-")
    if model.chat and model.gguf and not any(word in model.gguf[0].lower() for word in tuned):
        yield t(
            f"{model.gguf[0]} is the base model: it continues a text and does not converse.",
            f"{model.gguf[0]} 是基座模型：只会续写文本，不会对话。",
        )
    yield t(
        f"For Ollama set the context first: OLLAMA_CONTEXT_LENGTH={context} ollama serve",
        f"Ollama 要先设好上下文：OLLAMA_CONTEXT_LENGTH={context} ollama serve",
    )


def _make_gguf(model: CatalogModel, quant: str, file: str) -> str:
    id = model.chat or model.huggingface
    command = f"labkit quantize {id} --to {quant}"
    if (
        model.config["model_type"] == "chatglm"
    ):  # its files are not in a form that Transformers reads
        command = (
            f"hf download {id} --local-dir model && python convert_hf_to_gguf.py model"
            f" --outfile f16.gguf && llama-quantize f16.gguf {file} {quant}"
        )
    return t(
        f"The catalogue knows no ready GGUF; make it: {command}",
        f"目录里没有现成的 GGUF，自己做一个：{command}",
    )


def _size(count: int | None) -> str:
    return "–" if count is None else show_bytes(count)
