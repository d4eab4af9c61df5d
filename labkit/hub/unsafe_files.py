"""What in a model's folder would run code when loaded, found by reading and never by loading.

Usage: ``print(scan_files("path/to/model"))``; ``scan_files(folder).is_safe``

Weights are numbers, and a file of them needs no code. A pickle is a small program that builds
objects: loading it may call any function (Python's own warning: docs.python.org/3/library/pickle).
It is recognised by its content, whatever it is called, also inside PyTorch's zip files; its
instructions are listed by ``pickletools`` and not executed. Code that comes with a model runs with
``trust_remote_code=True``. Archives and symbolic links hide what they hold, and count as unsafe.

Not covered: faults in the readers of safe formats themselves, and what is in the weights: a model
may have been trained to misbehave. What passes here is not thereby trustworthy.
"""

import json
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table

Kind = Literal["pickle", "code", "archive", "link", "broken", "safetensors", "gguf", "text"]

UNSAFE: tuple[Kind, ...] = ("pickle", "code", "archive", "link", "broken")

_TEXT = {".json", ".jsonl", ".md", ".txt", ".model", ".jinja", ".toml", ".yaml", ".yml", ""}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".whl", ".nemo", ".keras", ".npz"}
_MOST = 2**26
"""Bytes of a pickle's instructions that are read; weights lie elsewhere in PyTorch's files."""


@dataclass(frozen=True)
class Finding:
    """One file. name: in the folder. calls: what a pickle would import, as "os.system"."""

    name: str
    kind: Kind
    calls: tuple[str, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Whether loading it runs nothing."""
        return self.kind not in UNSAFE


@dataclass(frozen=True, repr=False)
class Findings(ShowsTable):
    """What a folder holds; shows itself, the unsafe first."""

    findings: tuple[Finding, ...]

    @property
    def is_safe(self) -> bool:
        """Whether nothing in it runs code when loaded."""
        return all(finding.is_safe for finding in self.findings)

    def table(self) -> Table:
        """A row a file. Usage: ``print(findings.table())``"""
        header = (t("File", "文件"), t("Kind", "类型"), t("Verdict", "结论"))
        rows = []
        for one in sorted(self.findings, key=lambda one: (one.is_safe, one.name)):
            what = _kinds()[one.kind]
            calls = t(f": calls {', '.join(one.calls)}", f"：会调用 {'、'.join(one.calls)}")
            verdict = t("runs nothing", "不会执行代码") if one.is_safe else t("refuse", "拒绝")
            rows.append((one.name, what + (calls if one.calls else ""), verdict))
        return Table(header, rows)


def scan_files(folder: str | Path) -> Findings:
    """Every file of a folder, and whether loading it would run code.

    Usage: ``[f.name for f in scan_files(folder).findings if not f.is_safe]``. Raises LabError
    where there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LabError(
            t(f"There is no folder '{folder}'.", f"文件夹 '{folder}' 不存在。"),
            t("Name the folder of a model.", "请指定模型所在的文件夹。"),
        )
    paths = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file())
    return Findings(tuple(_look(path, str(path.relative_to(folder))) for path in paths))


def list_imports(data: bytes) -> tuple[str, ...]:
    """What a pickle would import, by reading its instructions. Usage: ``list_imports(data)``

    Names pushed as texts before STACK_GLOBAL are found as pickle's own writer pushes them; one
    that is put together otherwise is told as "?". Raises ValueError where it is no pickle.
    """
    found, texts = [], list[str]()
    for code, argument, _ in pickletools.genops(data):
        if "GLOBAL" == code.name or code.name == "INST":
            found.append(str(argument).replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            found.append(".".join(texts[-2:]) if len(texts) > 1 else "?")
        elif "UNICODE" in code.name or "STRING" in code.name:
            texts.append(str(argument))
    return tuple(dict.fromkeys(found))


def _look(path: Path, name: str) -> Finding:
    if path.is_symlink():
        return Finding(name, "link")
    with path.open("rb") as file:
        head = file.read(16)
    if zipfile.is_zipfile(path):
        return _look_into_zip(path, name)
    if (calls := _pickled(path, head)) is not None:
        return Finding(name, "pickle", calls)
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        return Finding(name, "archive")
    if suffix == ".safetensors":
        return Finding(name, "safetensors" if _is_safetensors(path, head) else "broken")
    if head[:4] == b"GGUF":
        return Finding(name, "gguf")
    if path.name == "config.json" and (code := _remote_code(path)):
        return Finding(name, "code", code)
    return Finding(name, "text" if suffix in _TEXT and b"\0" not in head else "code")


def _pickled(path: Path, head: bytes) -> tuple[str, ...] | None:
    """What it imports, where it is a pickle: by its first byte, or because it reads as one."""
    binary = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if not binary and path.suffix.lower() not in (
        ".pkl",
        ".pickle",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
    ):
        return None
    with path.open("rb") as file:
        data = file.read(_MOST)
    try:
        return list_imports(data)
    except (ValueError, IndexError, UnicodeDecodeError):
        return ("?",)


def _look_into_zip(path: Path, name: str) -> Finding:
    """PyTorch's files are zips with a pickle inside."""
    with zipfile.ZipFile(path) as archive:
        inside = [entry for entry in archive.namelist() if entry.endswith(".pkl")]
        if not inside:
            return Finding(name, "archive")
        calls: list[str] = []
        for entry in inside:
            with archive.open(entry) as file:
                try:
                    calls += list_imports(file.read(_MOST))
                except (ValueError, IndexError, UnicodeDecodeError):
                    calls.append("?")
    return Finding(name, "pickle", tuple(dict.fromkeys(calls)))


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Whether it begins as the format says: the header's length in 8 bytes, then JSON."""
    size = int.from_bytes(head[:8], "little")
    if not 2 <= size <= min(path.stat().st_size - 8, 100_000_000):
        return False
    with path.open("rb") as file:
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(size)), dict)
        except ValueError:
            return False


def _remote_code(path: Path) -> tuple[str, ...]:
    """Classes that a config.json takes from code beside it."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return ("?",)
    return tuple(_texts(config.get("auto_map", {}))) if isinstance(config, dict) else ("?",)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _kinds() -> dict[Kind, str]:
    return {
        "pickle": t("pickle", "pickle"),
        "code": t("code, or not known", "代码，或类型不明"),
        "archive": t("archive", "压缩包"),
        "link": t("symbolic link", "符号链接"),
        "broken": t("not what its name says", "内容与文件名不符"),
        "safetensors": "safetensors",
        "gguf": "GGUF",
        "text": t("text", "文本"),
    }
