"""What memory a model may use: typed by a person, or found on a machine."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.core.units import GiB
from labkit.machine.gpu_detection import GPU
from labkit.machine.hardware import CPU, Disk, Hardware, Memory, Platform
from labkit.picker.available_memory import AvailableMemory, find_memory, type_memory

GPU_24 = GPU("NVIDIA", "RTX 4090", 24 * GiB, 22 * GiB, "570", "CUDA")


def machine(*gpus: GPU, available: int = 10 * GiB) -> Hardware:
    disk = Disk("/", 100 * GiB, 50 * GiB)
    return Hardware(
        CPU("A processor", "x86_64", 4, 8, 8, ()),
        Memory(16 * GiB, available, None),
        gpus,
        disk,
        disk,
        Platform("Linux", None, None, False, None),
        "3.11",
    )


@settings(deadline=None)
@given(st.floats(0.5, 1000), st.floats(3, 1000))
def test_less_is_used_than_is_written_on_the_box(vram: float, ram: float):
    budget = type_memory(vram, ram)
    assert 0 <= budget.vram < vram * GiB and 0 <= (budget.ram or 0) < ram * GiB
    assert type_memory(vram + 1, ram).vram > budget.vram


def test_a_card_alone_leaves_ram_out_and_a_computer_alone_has_no_gpu():
    assert type_memory(8, None).ram is None
    assert type_memory(None, 16) == AvailableMemory("16 GB of RAM", 0, 12 * GiB)
    assert type_memory(0, 16).vram == 0


@pytest.mark.parametrize("vram, ram", [(None, None), (0, None), (0, 0), (None, 0)])
def test_no_memory_is_an_error(vram, ram):
    with pytest.raises(LabError, match="no memory to run a model"):
        type_memory(vram, ram)


@pytest.mark.parametrize("size", [-1, float("nan"), float("inf"), 8 * GiB, "8", True])
def test_absurd_sizes_are_named(size):
    with pytest.raises(LabError, match="vram is .* no size in GB. Write it in GB"):
        type_memory(size, None)


def test_of_a_machine_only_what_is_free_counts():
    assert find_memory(machine()).ram == 9 * GiB
    budget = find_memory(machine(GPU_24))
    assert (budget.vram, budget.gpus, budget.gpu) == (22 * GiB - GiB // 2, 1, "RTX 4090")


def test_several_gpus_count_as_the_fullest_of_them():
    budget = find_memory(machine(GPU_24, replace(GPU_24, memory_free=20 * GiB)))
    assert (budget.vram, budget.gpus) == (20 * GiB - GiB // 2, 2)
    assert budget.total == 2 * budget.vram + 9 * GiB


def test_a_gpu_that_reports_nothing_is_not_counted_and_is_named():
    budget = find_memory(machine(GPU("Intel", "Arc", None, None, None, None)))
    assert (budget.vram, budget.gpus) == (0, 0)
    assert "Arc reports no memory" in budget.notes[0]


def test_memory_shared_with_the_gpu_is_not_counted_twice():
    apple = GPU("Apple", "Apple M3 Pro", 27 * GiB, 14 * GiB, None, "Metal", unified=True)
    budget = find_memory(machine(apple))
    assert budget.unified and budget.ram is None
    assert budget.total == 9 * GiB  # what is free of the RAM, less than what the GPU may take
