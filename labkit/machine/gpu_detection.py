"""The GPUs of this computer and their memory, asked of each maker's own tool."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.i18n import t
from ..core.units import GiB, MiB, read_bytes, show_bytes
from .host import Host, entry

PCI_VENDORS = {"10DE": "NVIDIA", "1002": "AMD", "8086": "Intel"}
"""PCI vendor id to maker; other display adapters (virtual ones, server consoles) do not compute."""


@dataclass(frozen=True)
class GPU:
    """One GPU. Memory in bytes; None means that nothing reported it.

    backend: what computes on it and is installed: CUDA, ROCm, XPU or Metal.
    unified: it shares the computer's RAM; its memory is then part of that, not added to it.
    """

    vendor: str
    name: str | None
    memory_total: int | None
    memory_free: int | None
    driver: str | None
    backend: str | None
    unified: bool = False

    def words(self) -> str:
        """One line for a reader."""
        if self.memory_total is None:
            memory = t("memory unknown", "显存未知")
        else:
            total = show_bytes(self.memory_total)
            free = None if self.memory_free is None else show_bytes(self.memory_free)
            memory = t(f"{free or 'unknown'} free of {total}", f"剩余 {free or '未知'}，共 {total}")
        unified = t("shared with RAM", "与内存共用") if self.unified else ""
        name = self.name or t(f"{self.vendor} (name unknown)", f"{self.vendor}（型号未知）")
        return " · ".join(filter(None, (name, memory, unified, self.backend, self.driver)))


def find_gpus(host: Host, memory_total: int, memory_available: int) -> tuple[GPU, ...]:
    """Every GPU that a tool or the kernel reports.

    Usage: ``find_gpus(Host(), 16 * GiB, 9 * GiB)``

    memory_total, memory_available: RAM in bytes, of which an Apple GPU may use a part.
    A maker's tool knows more than the kernel; where it is missing the kernel's list is used.
    """
    if host.system == "Darwin":
        return tuple(_apple(host, memory_total, memory_available))
    told = {"NVIDIA": _nvidia(host), "AMD": _amd(host), "Intel": _intel(host)}
    kernel = _windows(host) if host.system == "Windows" else _linux(host)
    gpus = [gpu for found in told.values() for gpu in found or ()]
    return tuple([*gpus, *(gpu for gpu in kernel if told.get(gpu.vendor) is None)])


def _int(text: object, unit: int = 1) -> int | None:
    """A size a tool printed; None for "[N/A]", "unknown" and the like."""
    digits = str(text).strip()
    return int(digits) * unit if digits.isdigit() else None


def _json(text: str | None) -> Any:
    """What a tool printed as JSON, past the warnings some print first; None if it did not."""
    start = min((at for at in map((text or "").find, "{[") if at >= 0), default=None)
    try:
        return None if start is None else json.loads((text or "")[start:])
    except ValueError:
        return None


def _nvidia(host: Host) -> list[GPU] | None:
    """nvidia-smi lists every card; CUDA_VISIBLE_DEVICES says which of them this process gets."""
    query = ("--query-gpu=index,uuid,name,memory.total,memory.free,driver_version",)
    form = ("--format=csv,noheader,nounits",)
    text = host.run("nvidia-smi", *query, *form)
    if text is None:  # WSL keeps it off the PATH of services
        text = host.run("/usr/lib/wsl/lib/nvidia-smi", *query, *form)
    if text is None:
        return None
    cards = {}
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == 6:  # anything else is a message such as "No devices were found"
            index, uuid, name, total, free, driver = row
            gpu = GPU(
                vendor="NVIDIA",
                name=name,
                memory_total=_int(total, MiB),
                memory_free=_int(free, MiB),
                driver=driver,
                backend="CUDA",
            )
            cards[index, uuid] = gpu
    wanted = host.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(cards.values())
    keys = [key.strip() for key in wanted.split(",") if key.strip()]
    return [
        gpu
        for key in keys
        for (index, uuid), gpu in cards.items()
        if key == index or (key.startswith("GPU-") and uuid.startswith(key))
    ]


def _amd(host: Host) -> list[GPU] | None:
    """rocm-smi; the spelling of its keys changes between versions in upper and lower case."""
    options = ("--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json")
    cards = _json(host.run("rocm-smi", *options))
    if not isinstance(cards, dict):
        return None
    driver = cards.get("system", {}).get("Driver version")
    gpus = []
    for card, facts in cards.items():
        if not card.startswith("card"):
            continue
        known = {key.lower(): value for key, value in facts.items() if value not in ("", "N/A")}
        name = known.get("card series") or known.get("device name") or known.get("card model")
        total = _int(known.get("vram total memory (b)"))
        used = _int(known.get("vram total used memory (b)"))
        free = None if total is None or used is None else total - used
        gpus.append(
            GPU(
                vendor="AMD",
                name=name,
                memory_total=total,
                memory_free=free,
                driver=driver,
                backend="ROCm",
            )
        )
    return gpus


def _intel(host: Host) -> list[GPU] | None:
    """xpu-smi names the devices first and tells their memory one by one."""
    found = _json(host.run("xpu-smi", "discovery", "-j"))
    if not isinstance(found, dict):
        return None
    gpus = []
    for device in found.get("device_list", []):
        more = _json(host.run("xpu-smi", "discovery", "-d", str(device.get("device_id")), "-j"))
        facts = device | (more if isinstance(more, dict) else {})
        total = _int(facts.get("memory_physical_size_byte"))
        free = _int(facts.get("memory_free_size_byte"))
        driver = facts.get("driver_version")
        gpus.append(
            GPU(
                vendor="Intel",
                name=facts.get("device_name"),
                memory_total=total,
                memory_free=free,
                driver=driver,
                backend="XPU",
            )
        )
    return gpus


def _linux(host: Host) -> Iterator[GPU]:
    """The kernel's list, /sys/class/drm; only amdgpu tells its memory there."""
    for folder in sorted((host.root / "sys/class/drm").glob("card[0-9]*/device")):
        device = f"/{folder.relative_to(host.root).as_posix()}"
        facts = host.read(f"{device}/uevent")
        pci = (entry(facts, "PCI_ID", separator="=") or "").upper()
        if "-" in folder.parent.name or pci[:4] not in PCI_VENDORS:
            continue  # card0-HDMI-A-1 is a socket of card0
        vendor = PCI_VENDORS[pci[:4]]
        name = (host.read(f"{device}/product_name") or "").strip() or f"{vendor} {pci}"
        total = _int(host.read(f"{device}/mem_info_vram_total"))
        used = _int(host.read(f"{device}/mem_info_vram_used"))
        free = None if total is None or used is None else total - used
        yield GPU(
            vendor=vendor,
            name=name,
            memory_total=total,
            memory_free=free,
            driver=entry(facts, "DRIVER", separator="="),
            backend=None,
        )


def _windows(host: Host) -> Iterator[GPU]:
    """Windows' list. Its AdapterRAM is 32 bits wide and wrong from 4 GiB on, so it is not used."""
    command = (
        "Get-CimInstance Win32_VideoController | "
        "Select-Object Name,DriverVersion,PNPDeviceID | ConvertTo-Json"
    )
    found = _json(host.run("powershell", "-NoProfile", "-Command", command))
    for facts in found if isinstance(found, list) else [found] if found else []:
        identity = (facts.get("PNPDeviceID") or "").upper()
        vendor = PCI_VENDORS.get(identity.partition("VEN_")[2][:4])
        if vendor:
            yield GPU(
                vendor=vendor,
                name=facts.get("Name"),
                memory_total=None,
                memory_free=None,
                driver=facts.get("DriverVersion"),
                backend=None,
            )


def _apple(host: Host, memory_total: int, memory_available: int) -> Iterator[GPU]:
    """macOS: Apple's own GPUs share the RAM, those of Intel Macs have their own.

    Metal lets a GPU use a part of the RAM, MTLDevice.recommendedMaxWorkingSetSize, which no
    command prints. ``sysctl iogpu.wired_limit_mb`` holds what the owner set, 0 for the default.
    The default in llama.cpp's logs: 10922.67 MiB on 16 GiB (llama-cpp-python issue 687) and
    21845.34 MiB on 32 GiB (llama.cpp pull request 2011), two thirds; 49152 MiB on 64 GiB (issue
    1870) and 73728 MiB on 96 GiB (issue 3213), three quarters. Newer systems may allow more.
    """
    found = _json(host.run("system_profiler", "SPDisplaysDataType", "-json"))
    for facts in (found or {}).get("SPDisplaysDataType", []):
        name = facts.get("sppci_model") or facts.get("_name")
        maker = f"{facts.get('spdisplays_vendor', '')} {name}".lower()
        if "apple" in maker:
            set_by_owner = _int(
                entry(host.run("sysctl", "iogpu.wired_limit_mb"), "iogpu.wired_limit_mb"), MiB
            )
            share = (2, 3) if memory_total <= 32 * GiB else (3, 4)
            total = set_by_owner or memory_total * share[0] // share[1]
            free = min(total, memory_available)
            yield GPU(
                vendor="Apple",
                name=name,
                memory_total=total,
                memory_free=free,
                driver=None,
                backend="Metal",
                unified=True,
            )
            continue
        vendor = next((v for v in PCI_VENDORS.values() if v.lower() in maker), "unknown")
        vram = facts.get("spdisplays_vram") or facts.get("_spdisplays_vram")  # "8 GB", meaning GiB
        size = read_bytes(vram.replace("GB", "GiB").replace("MB", "MiB")) if vram else None
        yield GPU(
            vendor=vendor,
            name=name,
            memory_total=size,
            memory_free=None,
            driver=None,
            backend="Metal",
        )
