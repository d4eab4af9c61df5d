"""This computer as it can be used from here: processor, memory, GPUs, disk, platform."""

import html
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..core.cache import cache_path
from ..core.i18n import t
from ..core.units import show_bytes
from .gpu_detection import GPU, find_gpus
from .host import Host, entry

VECTOR_INSTRUCTIONS = frozenset(
    # Linux, x86 (/proc/cpuinfo "flags")
    "sse4_2 avx f16c fma avx2 avx_vnni avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16 "
    "amx_tile amx_int8 amx_bf16 "
    # Linux, ARM and RISC-V ("Features", "isa")
    "neon asimd asimdhp asimddp bf16 i8mm sve sve2 svei8mm svebf16 sme sme2 v "
    # macOS (sysctl hw.optional…)
    "AdvSIMD FEAT_DotProd FEAT_FP16 FEAT_BF16 FEAT_I8MM FEAT_SME FEAT_SME2 avx1_0 avx2_0".split()
)
"""Those that llama.cpp and torch choose their kernels by, as the systems spell them."""

SERVICES = {
    "COLAB_RELEASE_TAG": "Google Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "BINDER_SERVICE_HOST": "Binder",
    "CODESPACES": "GitHub Codespaces",
}
"""Environment variable to the notebook service that sets it."""


@dataclass(frozen=True)
class CPU:
    """The processor. usable_cores: what affinity and a container's quota leave, at least 1."""

    name: str | None
    architecture: str
    physical_cores: int | None
    logical_cores: int | None
    usable_cores: int
    vector_instructions: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """RAM in bytes. total and available keep to limit, the cgroup's, where there is one."""

    total: int
    available: int
    limit: int | None


@dataclass(frozen=True)
class Disk:
    """The disk that a folder is or would be on, in bytes."""

    folder: str
    total: int
    free: int


@dataclass(frozen=True)
class Platform:
    """Operating system; container and service are None where none was recognised."""

    system: str
    version: str | None
    container: str | None
    wsl: bool
    service: str | None


@dataclass(frozen=True)
class Hardware:
    """What :func:`hardware` found. Sizes are bytes; None means unknown, never zero."""

    cpu: CPU
    memory: Memory
    gpus: tuple[GPU, ...]
    cache_disk: Disk
    work_disk: Disk
    platform: Platform
    python: str

    def rows(self) -> list[tuple[str, str]]:
        """Label and words for a reader, in the reader's language; sizes in GiB."""
        cpu, memory, system = self.cpu, self.memory, self.platform
        unknown = t("unknown", "未知")
        vectors = " ".join(cpu.vector_instructions) or unknown
        rows = [
            (t("Processor", "处理器"), f"{cpu.name or unknown} ({cpu.architecture})"),
            (
                t("Cores", "核心数"),
                t(
                    f"{cpu.usable_cores} usable of {cpu.logical_cores or unknown}"
                    f" ({cpu.physical_cores or unknown} physical)",
                    f"可用 {cpu.usable_cores} 个，共 {cpu.logical_cores or unknown} 个"
                    f"（物理核心 {cpu.physical_cores or unknown} 个）",
                ),
            ),
            (t("Vector instructions", "向量指令"), vectors),
            (
                t("Memory", "内存"),
                t(
                    f"{show_bytes(memory.available)} available of {show_bytes(memory.total)}",
                    f"可用 {show_bytes(memory.available)}，共 {show_bytes(memory.total)}",
                )
                + (t(" (the container's limit)", "（容器上限）") if memory.limit else ""),
            ),
        ]
        rows += [("GPU", gpu.words()) for gpu in self.gpus]
        if not self.gpus:
            rows.append(("GPU", t("none found", "没有找到")))
        for label, disk in (
            (t("Disk (cache)", "磁盘（缓存）"), self.cache_disk),
            (t("Disk (here)", "磁盘（当前目录）"), self.work_disk),
        ):
            free = t(f"{show_bytes(disk.free)} free", f"剩余 {show_bytes(disk.free)}")
            rows.append((label, f"{free}: {disk.folder}"))
        where = [system.version or system.system, "WSL" if system.wsl else "", system.service or ""]
        if system.container:
            where.append(t(f"container: {system.container}", f"容器：{system.container}"))
        rows.append((t("System", "系统"), " · ".join(filter(None, where))))
        return [*rows, ("Python", self.python)]

    def __str__(self) -> str:
        return "\n".join(f"{label}: {words}" for label, words in self.rows())

    def _repr_html_(self) -> str:
        cells = ((html.escape(label), html.escape(words)) for label, words in self.rows())
        lines = (f"<tr><th>{label}</th><td>{words}</td></tr>" for label, words in cells)
        return f'<table style="text-align: left">{"".join(lines)}</table>'


def hardware(host: Host | None = None) -> Hardware:
    """Look at this computer; nothing heavy is imported and nothing is written.

    Usage: ``hardware().memory.available  # bytes``

    host: another place to look, for tests. Not covered: slices of an NVIDIA MIG GPU (the whole
    card is reported), the shared memory that an integrated AMD or Intel GPU may borrow.
    """
    import psutil  # not at the top: whoever only asks for the cache folder starts faster

    host = host or Host()
    machine = psutil.virtual_memory()
    memory = limit_memory(machine.total, machine.available, host)
    return Hardware(
        cpu=_cpu(host),
        memory=memory,
        gpus=find_gpus(host, memory.total, memory.available),
        cache_disk=_disk(cache_path(host.environ)),
        work_disk=_disk(Path.cwd()),
        platform=_platform(host),
        python=platform.python_version(),
    )


def _disk(folder: Path) -> Disk:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    usage = shutil.disk_usage(existing)
    return Disk(folder=str(folder), total=usage.total, free=usage.free)


# --- containers: cgroup v1 and v2 -------------------------------------------------------------


def _cgroup_folders(host: Host, controller: str) -> Iterator[PurePosixPath]:
    """Folders of this process's cgroups with a controller, each from the inside outwards.

    A limit anywhere on the way up holds. /proc/self/cgroup says where the process is in the
    hierarchy, /proc/self/mountinfo which part of it is mounted where: a container often sees
    its own cgroup as the root. See cgroups(7) and proc_pid_mountinfo(5).
    """
    paths = {}
    for line in (host.read("/proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            paths["cgroup2"] = path
        elif controller in controllers.split(","):
            paths["cgroup"] = path
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        place, _, kind = line.partition(" - ")
        file_system, _, options = kind.split(" ", 2)
        if file_system not in paths:
            continue
        if file_system == "cgroup" and controller not in options.split(","):
            continue
        root, mounted = (PurePosixPath(part) for part in place.split(" ")[3:5])
        inner = PurePosixPath(paths[file_system])
        below = inner.relative_to(root) if inner.is_relative_to(root) else PurePosixPath()
        yield mounted / below
        for parent in below.parents:
            yield mounted / parent


def _number(text: str | None) -> int | None:
    """A count of a cgroup file; None for "max", "-1" and a file that is not there."""
    words = (text or "").split()
    return int(words[0]) if words and words[0].isdigit() else None


def limit_memory(total: int, available: int, host: Host) -> Memory:
    """A machine's memory, in bytes, cut to what this process's cgroups allow.

    Usage: ``limit_memory(16 * GiB, 9 * GiB, Host())``

    Page cache that the kernel can drop (inactive_file) does not count as used, as in
    ``docker stats`` and ``kubectl top``. Swap is not counted. Not covered: memory.high.
    """
    limit = None
    for folder in _cgroup_folders(host, "memory"):
        most = _number(host.read(folder / "memory.max"))
        used = _number(host.read(folder / "memory.current"))
        cached = "inactive_file"
        if used is None:
            most = _number(host.read(folder / "memory.limit_in_bytes"))
            used = _number(host.read(folder / "memory.usage_in_bytes"))
            cached = "total_inactive_file"
        if most is None or used is None or most >= total:
            continue  # v1 writes "no limit" as a number beyond any machine
        counts = dict(
            line.split() for line in (host.read(folder / "memory.stat") or "").splitlines()
        )
        limit = min(most, limit or most)
        available = min(available, max(0, most - used + int(counts.get(cached, 0))))
    return Memory(total=limit or total, available=available, limit=limit)


def cpu_quota(host: Host) -> float | None:
    """How many cores' worth of time this process's cgroups allow; None without a quota.

    Usage: ``cpu_quota(Host())  # 1.5``
    """
    quotas = []
    for folder in _cgroup_folders(host, "cpu"):
        if text := host.read(folder / "cpu.max"):
            quota, period = text.split()
        else:
            quota = host.read(folder / "cpu.cfs_quota_us") or "-1"
            period = host.read(folder / "cpu.cfs_period_us") or "100000"
        if (time := _number(quota)) is not None:
            quotas.append(time / int(period))
    return min(quotas, default=None)


# --- processor and platform -------------------------------------------------------------------


def _cpu(host: Host) -> CPU:
    import psutil

    names: list[str] = []
    if host.system == "Darwin":
        facts = host.run("sysctl", "hw.optional", "machdep.cpu.brand_string")
        name = entry(facts, "machdep.cpu.brand_string")
        for line in (facts or "").splitlines():
            key, _, value = line.partition(": ")
            names += [key.rpartition(".")[2]] if value == "1" else []
    elif host.system == "Windows":
        # Windows has no command that lists the instructions: they stay unknown.
        command = "(Get-CimInstance Win32_Processor | Select-Object -First 1).Name"
        name = (host.run("powershell", "-NoProfile", "-Command", command) or "").strip() or None
    else:
        facts = host.read("/proc/cpuinfo")
        name = entry(facts, "model name", "Model", "Hardware")
        name = name or entry(host.run("lscpu"), "Model name")  # ARM servers name it only there
        names = (entry(facts, "flags", "Features") or "").split()
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count()
    )
    quota = cpu_quota(host)
    return CPU(
        name=name,
        architecture=platform.machine(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        usable_cores=max(1, min(usable or 1, int(quota) if quota else usable or 1)),
        vector_instructions=tuple(name for name in names if name in VECTOR_INSTRUCTIONS),
    )


def _platform(host: Host) -> Platform:
    system = {"Darwin": "macOS"}.get(host.system, host.system)
    if host.system == "Darwin":
        version = f"macOS {platform.mac_ver()[0]}".strip()
    elif host.system == "Linux":
        version = (entry(host.read("/etc/os-release"), "PRETTY_NAME", separator="=") or "").strip(
            '"'
        )
    else:
        version = f"{host.system} {platform.version()}"
    container = None
    if (manager := host.read("/run/systemd/container")) is not None:
        container = manager.strip()
    elif "KUBERNETES_SERVICE_HOST" in host.environ:
        container = "kubernetes"
    elif host.read("/.dockerenv") is not None:
        container = "docker"
    elif host.read("/run/.containerenv") is not None:
        container = "podman"
    services = (name for variable, name in SERVICES.items() if variable in host.environ)
    return Platform(
        system=system,
        version=version or None,
        container=container,
        wsl="microsoft" in (host.read("/proc/version") or "").lower(),
        service=next(services, None),
    )
