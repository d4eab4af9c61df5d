"""Every file that would run code is found, by whatever name, and nothing is run in looking."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

import labkit as lab
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.hub.resolver import locate
from labkit.hub.unsafe_files import list_imports, scan_files


class Bomb:
    """Unpickled, it makes a folder: proof that it ran."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(locate("pocket/qwen2.5").path, tmp_path / "model"))


def unsafe(folder: Path) -> dict[str, tuple[str, ...]]:
    return {f.name: f.calls for f in scan_files(folder).findings if not f.is_safe}


def test_the_pocket_models_run_nothing(folder):
    found = scan_files(folder)
    assert found.is_safe and len(found.findings) == len(list(folder.iterdir()))
    assert [f.kind for f in found.findings if f.name.endswith(".safetensors")] == ["safetensors"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pkl", "deep/er.pt"])
def test_a_pickle_of_any_protocol_is_found_and_not_run(folder, tmp_path, protocol, name):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol))
    (calls,) = unsafe(folder).values()
    assert calls == (f"{os.mkdir.__module__}.mkdir",)
    assert not (tmp_path / "ran").exists()
    pickle.loads(path.read_bytes())  # it was a live one
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("old_form", [False, True])
def test_pytorchs_own_files_are_looked_into(folder, tmp_path, old_form):
    saved = {"weight": torch.zeros(2), "evil": Bomb(tmp_path / "ran")}
    torch.save(saved, folder / "model.pt", _use_new_zipfile_serialization=not old_form)
    (calls,) = unsafe(folder).values()
    assert any(call.endswith("mkdir") for call in calls) or old_form
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md", "model.gguf"])
def test_a_pickle_under_a_harmless_name_is_found(folder, tmp_path, name):
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert list(unsafe(folder)) == [name]


def test_code_links_archives_and_broken_files_are_unsafe(folder):
    (folder / "modeling_evil.py").write_text("print(1)")
    (folder / "library.so").write_bytes(b"\x7fELF\0\0")
    (folder / "link.json").symlink_to("/etc/hostname")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    assert unsafe(folder) == {
        "config.json": ("modeling_evil.Evil",), "library.so": (), "link.json": (),
        "model.safetensors": (), "modeling_evil.py": (), "more.zip": (),
    }  # fmt: skip


def test_a_pickle_that_hides_its_names_is_told_as_unknown():
    hidden = b"\x80\x04\x8c\x02os\x94h\x00\x8c\x06system\x94h\x01\x93."  # by memo, not by push
    assert list_imports(hidden) == ("os.system",)
    assert list_imports(b"\x80\x04\x93.") == ("?",)
    with pytest.raises(ValueError):
        list_imports(b"no pickle")


def test_what_is_found_unsafe_labkit_does_not_load(folder, tmp_path):
    weights = folder / "model.safetensors"
    weights.unlink()
    torch.save({"evil": Bomb(tmp_path / "ran")}, folder / "pytorch_model.bin")
    for engine in ("transformers", "llama.cpp"):
        with pytest.raises(LabError, match="safetensors"):
            lab.load(folder, engine).model.eval()
    weights.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(LabError):
        lab.load(folder).model.eval()
    assert not (tmp_path / "ran").exists()


def test_the_table_begins_with_what_to_refuse(folder):
    (folder / "zz.pkl").write_bytes(pickle.dumps(print))
    assert str(scan_files(folder)).splitlines()[1].startswith("zz.pkl")
    assert "calls builtins.print" in str(scan_files(folder))
    use_language("zh")
    assert "会调用 builtins.print" in str(scan_files(folder))
    with pytest.raises(LabError, match="nowhere"):
        scan_files("nowhere")
