"""What this computer can do: packages, lessons, and what would help."""

from dataclasses import dataclass
from importlib import metadata

from ..catalog.lessons import Lesson, lessons
from ..core.cache import cache_folder
from ..core.errors import LabError
from ..core.extras import EXTRAS, has
from ..core.i18n import t
from ..core.units import show_bytes
from ..machine.hardware import Hardware

DISTRIBUTION = "open-llm-family-lab"
CORE = ("ipywidgets", "numpy", "platformdirs", "psutil", "pydantic", "rich", "typer")


@dataclass(frozen=True)
class Package:
    """A package labkit uses. extra: the extra that brings it, None for the core."""

    name: str
    version: str | None
    installed: bool
    extra: str | None


@dataclass(frozen=True)
class LessonVerdict:
    """Whether a lesson runs here, and why not or what to mind."""

    lesson: Lesson
    runs: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found. advice: sentences in the reader's language."""

    hardware: Hardware
    packages: tuple[Package, ...]
    lessons: tuple[LessonVerdict, ...]
    advice: tuple[str, ...]


def diagnose(hardware: Hardware) -> Diagnosis:
    """Compare a computer with what the packages and lessons need.

    Usage: ``diagnose(hardware()).advice``. Nothing heavy is imported; the cache folder is made.
    """
    packages = _packages()
    verdicts = tuple(_judge(lesson, hardware) for lesson in lessons())
    return Diagnosis(hardware, packages, verdicts, tuple(_advice(hardware, packages)))


def _packages() -> tuple[Package, ...]:
    wanted = dict.fromkeys(CORE) | EXTRAS
    return tuple(
        Package(module, _version(module), has(module), extra) for module, extra in wanted.items()
    )


def _version(module: str) -> str | None:
    name = {"llama_cpp": "llama-cpp-python"}.get(module, module)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def install_command(extras: set[str]) -> str:
    """What brings these extras. Usage: ``install_command({"llama"})``"""
    return f'pip install "{DISTRIBUTION}[{",".join(sorted(extras))}]"'


def _judge(lesson: Lesson, hardware: Hardware) -> LessonVerdict:
    blocks, notes = [], []
    if missing := [module for module in lesson.modules if not has(module)]:
        names, command = ", ".join(missing), install_command({EXTRAS[module] for module in missing})
        blocks.append(t(f"{names} missing: {command}", f"缺少 {names}：{command}"))
    if lesson.needs_gpu and not hardware.gpus:
        blocks.append(t("needs a GPU, and none was found", "需要 GPU，但没有找到"))
    if lesson.memory and lesson.memory > hardware.memory.available:
        needed = show_bytes(lesson.memory)
        if lesson.memory > hardware.memory.total:
            has_now = show_bytes(hardware.memory.total)
            blocks.append(
                t(
                    f"needs {needed} of memory; this computer has {has_now}",
                    f"需要 {needed} 内存，本机只有 {has_now}",
                )
            )
        else:
            notes.append(
                t(
                    f"needs {needed} of memory: close other programs first",
                    f"需要 {needed} 内存：请先关闭其他程序",
                )
            )
    if lesson.download and lesson.download > hardware.cache_disk.free:
        needed = show_bytes(lesson.download)
        blocks.append(
            t(f"needs {needed} of free disk for its download", f"下载需要 {needed} 磁盘空间")
        )
    return LessonVerdict(lesson, not blocks, tuple(blocks + notes))


def _advice(hardware: Hardware, packages: tuple[Package, ...]) -> list[str]:
    advice = []
    if not hardware.gpus:
        advice.append(
            t(
                "No GPU was found. Every lesson runs without one. Real 7B models run too once they "
                "are quantized to 4 bits and fit in memory, but slowly; to fine-tune real models "
                "of that size in a reasonable time you need a GPU.",
                "没有找到 GPU。所有课程都不需要它。真实的 7B 模型量化到 4 位、内存放得下时也能"
                "运行，只是比较慢；要在合理的时间内微调这么大的真实模型，就需要 GPU 了。",
            )
        )
    versions = {package.name: package.version or "" for package in packages}
    for gpu in hardware.gpus:
        name = gpu.name or gpu.vendor
        if gpu.backend is None:
            advice.append(
                t(
                    f"{name} is there, but its maker's tool does not report it: until its driver "
                    "and tools are installed, models run on the processor.",
                    f"检测到 {name}，但厂商的工具没有报告它："
                    "装好驱动和工具之前，模型在处理器上运行。",
                )
            )
        elif gpu.vendor == "NVIDIA" and "+cpu" in versions["torch"]:
            advice.append(
                t(
                    f"torch {versions['torch']} is built for processors only and does not use "
                    f"{name}; pytorch.org says how to install the CUDA build.",
                    f"已安装的 torch {versions['torch']} 只支持处理器，用不到 {name}；"
                    "CUDA 版的安装方法见 pytorch.org。",
                )
            )
    missing = {package.extra for package in packages if package.extra and not package.installed}
    if missing:
        command = install_command({extra for extra in missing if extra})
        advice.append(
            t(f"Some optional packages are missing: {command}", f"缺少部分可选软件包：{command}")
        )
    try:
        cache_folder()
    except LabError as error:
        advice.append(str(error))
    return advice
