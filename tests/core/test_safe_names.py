"""A name from elsewhere means one file below the folder meant, or is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.core.safe_names import is_digest, is_safe_name, path_below

UNSAFE = (
    "", ".", "..", "../x", "a/../x", "/x", "//host/x", "a//b", "a/", "./x", "a/./x", "~/\0", "C:",
    "C:x", "C:/x", "file.txt:stream", "\\\\host\\share\\x", "..\\x", "a\\b", "x\0.json", "x\n.json",
    "x.", "x ", "dir./x", "dir /x", "CON", "con.json", "Nul.tar.gz", "a/AUX/b", "COM1", "lpt9.txt",
    "COM\u00b9.txt", "CONIN$", "NUL .txt", "a*b", "a?b", "a<b", "a|b", 'a"b', "x" * 256,
    "\u4f60" * 86, "\ud800", None, 7, b"x", ["x"],
)  # fmt: skip
SAFE = (
    "config.json", "onnx/model.onnx", "model-00001-of-00002.safetensors", "a/b/c.txt", "你好.json",
    "console.json", "auxiliary/com10.txt", "..x", "x..y", "a b.txt", ".gitattributes", "x" * 255,
)  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE, ids=repr)
def test_an_unsafe_name_is_refused(tmp_path: Path, name: object) -> None:
    assert not is_safe_name(name)
    with pytest.raises(LabError, match="is not the name of a file below"):
        path_below(tmp_path, name)


@pytest.mark.parametrize("name", SAFE)
def test_a_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    assert is_safe_name(name) and path_below(tmp_path, name) == tmp_path / name


@given(st.text(max_size=60))
def test_what_is_taken_lies_below_the_folder(name: str) -> None:
    if is_safe_name(name):
        inside = os.path.normpath(f"/folder/{name}")
        assert inside == f"/folder/{name}" and inside.startswith("/folder/")


def test_a_link_that_leads_out_of_the_folder_is_no_way(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "out").symlink_to(tmp_path)
    with pytest.raises(LabError):
        path_below(tmp_path / "home", "out/x.json")
    (tmp_path / "link").symlink_to(tmp_path / "home")  # the folder itself may be one
    assert path_below(tmp_path / "link", "x.json") == tmp_path / "link" / "x.json"


def test_a_digest_is_hexadecimal_and_of_the_right_length() -> None:
    assert is_digest("0a" * 32, 64) and is_digest("f" * 40, 64, 40)
    for wrong in ("f" * 39, "F" * 40, "\u0660" * 40, "../" + "f" * 37, "f" * 40 + "\n", None, 7):
        assert not is_digest(wrong, 40, 64)
