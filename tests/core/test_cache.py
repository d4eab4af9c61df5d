"""What is kept: found where nothing may be written, and cleared of what killed runs left."""

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from users import as_nobody

from labkit import pocket
from labkit.core.cache import cache_folder, replacing
from labkit.core.errors import LabError
from labkit.gguf.files import gguf_for
from labkit.gguf.reader import inspect_gguf

HOST = platform.node()
STRAY = (
    ".part", "..part", ".x.part", ".a.b.part", ".a.b.c.part", ".a.b.c.d.part", ".a.b.c.d.e.part",
    f".x.{HOST}.nobody.1.part", f".x.{HOST}.1.part", f".x.{HOST}.{10**30}.1.part",
    f".x.{HOST}.-1.1.part", f".x.{HOST}.².1.part",
)  # fmt: skip
"""Names that are nobody's of ours, or nearly ours."""


def write(path: Path) -> None:
    with replacing(path, 3) as part:
        part.write_text("new")


@pytest.mark.parametrize("name", STRAY)
def test_a_stray_file_is_left_alone_and_in_nobodys_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody's")
    os.utime(tmp_path / name, (0, 0))
    write(tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "new"
    assert (tmp_path / name).read_text() == "somebody's"


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


def test_a_cache_that_may_only_be_read_gives_what_it_holds(monkeypatch, tmp_path) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place) / "cache", Path(place) / "qwen2.5"
        shutil.copytree(pocket.folder("qwen2.5"), model)
        monkeypatch.setenv("LABKIT_CACHE", str(folder))
        made = gguf_for(model, "Q8_0")
        for path in (Path(place), folder, folder / "gguf"):
            path.chmod(0o555)
        with as_nobody():
            assert gguf_for(model, "Q8_0") == made
            assert inspect_gguf(made).format == "Q8_0"
            with pytest.raises(LabError, match="cannot be written: Permission denied"):
                gguf_for(model, "Q4_0")
            with pytest.raises(LabError, match="LABKIT_CACHE"):
                cache_folder()
        for path in (folder / "gguf", folder, Path(place)):
            path.chmod(0o755)
