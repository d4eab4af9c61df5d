"""What an export leaves: a folder, the files in it, and what to type there."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.cache import replacing
from ..core.extras import need
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..core.units import show_bytes
from ..finetuning.lora import check_folder


@dataclass(frozen=True, repr=False)
class Exported(ShowsTable):
    """An export for one tool; shows itself as a table.

    target: the tool. files: names in folder, the one to read first in front. commands: to be typed
    in folder. notes: what one must know, such as what the tool does otherwise.
    """

    target: str
    folder: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def table(self) -> Table:
        """As a person reads it."""
        rows = [(name, show_bytes((self.folder / name).stat().st_size)) for name in self.files]
        header = (t("File", "文件"), t("Size", "大小"))
        typed = [f"$ {command}" for command in self.commands]
        return Table(header, rows, "\n".join([*typed, *self.notes]))


def write_export(
    target: str,
    folder: str | Path,
    texts: dict[str, str],
    commands: Iterable[str],
    notes: Iterable[str] = (),
    files: Mapping[str, Path] | None = None,
) -> Exported:
    """Write texts as the files of a folder, each whole or not at all.

    Usage: ``write_export("axolotl", "out", {"axolotl.yaml": text}, ["axolotl train …"])``

    texts: name to content; the first is the one by which an export of this kind is known, and may
    be written over. files: name to where it is now; it is linked, or copied to another disk.
    Raises LabError where the folder holds something else, or cannot be written.
    """
    folder, files = Path(folder).expanduser(), files or {}
    check_folder(folder, next(iter(texts)))
    for name, source in files.items():
        with replacing(folder / name, source.stat().st_size) as part:
            _place(source, part)
    for name, text in texts.items():
        with replacing(folder / name, len(text.encode())) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    return Exported(target, folder, (*texts, *files), tuple(commands), tuple(filter(None, notes)))


def _place(source: Path, part: Path) -> None:
    part.unlink()
    try:
        os.link(source.resolve(), part)  # weights are gigabytes, and nobody writes into them
    except OSError:
        shutil.copyfile(source, part)


def as_yaml(settings: dict[str, Any], comment: str) -> str:
    """Settings in their order, without those that are None, under a comment.

    Usage: ``as_yaml({"seed": 0}, "How to tune.")  # "# How to tune.\\nseed: 0\\n"``
    """
    kept = {name: value for name, value in settings.items() if value is not None}
    text = need("yaml").safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + str(text)


def as_jsonl(rows: Iterable[Any]) -> str:
    """One JSON value a line.

    Usage: ``as_jsonl([{"messages": []}])``
    """
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
