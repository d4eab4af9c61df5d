"""A model for text-generation-webui: its GGUF file, its template, its settings.

Usage: ``write_textgen("pocket/qwen2.5", "for-textgen")``

The web UI runs Jinja with helpers of its own (``modules/chat.py`` of
github.com/oobabooga/text-generation-webui): its ``tojson`` writes Chinese as ``\\uXXXX`` unless
told not to. So the template goes over as a file that tells it, and the settings name that file.
"""

import re
from pathlib import Path
from typing import Any

from ..core.i18n import t
from .exported import Exported, as_yaml, write_export
from .gguf_release import GgufRelease, settle_release

FILE = "config-user.yaml"
ROOT = '"$TEXTGEN"'


def write_textgen(
    model: str | Path,
    folder: str | Path,
    *,
    quant: str | None = None,
    name: str | None = None,
) -> Exported:
    """Write what goes into the web UI's ``user_data``.

    Usage: ``write_textgen("clinic-merged", "out", quant="Q8_0", name="clinic")``

    model, quant, name: as in :func:`.gguf_release.settle_release`. Adapters are merged before
    (:func:`labkit.finetuning.merging.merge`). Raises LabError as that does.
    """
    release = settle_release(model, quant, name)
    texts = {FILE: as_yaml({f"{release.file}$": _settings(release)}, _comment())}
    if template := release.model.chat_template:
        texts[f"user_data/instruction-templates/{release.name}.jinja"] = readable_json(template)
    files = {f"user_data/models/{release.file}": release.gguf}
    commands = [
        f"cp -r user_data {ROOT}/",
        f"cat {FILE} >> {ROOT}/user_data/models/{FILE}",
        f"cd {ROOT} && python server.py --model {release.file} --api",
    ]
    return write_export("textgen", folder, texts, commands, [_where(), release.model.note], files)


def readable_json(template: str) -> str:
    """The template, with Chinese left as it is in JSON.

    Usage: ``readable_json("{{ tools | tojson }}")  # "{{ tools | tojson(ensure_ascii=False) }}"``
    """
    return re.sub(r"\|(\s*)tojson(?!\s*\(|\w)", r"|\1tojson(ensure_ascii=False)", template)


def _settings(release: GgufRelease) -> dict[str, Any]:
    settings: dict[str, Any] = {"loader": "llama.cpp", "ctx_size": release.context}
    if release.model.chat_template:
        settings["instruction_template"] = release.name
    return settings


def _comment() -> str:
    return t(
        "For text-generation-webui: add these lines to user_data/models/config-user.yaml.",
        "供 text-generation-webui 使用：请把下面几行加到 user_data/models/config-user.yaml 里。",
    )


def _where() -> str:
    return t(
        "TEXTGEN is the folder of text-generation-webui.",
        "TEXTGEN 是 text-generation-webui 所在的文件夹。",
    )
