"""A model for Ollama: its GGUF file and a Modelfile.

Usage: ``write_ollama("pocket/qwen2.5", "for-ollama", quant="Q8_0")``

Ollama runs no Jinja: the template goes over in Go's template language (:mod:`.go_template`), and
the prompt it makes is the tokenizer's own. Before it renders, Ollama gathers all system messages in
front and joins messages of one role that follow each other.
"""

import json
from pathlib import Path
from typing import Any

from ..conversation.chat_templates import end_of_turn
from ..core.i18n import t
from ..engines import Model
from .exported import Exported, write_export
from .gguf_release import GgufRelease, settle_release
from .go_template import write_go_template
from .prompt_shape import PromptShape, read_shape

FILE = "Modelfile"

_SETTINGS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
"""Transformers' words in ``generation_config.json`` to Ollama's."""


def write_ollama(
    model: str | Path,
    folder: str | Path,
    *,
    quant: str | None = None,
    name: str | None = None,
    adapter: str | Path | None = None,
) -> Exported:
    """Write what ``ollama create`` needs.

    Usage: ``write_ollama("Qwen/Qwen2.5-0.5B-Instruct", "out", adapter="clinic-lora")``

    model, quant, name, adapter: as in :func:`.gguf_release.settle_release`. Sampling is that of the
    model's ``generation_config.json``; where that says nothing, greedy, as labkit does it. Raises
    LabError where the template cannot be had without Jinja, and where the folder holds something
    else.
    """
    release = settle_release(model, quant, name, adapter)
    base = release.model.chat_template is None
    shape = None if base else read_shape(release.model)
    files = {release.file: release.gguf}
    if release.adapter:
        files[f"{release.name}-lora.gguf"] = release.adapter
    commands = (f"ollama create {release.name} -f {FILE}", f"ollama run {release.name}")
    notes = [*_notes(shape), release.model.note]
    text = _modelfile(release, shape)
    return write_export("ollama", folder, {FILE: text}, commands, notes, files)


def _modelfile(release: GgufRelease, shape: PromptShape | None) -> str:
    model = release.model
    bos = model.special_tokens.get("bos_token", "") if model.bos else ""
    adds = bool(release.contents.metadata.get("tokenizer.ggml.add_bos_token", False))
    if shape is None:
        template = ("" if adds else bos) + "{{ .Prompt }}"
    else:
        template = write_go_template(shape.without_bos(bos) if adds and bos else shape)
    made = t(
        f"{release.name}, {release.contents.format}, for Ollama.",
        f"{release.name}（{release.contents.format}），供 Ollama 使用。",
    )
    typed = t("In this folder", "在本文件夹里运行")
    lines = [f"# {made}", f"# {typed}: ollama create {release.name} -f {FILE}"]
    lines.append(f"FROM ./{release.file}")
    if release.adapter:
        lines.append(f"ADAPTER ./{release.name}-lora.gguf")
    lines.append(f'TEMPLATE """{template}"""')
    lines += [f'PARAMETER stop "{text}"' for text in _stops(model)]
    lines.append(f"PARAMETER num_ctx {release.context}")
    lines += [f"PARAMETER {name} {value}" for name, value in _sampling(model).items()]
    return "\n".join(lines) + "\n"


def _stops(model: Model) -> list[str]:
    """Texts of the tokens that end an answer, those of the turn first."""
    turn = end_of_turn(model)
    ids = [*sorted(turn), *sorted(model.stop_ids - turn)]
    return ["".join(model.decode([id], special=True)) for id in ids]


def _sampling(model: Model) -> dict[str, Any]:
    path = model.location.path / "generation_config.json"
    written = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {_SETTINGS[key]: written[key] for key in _SETTINGS if written.get(key) is not None}
    return found if written.get("do_sample") else {"temperature": 0, "repeat_penalty": 1}


def _notes(shape: PromptShape | None) -> list[str]:
    if shape is None:
        return []
    if shape.tools is None:
        return [
            t(
                "Tools are left out: this template does not write them in a way that Ollama can.",
                "未包含工具：Ollama 写不出这个模板的工具格式。",
            )
        ]
    notes = [
        t(
            "Tools: Ollama puts names within an object in alphabetical order and writes <, > and &"
            " as \\u003c, \\u003e and \\u0026.",
            "工具：Ollama 会把对象里的键按字母顺序排列，并把 <、>、& 写成"
            " \\u003c、\\u003e、\\u0026。",
        )
    ]
    if "{" not in shape.tools.opening:
        notes.append(
            t(
                "Ollama finds calls of tools only where name and arguments are one JSON object:"
                " those of this model come back as plain text.",
                "只有名称和参数同在一个 JSON 对象里，Ollama 才认得出工具调用；"
                "这个模型的调用会作为普通文本返回。",
            )
        )
    return notes
