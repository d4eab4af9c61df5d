"""A model as one GGUF file to be given to others, with an adapter beside it or without."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..core.cache import cache_folder, digest
from ..core.errors import LabError
from ..core.i18n import t
from ..engines import Model, load
from ..gguf.files import gguf_for, read_format
from ..gguf.reader import Contents, inspect_gguf
from ..hub.resolver import Location, locate
from .lora_gguf import write_lora_gguf

QUANT = "Q4_K_M"
"""What a folder is quantized to unless something else is asked for."""


@dataclass(frozen=True)
class GgufRelease:
    """What is released. name: for people and folders, such as ``qwen2.5-0.5b-instruct``.

    model: for its template and tokens; its weights are not read. adapter: a GGUF file, or None.
    """

    name: str
    model: Model
    gguf: Path
    contents: Contents
    adapter: Path | None = None

    @property
    def file(self) -> str:
        """The file's name: model and format."""
        return f"{self.name}-{self.contents.format}.gguf"

    @property
    def context(self) -> int:
        """Tokens: what the model was trained for, at most 8,192, for memory is set aside for it."""
        return min(self.contents.context_length, 8192)


def settle_release(
    model: str | Path,
    quant: str | None,
    name: str | None = None,
    adapter: str | Path | None = None,
) -> GgufRelease:
    """Make the files of a release, or find them in the cache.

    Usage: ``settle_release("pocket/qwen2.5", "Q8_0").gguf``

    model: what :func:`labkit.load` takes. quant: None keeps a .gguf as it is and makes QUANT of a
    folder. adapter: a folder of PEFT's, or a .gguf made of one; model is then its base. Raises
    LabError where the model cannot be converted or the adapter not be put on it.
    """
    location = locate(model)
    name = name_of(location) if name is None else check_name(name)
    if location.kind == "gguf" and quant is None:
        gguf = location.path
    else:
        gguf = gguf_for(location.path, read_format(quant or QUANT))
    lora = None if adapter is None else _adapter(Path(adapter), location)
    return GgufRelease(name, load(location), gguf, inspect_gguf(gguf), lora)


def name_of(location: Location) -> str:
    """A name for folders and addresses. Usage: ``name_of(locate("pocket/yi"))  # "pocket-yi"``"""
    text = location.name.removesuffix(".gguf")
    if not location.is_pocket:
        text = Path(text.rstrip("/")).name or location.path.name
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._") or "model"


def check_name(name: str) -> str:
    """The name itself, if folders and addresses can bear it; else LabError.

    Usage: ``check_name("clinic")``
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise LabError(
            t(f"'{name}' cannot be the name of an export.", f"'{name}' 不能用作导出名称。"),
            t(
                "Use letters, digits, dots, dashes and underscores.",
                "请只用英文字母、数字、点、连字符和下划线。",
            ),
        )
    return name


def _adapter(adapter: Path, base: Location) -> Path:
    adapter = adapter.expanduser()
    if adapter.suffix == ".gguf":
        said = inspect_gguf(adapter).metadata.get("general.type")
        if said != "adapter":
            raise LabError(
                t(f"'{adapter}' is a model, not an adapter.", f"'{adapter}' 是模型，不是适配器。"),
                t("Export it as the model itself.", "请把它作为模型本身导出。"),
            )
        return adapter
    if base.kind == "gguf":
        raise LabError(
            t(
                f"An adapter of PEFT cannot be laid out for '{base.name}' without its config.json.",
                f"缺少 config.json，无法为 '{base.name}' 转换 PEFT 适配器。",
            ),
            t(
                "Name the Hugging Face folder as the model, or give the adapter as a .gguf.",
                "请以 Hugging Face 文件夹作为模型，或提供 .gguf 格式的适配器。",
            ),
        )
    files = [path for path in sorted(adapter.glob("adapter_*")) if path.is_file()]
    made_of = digest("lora 1", [*files, base.path / "config.json"])
    out = cache_folder() / "gguf" / f"{adapter.resolve().name}-{made_of}-lora.gguf"
    return out if out.exists() else write_lora_gguf(adapter, base.path, out)
