"""The notebooks that came with the package, and a copy of them to work in.

Usage: ``copy_lessons("course", "zh")``
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LabError
from ..core.i18n import Language, t


@dataclass(frozen=True)
class CopiedLessons:
    """What a copy did. kept: files that were there already, and were left as they are."""

    folder: Path
    copied: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        copied = t(f"Copied {len(self.copied)} files to", f"已把 {len(self.copied)} 个文件复制到")
        said = f"{copied} {self.folder}"
        if self.kept:
            said += "\n" + t(
                f"{len(self.kept)} were there already and stay as they are; "
                "copy to another folder for fresh ones.",
                f"另有 {len(self.kept)} 个原本就在，保持原样；想要全新的，请换个文件夹。",
            )
        return said


def list_lesson_files(language: Language | None = None) -> Iterator[tuple[Path, str]]:
    """The notebooks, the glossaries and their badges: each file, and its name in a copy.

    Usage: ``[name for _, name in list_lesson_files("zh")]``. They lie in the installed package, or
    in the checkout it runs from. language: only this one.
    """
    package = Path(__file__).parents[1]
    inside = package / "lessons"
    home = inside if inside.is_dir() else package.parent / "notebooks"
    for folder in ("badges", "en", "zh"):
        if language in (None, folder) or folder == "badges":
            for path in sorted((home / folder).glob("*.*")):
                if path.suffix in (".ipynb", ".md", ".svg"):
                    yield path, path.relative_to(home).as_posix()


def copy_lessons(folder: str | Path, language: Language | None = None) -> CopiedLessons:
    """Copy the lessons into a folder of the reader's; what is there already is never overwritten.

    Usage: ``print(copy_lessons("course"))``. language: only this one; None both. Raises LabError
    where the folder cannot be written.
    """
    home = Path(folder).expanduser()
    copied, kept = [], []
    try:
        for path, name in list_lesson_files(language):
            target = home / name
            if target.exists():
                kept.append(name)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            shutil.copyfile(path, part)
            part.replace(target)
            copied.append(name)
    except OSError as error:
        raise LabError(
            t(
                f"{home} cannot be written: {error.strerror}.",
                f"无法写入 {home}：{error.strerror}。",
            ),
            t("Name a folder that you may write to.", "请换一个有写权限的文件夹。"),
        ) from error
    return CopiedLessons(home, tuple(copied), tuple(kept))
