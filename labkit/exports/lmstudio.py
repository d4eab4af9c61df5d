"""A model for LM Studio: its GGUF file in the folders that LM Studio looks through.

Usage: ``write_lmstudio("pocket/qwen2.5", "for-lmstudio")``

LM Studio knows a model by ``publisher/model/file.gguf`` under its models folder (lmstudio.ai,
"Import Models") and runs the Jinja template that stands in the file.
"""

from pathlib import Path

from ..core.i18n import t
from .exported import Exported, write_export
from .gguf_release import check_name, settle_release

FILE = "lmstudio.md"
MODELS = "~/.lmstudio/models/"


def write_lmstudio(
    model: str | Path,
    folder: str | Path,
    *,
    quant: str | None = None,
    name: str | None = None,
    publisher: str = "labkit",
) -> Exported:
    """Write the folders to copy into LM Studio's.

    Usage: ``write_lmstudio("clinic-merged", "out", quant="Q8_0", name="clinic")``

    model, quant, name: as in :func:`.gguf_release.settle_release`. LM Studio takes no adapters:
    merge them (:func:`labkit.finetuning.merging.merge`). Raises LabError as that does.
    """
    check_name(publisher)
    release = settle_release(model, quant, name)
    place = f"{publisher}/{release.name}/{release.file}"
    commands = [f"mkdir -p {MODELS}", f"cp -r {publisher} {MODELS}"]
    told = t(
        f"{release.name} for LM Studio. The folders must stay as they are: publisher, model, file.",
        f"{release.name}，供 LM Studio 使用。请保持三层目录不变：发布者、模型、文件。",
    )
    other = t(
        "Windows: copy it by hand to the models folder that LM Studio shows under My Models.",
        "Windows：请手动复制到 LM Studio 的 My Models 页面所示的模型文件夹。",
    )
    text = f"{told}\n\n```sh\n" + "\n".join(commands) + f"\n```\n\n{other}\n"
    notes = [release.model.note]
    return write_export("lmstudio", folder, {FILE: text}, commands, notes, {place: release.gguf})
