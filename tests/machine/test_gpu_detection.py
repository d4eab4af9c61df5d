"""GPUs, from texts in the formats that each maker's tool and each system writes."""

import json

import pytest
from computers import computer

from labkit.core.i18n import use_language
from labkit.core.units import GiB, MiB
from labkit.machine.gpu_detection import find_gpus

NVIDIA = (
    "0, GPU-8f1b2c3d-0000-0001, NVIDIA GeForce RTX 4090, 24564, 23030, 560.35.03\n"
    "1, GPU-1a2b3c4d-0000-0002, NVIDIA RTX A2000, 6138, 5911, 560.35.03\n"
)


def look(host, total=16 * GiB, available=9 * GiB):
    return find_gpus(host, total, available)


# --- NVIDIA


def test_nvidia_cards(tmp_path):
    first, second = look(computer(tmp_path, tools={"nvidia-smi": NVIDIA}))
    assert (first.vendor, first.name) == ("NVIDIA", "NVIDIA GeForce RTX 4090")
    assert (first.memory_total, first.memory_free) == (24564 * MiB, 23030 * MiB)
    assert (first.driver, first.backend, first.unified) == ("560.35.03", "CUDA", False)
    assert second.memory_total == 6138 * MiB


def test_wsl_keeps_the_tool_off_the_path(tmp_path):
    assert len(look(computer(tmp_path, tools={"/usr/lib/wsl/lib/nvidia-smi": NVIDIA}))) == 2


@pytest.mark.parametrize(
    "visible, names",
    [
        ("1", ["NVIDIA RTX A2000"]),
        ("1,0", ["NVIDIA RTX A2000", "NVIDIA GeForce RTX 4090"]),
        ("GPU-8f1b", ["NVIDIA GeForce RTX 4090"]),
        ("", []),
        ("-1", []),
    ],
)
def test_cards_hidden_from_this_process_do_not_count(tmp_path, visible, names):
    files = {"/sys/class/drm/card0/device/uevent": "DRIVER=nvidia\nPCI_ID=10DE:2684\n"}
    environ = {"CUDA_VISIBLE_DEVICES": visible}
    found = look(computer(tmp_path, files, {"nvidia-smi": NVIDIA}, environ))
    assert [gpu.name for gpu in found] == names


def test_memory_that_nvidia_smi_does_not_tell_is_unknown(tmp_path):
    text = "0, GPU-1, NVIDIA GB10, [N/A], [Not Supported], 580.95.05\n"
    (gpu,) = look(computer(tmp_path, tools={"nvidia-smi": text}))
    assert (gpu.memory_total, gpu.memory_free) == (None, None)
    use_language("en")
    assert gpu.words() == "NVIDIA GB10 · memory unknown · CUDA · 580.95.05"
    use_language("zh")
    assert gpu.words() == "NVIDIA GB10 · 显存未知 · CUDA · 580.95.05"
    use_language(None)


def test_a_message_in_place_of_cards_is_no_card(tmp_path):
    assert look(computer(tmp_path, tools={"nvidia-smi": "No devices were found\n"})) == ()


def test_an_nvidia_card_without_its_driver_is_seen_by_the_kernel(tmp_path):
    files = {"/sys/class/drm/card0/device/uevent": "DRIVER=nouveau\nPCI_ID=10DE:1B80\n"}
    (gpu,) = look(computer(tmp_path, files))
    assert (gpu.vendor, gpu.name, gpu.driver) == ("NVIDIA", "NVIDIA 10DE:1B80", "nouveau")
    assert (gpu.memory_total, gpu.backend) == (None, None)


# --- AMD

ROCM = {
    "card0": {
        "VRAM Total Memory (B)": "25753026560",
        "VRAM Total Used Memory (B)": "1000000000",
        "Card Series": "Radeon RX 7900 XTX",
        "Card Model": "0x744c",
    },
    "card1": {"VRAM Total Memory (B)": "N/A", "Card series": "N/A", "Device Name": "Raphael"},
    "system": {"Driver version": "6.10.5"},
}


@pytest.mark.parametrize(
    "before", ["", "WARNING: AMD GPU device(s) is/are in a low-power state.\n"]
)
def test_amd_cards(tmp_path, before):
    tools = {"rocm-smi": before + json.dumps(ROCM)}
    first, second = look(computer(tmp_path, tools=tools))
    assert (first.vendor, first.name) == ("AMD", "Radeon RX 7900 XTX")
    assert (first.memory_total, first.memory_free) == (25753026560, 24753026560)
    assert (first.driver, first.backend) == ("6.10.5", "ROCm")
    assert (second.name, second.memory_total, second.memory_free) == ("Raphael", None, None)


AMD_FILES = {
    "/sys/class/drm/card1/device/uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\n",
    "/sys/class/drm/card1/device/mem_info_vram_total": "25753026560\n",
    "/sys/class/drm/card1/device/mem_info_vram_used": "753026560\n",
    "/sys/class/drm/card1-HDMI-A-1/device/uevent": "DRIVER=amdgpu\nPCI_ID=1002:744C\n",
}


@pytest.mark.parametrize("tools", [{}, {"rocm-smi": "ERROR: no output\n"}])
def test_without_a_working_rocm_smi_the_kernel_tells_amd_memory(tmp_path, tools):
    (gpu,) = look(computer(tmp_path, AMD_FILES, tools))
    assert (gpu.vendor, gpu.name, gpu.driver) == ("AMD", "AMD 1002:744C", "amdgpu")
    assert (gpu.memory_total, gpu.memory_free, gpu.backend) == (25753026560, 25 * 10**9, None)


def test_the_kernel_may_know_an_amd_cards_name(tmp_path):
    files = AMD_FILES | {"/sys/class/drm/card1/device/product_name": "AMD Instinct MI210\n"}
    assert [gpu.name for gpu in look(computer(tmp_path, files))] == ["AMD Instinct MI210"]


def test_a_card_told_by_its_tool_is_not_counted_twice(tmp_path):
    found = look(computer(tmp_path, AMD_FILES, {"rocm-smi": json.dumps(ROCM)}))
    assert [gpu.backend for gpu in found] == ["ROCm", "ROCm"]


# --- Intel


def test_an_intel_card(tmp_path):
    device = {"device_id": 0, "device_name": "Intel(R) Arc(TM) A770 Graphics"}
    more = {
        "device_name": "Intel(R) Arc(TM) A770 Graphics",
        "driver_version": "1.6.32567",
        "memory_free_size_byte": "15868100608",
        "memory_physical_size_byte": "16225243136",
    }
    tools = {
        "xpu-smi discovery -j": json.dumps({"device_list": [device]}),
        "xpu-smi discovery -d 0 -j": json.dumps(more),
    }
    (gpu,) = look(computer(tmp_path, tools=tools))
    assert (gpu.vendor, gpu.name) == ("Intel", "Intel(R) Arc(TM) A770 Graphics")
    assert (gpu.memory_total, gpu.memory_free) == (16225243136, 15868100608)
    assert (gpu.driver, gpu.backend) == ("1.6.32567", "XPU")


def test_intel_in_the_processor_and_screens_that_do_not_compute(tmp_path):
    drm = "/sys/class/drm"
    files = {
        f"{drm}/card0/device/uevent": "DRIVER=i915\nPCI_ID=8086:A780\n",
        f"{drm}/card1/device/uevent": "DRIVER=ast\nPCI_ID=1A03:2000\n",
        f"{drm}/card2/device/uevent": "DRIVER=virtio-pci\nPCI_ID=1AF4:1050\n",
    }
    (gpu,) = look(computer(tmp_path, files))
    assert (gpu.vendor, gpu.driver, gpu.memory_total) == ("Intel", "i915", None)


# --- Apple and Intel Macs


def displays(**facts: str) -> dict[str, str]:
    entry = {"_name": "kHW_Item", "spdisplays_ndrvs": [{"_name": "Color LCD"}]} | facts
    return {"system_profiler": json.dumps({"SPDisplaysDataType": [entry]})}


APPLE = displays(
    sppci_model="Apple M1 Pro", sppci_cores="16", spdisplays_vendor="sppci_vendor_Apple"
)


@pytest.mark.parametrize(
    "ram, logged",  # what llama.cpp printed as recommendedMaxWorkingSetSize, in MiB
    [(16 * GiB, 10922.67), (32 * GiB, 21845.34), (64 * GiB, 49152.0), (96 * GiB, 73728.0)],
)
def test_apple_gpus_may_use_a_part_of_the_memory(tmp_path, ram, logged):
    host = computer(tmp_path, tools=APPLE, system="Darwin")
    (gpu,) = look(host, total=ram, available=4 * GiB)
    assert (gpu.vendor, gpu.name, gpu.backend) == ("Apple", "Apple M1 Pro", "Metal")
    assert gpu.memory_total == pytest.approx(logged * MiB, abs=0.01 * MiB)
    assert gpu.memory_free == 4 * GiB and gpu.unified


@pytest.mark.parametrize("limit, expected", [("14336", 14336 * MiB), ("0", 16 * GiB * 2 // 3)])
def test_the_owner_of_a_mac_may_set_the_part(tmp_path, limit, expected):
    tools = APPLE | {"sysctl iogpu": f"iogpu.wired_limit_mb: {limit}\n"}
    (gpu,) = look(computer(tmp_path, tools=tools, system="Darwin"), available=15 * GiB)
    assert (gpu.memory_total, gpu.memory_free) == (expected, expected)


def test_an_intel_mac_has_memory_of_its_own(tmp_path):
    tools = displays(
        sppci_model="AMD Radeon Pro 5500M",
        spdisplays_vendor="sppci_vendor_amd",
        spdisplays_vram="8 GB",
    )
    (gpu,) = look(computer(tmp_path, tools=tools, system="Darwin"))
    assert (gpu.vendor, gpu.memory_total, gpu.memory_free) == ("AMD", 8 * GiB, None)
    assert not gpu.unified


def test_a_mac_without_a_screen_report_has_no_gpu(tmp_path):
    assert look(computer(tmp_path, system="Darwin")) == ()


# --- Windows


def test_windows_names_cards_and_their_memory_stays_unknown(tmp_path):
    radeon = {
        "Name": "AMD Radeon RX 6800",
        "DriverVersion": "31.0.24033.1003",
        "PNPDeviceID": "PCI\\VEN_1002&DEV_73BF&SUBSYS_04381043&REV_C3\\6&1",
    }
    remote = {
        "Name": "Microsoft Remote Display Adapter",
        "PNPDeviceID": "SWD\\REMOTE",
        "Driver": "",
    }
    for text in (json.dumps(radeon), json.dumps([remote, radeon])):
        (gpu,) = look(computer(tmp_path, tools={"powershell": text}, system="Windows"))
        assert (gpu.vendor, gpu.name, gpu.memory_total) == ("AMD", "AMD Radeon RX 6800", None)


def test_no_tool_and_no_kernel_list_is_no_gpu(tmp_path):
    assert look(computer(tmp_path)) == ()
    assert look(computer(tmp_path, system="FreeBSD")) == ()
