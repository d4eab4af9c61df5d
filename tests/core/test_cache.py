"""What is kept: found where nothing may be written, and cleared of what killed runs left."""

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.core.cache import cache_folder, replacing
from labkit.core.errors import LabError

HOST = platform.node()
STRAY = (
    ".part", "..part", ".x.part", ".a.b.part", ".a.b.c.part", ".a.b.c.d.part", ".a.b.c.d.e.part",
    f".x.{HOST}.nobody.1.part", f".x.{HOST}.1.part", f".x.{HOST}.{10**30}.1.part",
    f".x.{HOST}.-1.1.part", f".x.{HOST}.².1.part",
)  # fmt: skip
"""Names that are nobody's of ours, or nearly ours."""


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere; the user nobody may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def write(path: Path) -> None:
    with replacing(path, 3) as part:
        part.write_text("new")


@pytest.mark.parametrize("name", STRAY)
def test_a_stray_file_is_left_alone_and_in_nobodys_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody's")
    os.utime(tmp_path / name, (0, 0))
    write(tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "new"
    mine = name == f".x.{HOST}.{10**30}.1.part"  # as ours are called, and no run has that number
    assert (tmp_path / name).exists() is not mine


def test_what_a_killed_run_left_goes(tmp_path: Path) -> None:
    dead, alive = f".x.{HOST}.{2**22 + 1}.1.part", f".y.z.{HOST}.{os.getpid()}.1.part"
    elsewhere, older = ".x.host.1.1.part", ".x.host.2.1.part"
    for name in (dead, alive, elsewhere, older):
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / older, (0, time.time() - 100_000))
    write(tmp_path / "out.txt")
    assert {path.name for path in tmp_path.iterdir()} == {alive, elsewhere, "out.txt"}


def test_leftovers_of_somebody_else_are_in_nobodys_way() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o1777)  # as /tmp: only who owns a file may remove it
        left = folder / f".x.{HOST}.{2**22 + 1}.1.part"
        left.write_text("half")
        with as_nobody():
            write(folder / "out.txt")
        assert (folder / "out.txt").read_text() == "new"


def test_a_cache_that_may_only_be_read_gives_what_it_holds(monkeypatch) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "gguf").mkdir()
        folder.chmod(0o555)
        (folder / "gguf").chmod(0o555)
        monkeypatch.setenv("LABKIT_CACHE", place)
        with as_nobody():
            assert cache_folder() == folder
            with pytest.raises(LabError, match="cannot be written: Permission denied"):
                write(cache_folder() / "gguf" / "new.txt")
            with pytest.raises(LabError, match="LABKIT_CACHE"):
                cache_folder(write=True)
        folder.chmod(0o755)
        (folder / "gguf").chmod(0o755)
