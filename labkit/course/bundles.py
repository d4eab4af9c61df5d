"""A class on a stick: models, notebooks and the list of packages, checked file by file.

Usage: ``make_bundle("/media/stick/class", ["Qwen/Qwen2.5-0.5B-Instruct"])``

    README.txt                    what to do with it, in both languages
    SHA256SUMS                    every file's hash, as ``sha256sum -c SHA256SUMS`` reads it
    models/OWNER/NAME/…           as on the Hub; for LABKIT_BUNDLE and ``labkit mirror``
    lessons/en, lessons/zh        the notebooks
    wheels/requirements.txt       every package by version; beside it the wheels, if wanted

Not covered: Python itself; wheels are those of the system and the kind of machine (CPU, CUDA) on
which the bundle is made.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import show_progress
from ..core.units import MiB, show_bytes
from ..hub.huggingface import list_parts
from ..hub.mirror_server import bundled_repositories
from ..hub.resolver import locate
from .lesson_files import list_lesson_files

SUMS = "SHA256SUMS"

PROJECT = "open-llm-family-lab"
EXTRAS = "models,llama,gptq,finetune,serve,search,app,scale,lab"
"""All that the lessons use; of ``all`` only what tests need is left out."""

TORCH_INDEX = "https://download.pytorch.org/whl/"
"""Where PyTorch keeps builds for one kind of machine, such as ``cpu``: the last part of a version
``2.13.0+cpu``, and the last part of this address."""

README = """Open LLM Family Lab: a class without a network

Check it            labkit bundle verify .
Use it in place     export LABKIT_BUNDLE=/path/to/this/folder
Copy it to a disk   labkit bundle restore .
Share it in a room  labkit mirror --bundle . --host 0.0.0.0
Packages            pip install --no-index --find-links wheels -r wheels/requirements.txt
                    pip install --no-index --find-links wheels open-llm-family-lab


开源大模型家族实验室：不联网也能上课

校验    labkit bundle verify .
直接用  export LABKIT_BUNDLE=本文件夹的路径
拷到本机  labkit bundle restore .
给全班用  labkit mirror --bundle . --host 0.0.0.0
装软件包  pip install --no-index --find-links wheels -r wheels/requirements.txt
          pip install --no-index --find-links wheels open-llm-family-lab
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle that is whole. size: bytes of all files. models: ``OWNER/NAME`` of each."""

    folder: Path
    models: tuple[str, ...]
    files: int
    size: int

    def __str__(self) -> str:
        names = ", ".join(self.models) or t("none", "无")
        return t(
            f"{self.folder}: {self.files} files, {show_bytes(self.size)}, all as they were"
            f" written; models: {names}",
            f"{self.folder}：共 {self.files} 个文件，{show_bytes(self.size)}，"
            f"与写入时完全一致；模型：{names}",
        )


def make_bundle(
    folder: str | Path, models: Iterable[str] = (), *, lessons: bool = True, wheels: bool = False
) -> Bundle:
    """Write a bundle, or add to one; what is lacking here is fetched first.

    Usage: ``make_bundle("class", ["Qwen/Qwen2.5-0.5B-Instruct", "…-GGUF:Q4_K_M"])``

    models: Hub ids, or ``modelscope:`` before one. lessons: whether the notebooks go in. wheels:
    whether pip builds the packages into it, too; that takes minutes and the network. Raises
    LabError for a model that is no Hub id or cannot be fetched, and where there is no room.
    """
    home = Path(folder).expanduser()
    found = {name: locate(name) for name in models}
    copies: list[tuple[Path, Path]] = []
    for name, place in found.items():
        repository = name.removeprefix("modelscope:").partition(":")[0]
        if place.is_pocket or repository.count("/") != 1 or Path(name).expanduser().exists():
            raise LabError(
                t(f"'{name}' does not belong into a bundle.", f"'{name}' 不用放进离线包。"),
                t(
                    "Give Hub ids, OWNER/NAME; pocket models come with the package.",
                    "请给出 Hub 模型名（OWNER/NAME）；口袋模型已随软件包提供。",
                ),
            )
        target = home / "models" / repository
        root = place.path if place.kind == "folder" else place.path.parent
        files = (
            list_parts(place.path)
            if place.kind == "gguf"
            else [p for p in root.rglob("*") if p.is_file()]
        )
        copies += [(path, target / path.relative_to(root)) for path in files]
    if lessons:
        copies += [(path, home / "lessons" / name) for path, name in list_lesson_files()]
    _copy([(source, target) for source, target in copies if not _same(source, target)], home)
    (home / "README.txt").write_text(README, encoding="utf-8")
    _list_packages(home / "wheels", wheels)
    sums = {path.relative_to(home).as_posix(): _sha256(path) for path in _files(home)}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (home / SUMS).write_text(lines, encoding="utf-8", newline="\n")
    return _summary(home, list(sums))


def verify_bundle(folder: str | Path) -> Bundle:
    """Hash every file anew and compare.

    Usage: ``print(verify_bundle("/media/stick/class"))``. Raises LabError that names the first
    file that differs, is missing, or that nobody had listed.
    """
    home = Path(folder).expanduser()
    sums = _read_sums(home)
    extra = [path.relative_to(home).as_posix() for path in _files(home)]
    total = sum((home / name).stat().st_size for name in sums if (home / name).is_file())
    wrong = next((name for name in extra if name not in sums), None)
    with show_progress(total, str(home), unit="B") as bar:
        for name, digest in sums.items():
            path = home / name
            if wrong is None and (not path.is_file() or _sha256(path) != digest):
                wrong = name
            bar.advance(path.stat().st_size if path.is_file() else 0)
    if wrong is not None:
        raise LabError(
            t(
                f"'{wrong}' in '{home}' is not what was written.",
                f"'{home}' 里的 '{wrong}' 与写入时不一致。",
            ),
            t("Copy the bundle again, or make it anew.", "请重新拷贝，或重新制作离线包。"),
        )
    return _summary(home, list(sums))


def restore_bundle(folder: str | Path, lessons: str | Path | None = None) -> Bundle:
    """Copy a bundle's models into the Hub's cache of this computer, after verifying it.

    Usage: ``restore_bundle("/media/stick/class", lessons="lessons")``

    Transformers, ``hf`` and labkit then find them by name, with no network and no bundle. lessons:
    a folder for the notebooks; None leaves them; a notebook that is there already is kept.
    """
    from ..hub.mirror_server import commit_of, list_files

    bundle = verify_bundle(folder)
    cache = Path(need("huggingface_hub.constants").HF_HUB_CACHE)
    copies = []
    heads = {}
    for name, source in bundled_repositories(bundle.folder).items():
        files = list_files(source)
        root = cache / f"models--{name.replace('/', '--')}"
        commit = commit_of(source, files)
        heads[root / "refs" / "main"] = commit
        for file in files.values():
            copies.append((file.path, root / "snapshots" / commit / file.name))
    if lessons is not None:
        home = bundle.folder / "lessons"
        copies += [(p, Path(lessons).expanduser() / p.relative_to(home)) for p in _files(home)]
    _copy([(source, target) for source, target in copies if not target.exists()], cache)
    for head, commit in heads.items():
        head.parent.mkdir(parents=True, exist_ok=True)
        head.write_text(commit, encoding="utf-8")
    return bundle


def _files(home: Path) -> Iterator[Path]:
    """All but the list itself, in a fixed order."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and path != home / SUMS:
            yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _same(source: Path, target: Path) -> bool:
    return (
        target.is_file()
        and target.stat().st_size == source.stat().st_size
        and _sha256(target) == _sha256(source)
    )


def _summary(home: Path, names: list[str]) -> Bundle:
    size = sum((home / name).stat().st_size for name in names)
    return Bundle(home, tuple(bundled_repositories(home)), len(names), size)


def _read_sums(home: Path) -> dict[str, str]:
    try:
        lines = (home / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise LabError(
            t(
                f"'{home}' is not a bundle: it has no {SUMS}.",
                f"'{home}' 不是离线包：缺少 {SUMS}。",
            ),
            t("Make one: labkit bundle make DIR MODEL", "可这样制作：labkit bundle make 目录 模型"),
        ) from None
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _copy(copies: list[tuple[Path, Path]], home: Path) -> None:
    total = sum(source.stat().st_size for source, _ in copies)
    existing = next(parent for parent in (home, *home.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < total:
        raise LabError(
            t(
                f"There is no room in '{home}': {show_bytes(total)} are to be copied, and"
                f" {show_bytes(free)} are free.",
                f"'{home}' 空间不足：要复制 {show_bytes(total)}，只剩 {show_bytes(free)}。",
            ),
            t("Take a larger disk, or fewer models.", "请换更大的磁盘，或少放几个模型。"),
        )
    with show_progress(total, str(home), unit="B") as bar:
        for source, target in copies:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            with source.open("rb") as read, part.open("wb") as write:
                while chunk := read.read(MiB):
                    write.write(chunk)
                    bar.advance(len(chunk))
            part.replace(target)


def _list_packages(folder: Path, wheels: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "requirements.txt"
    versions = installed_versions(f"{PROJECT}[{EXTRAS}]")
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))
    listed.write_text(lines, encoding="utf-8")
    if not wheels:
        return
    torch = version("torch")
    _, _, build = torch.partition("+")
    if build:  # the registry's own brings what is not installed here, such as gigabytes of CUDA
        index = os.environ.get("LABKIT_TORCH_INDEX", TORCH_INDEX + build)
        _make_wheels(folder, "--index-url", index, "--timeout", "10", "--retries", "1",
                     f"torch=={torch}")  # fmt: skip
    source = Path(__file__).parents[2]
    checkout = (source / "pyproject.toml").is_file()
    own = str(source) if checkout else f"{PROJECT}=={version(PROJECT)}"
    _make_wheels(folder, "--find-links", str(folder), "-r", str(listed), own)


def _make_wheels(folder: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), *what]
    # Where llama-cpp-python must be built: not for this computer's processor alone.
    portable = {"CMAKE_ARGS": f"-DGGML_NATIVE=OFF {os.environ.get('CMAKE_ARGS', '')}"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | portable)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise LabError(
            t(f"pip could not make the wheels: {last}", f"pip 未能生成 wheel：{last}"),
            t(
                "Go online and try again; LABKIT_TORCH_INDEX names another index for PyTorch.",
                "请联网后重试；PyTorch 的下载地址可用 LABKIT_TORCH_INDEX 另行指定。",
            ),
        )


def installed_versions(root: str) -> dict[str, str]:
    """Name to version of all that a requirement brings and that is installed here.

    Usage: ``installed_versions("open-llm-family-lab[models,lab]")``. The requirement itself and
    what is not installed are left out, and so are local versions (``+cpu``).
    """
    requirement = need("packaging.requirements").Requirement
    versions: dict[str, str] = {}
    waiting = [requirement(root)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = need("packaging.utils").canonicalize_name(wanted.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        versions[name] = found.version.partition("+")[0]
        for extra in {"", *wanted.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            for one in map(requirement, found.requires or []):
                if one.marker is None or one.marker.evaluate({"extra": extra}):
                    waiting.append(one)
    versions.pop(PROJECT, None)
    return versions
