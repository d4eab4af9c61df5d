"""Whether a computer is ready for a class: ``labkit doctor --for class``."""

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.i18n import language, t
from ..core.units import GiB, show_bytes
from .doctor import Diagnosis, install_command

FREE_DISK = 2 * GiB
"""For what the lessons write: quantized files, adapters, caches; by our judgement."""

PATIENCE = 5
"""Seconds to wait for the room's mirror."""


@dataclass(frozen=True)
class ClassCheck:
    """One thing a class needs. words: what was found, and what to do where it is not fine."""

    name: str
    fine: bool
    words: str


@dataclass(frozen=True)
class Preflight:
    """All points; ready when each is fine."""

    ready: bool
    points: tuple[ClassCheck, ...]


def check_class(found: Diagnosis, environ: Mapping[str, str] = os.environ) -> Preflight:
    """What a room needs, point by point, in the reader's language.

    Usage: ``check_class(diagnose(hardware())).ready``. Asks HF_ENDPOINT, where one is set, whether
    it answers; that and nothing else goes through the network. Not covered: whether the mirror
    holds the models that the class wants.
    """
    points = (_packages(found), _lessons(found), _memory(found), _disk(found), _models(environ))
    spoken = ClassCheck(t("Language", "语言"), True, {"en": "English", "zh": "中文"}[language()])
    return Preflight(all(point.fine for point in points), (*points, spoken))


def _packages(found: Diagnosis) -> ClassCheck:
    wanted = {module for verdict in found.lessons for module in verdict.lesson.modules}
    lacking = [p for p in found.packages if p.name in wanted and not p.installed]
    if not lacking:
        return ClassCheck(t("Packages", "软件包"), True, t("all there", "齐全"))
    names = ", ".join(package.name for package in lacking)
    command = install_command({package.extra for package in lacking if package.extra})
    words = t(f"{names} missing: {command}", f"缺少 {names}：{command}")
    return ClassCheck(t("Packages", "软件包"), False, words)


def _lessons(found: Diagnosis) -> ClassCheck:
    blocked = [verdict.lesson.id for verdict in found.lessons if not verdict.runs]
    count, all_of_them = len(found.lessons) - len(blocked), len(found.lessons)
    words = t(f"{count} of {all_of_them} run here", f"{all_of_them} 课中有 {count} 课能运行")
    if blocked:
        words += t(f"; not: {', '.join(blocked)}", f"；不能运行：{'、'.join(blocked)}")
    return ClassCheck(t("Lessons", "课程"), not blocked, words)


def _memory(found: Diagnosis) -> ClassCheck:
    needed = max(verdict.lesson.memory or 0 for verdict in found.lessons)
    free = found.hardware.memory.available
    fine = free >= needed
    words = t(
        f"{show_bytes(free)} free; the largest lesson takes {show_bytes(needed)}",
        f"空闲 {show_bytes(free)}；最大的一课需要 {show_bytes(needed)}",
    )
    if not fine:
        words += t(": close other programs", "：请先关闭其他程序")
    return ClassCheck(t("Memory", "内存"), fine, words)


def _disk(found: Diagnosis) -> ClassCheck:
    free = found.hardware.cache_disk.free
    fine = free >= FREE_DISK
    words = t(f"{show_bytes(free)} free", f"空闲 {show_bytes(free)}")
    if not fine:
        wanted = show_bytes(FREE_DISK)
        words += t(
            f"; {wanted} are wanted: labkit cache shows what can go",
            f"；需要 {wanted}：用 labkit cache 看看能清掉什么",
        )
    return ClassCheck(t("Disk", "磁盘"), fine, words)


def _models(environ: Mapping[str, str]) -> ClassCheck:
    name = t("Models", "模型")
    if bundle := environ.get("LABKIT_BUNDLE"):
        held = sorted(path for path in Path(bundle, "models").glob("*/*") if path.is_dir())
        words = t(f"bundle {bundle}: {len(held)} models", f"离线包 {bundle}：{len(held)} 个模型")
        if not held:
            words += t("; is the stick there?", "；U 盘插好了吗？")
        return ClassCheck(name, bool(held), words)
    if endpoint := environ.get("HF_ENDPOINT"):
        problem = _ask(endpoint)
        if problem is None:
            return ClassCheck(name, True, t(f"{endpoint} answers", f"{endpoint} 有应答"))
        return ClassCheck(
            name,
            False,
            t(
                f"{endpoint} does not answer ({problem}): does labkit mirror run there, and is"
                " this computer in its network?",
                f"{endpoint} 没有应答（{problem}）：那边的 labkit mirror 开着吗？"
                "本机和它在同一个网络里吗？",
            ),
        )
    return ClassCheck(
        name,
        True,
        t(
            "pocket models only; for real ones set LABKIT_BUNDLE or HF_ENDPOINT",
            "只有口袋模型；要用真实模型，请设置 LABKIT_BUNDLE 或 HF_ENDPOINT",
        ),
    )


def _ask(url: str) -> str | None:
    """Why nothing answers at an address; None where something does, be it with an error."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return None
    except urllib.error.HTTPError:
        return None  # a server spoke
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
