"""A limit on memory that the kernel keeps, for tests of what happens inside one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.machine import hardware
from labkit.machine.host import Host

LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Where a cgroup's limit is written, in version 2 and 1."""


@contextmanager
def make_cgroup(limit: int) -> Iterator[Path]:
    """A new cgroup of so many bytes inside the one this test runs in; skips where that cannot be.

    Usage: ``with make_cgroup(2 * 10**9) as group:``; a process joins by writing its number into
    ``cgroup.procs``.
    """
    folders = [Path(folder) for folder in hardware._cgroup_folders(Host(), "memory")]
    folder = next((one for one in folders if one.is_dir()), None)
    if folder is None:
        pytest.skip("no memory cgroup is mounted here")
    group = folder / f"labkit-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here ({error})")
    try:
        file = next((group / name for name in LIMITS if (group / name).exists()), None)
        if file is None:
            pytest.skip(f"{folder} does not hand its memory controller to new cgroups")
        file.write_text(str(limit), encoding="utf-8")
        yield group
    finally:
        group.rmdir()
