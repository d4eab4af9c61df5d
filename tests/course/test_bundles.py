"""A class on a stick: written, verified, restored, and used without a network."""

import shutil
import subprocess

import pytest

from labkit import pocket
from labkit.core.errors import LabError
from labkit.course.bundles import installed_versions, make_bundle, restore_bundle, verify_bundle
from labkit.gguf.files import gguf_for
from labkit.hub import resolver
from labkit.hub.mirror_server import serve_mirror

NAME, GGUF = "our-lab/pocket-qwen", "our-lab/pocket-qwen-GGUF"


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A teacher's computer with a Hub in reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    files = tmp_path / "ggufs"
    files.mkdir()
    shutil.copy(gguf_for(pocket.folder("qwen2.5"), "Q8_0"), files / "pocket-qwen-q8_0.gguf")
    with serve_mirror({NAME: pocket.folder("qwen2.5"), GGUF: files}) as mirror:
        monkeypatch.setenv("HF_ENDPOINT", mirror.url)
        yield tmp_path


@pytest.fixture
def stick(teacher):
    return make_bundle(teacher / "stick", [NAME, f"{GGUF}:Q8_0"], lessons=False)


def test_a_bundle_is_whole_and_plain_tools_can_check_it(stick):
    assert stick.models == (NAME, GGUF)
    assert verify_bundle(stick.folder) == stick
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=stick.folder, check=True)
    listed = (stick.folder / "wheels" / "requirements.txt").read_text()
    assert "transformers==" in listed and "+cpu" not in listed


def test_all_parts_of_a_split_gguf_come_along(teacher):
    for part in (1, 2):
        shutil.copy(
            gguf_for(pocket.folder("qwen2.5"), "Q8_0"),
            teacher / "ggufs" / f"pocket-qwen-q4_k_m-0000{part}-of-00002.gguf",
        )
    made = make_bundle(teacher / "stick", [f"{GGUF}:Q4_K_M"], lessons=False)
    parts = sorted(path.name for path in (made.folder / "models" / GGUF).iterdir())
    assert parts == [f"pocket-qwen-q4_k_m-0000{part}-of-00002.gguf" for part in (1, 2)]


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_harm_is_found_and_nothing_is_restored(stick, teacher, harm):
    file = stick.folder / "models" / NAME / "config.json"
    if harm == "changed":
        file.write_text(file.read_text().replace("2", "3", 1))
    elif harm == "missing":
        file.unlink()
    else:
        file = file.with_name("modeling.py")
        file.write_text("raise SystemExit")
    shutil.rmtree(teacher / "hub")
    with pytest.raises(LabError, match=f"models/{NAME}/{file.name}"):
        restore_bundle(stick.folder)
    assert not (teacher / "hub").exists()


def test_restored_models_are_found_by_name_without_bundle_or_network(stick, teacher, monkeypatch):
    from huggingface_hub import constants, snapshot_download

    shutil.rmtree(teacher / "hub")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    restore_bundle(stick.folder)
    place = resolver.locate(NAME)
    assert place.path.is_relative_to(teacher / "hub")
    assert snapshot_download(NAME, local_files_only=True) == str(place.path)
    assert resolver.locate(f"{GGUF}:Q8_0").path.name == "pocket-qwen-q8_0.gguf"
    restore_bundle(stick.folder)  # a second time changes nothing
    assert resolver.locate(NAME) == place


def test_a_bundle_is_used_in_place(stick, teacher, monkeypatch):
    shutil.rmtree(teacher / "hub")
    monkeypatch.setenv("LABKIT_BUNDLE", str(stick.folder))
    assert resolver.locate(NAME).path == stick.folder / "models" / NAME
    assert not (teacher / "hub").exists()


def test_lessons_come_along_and_a_learners_work_is_kept(teacher):
    bundle = make_bundle(teacher / "stick")
    assert (bundle.folder / "lessons" / "zh" / "00_start-here.ipynb").is_file()
    mine = teacher / "work" / "en" / "00_start-here.ipynb"
    mine.parent.mkdir(parents=True)
    mine.write_text("my answers")
    restore_bundle(bundle.folder, lessons=teacher / "work")
    assert mine.read_text() == "my answers"
    assert (teacher / "work" / "zh" / "00_start-here.ipynb").is_file()


def test_what_does_not_belong_into_a_bundle_is_said(teacher):
    with pytest.raises(LabError, match="'pocket/qwen2.5' does not belong") as error:
        make_bundle(teacher / "stick", ["pocket/qwen2.5"])
    assert "OWNER/NAME" in error.value.way_out
    with pytest.raises(LabError, match="is not a bundle"):
        verify_bundle(teacher)


def test_versions_follow_requirements():
    found = installed_versions("open-llm-family-lab[models]")
    assert {"torch", "transformers", "numpy"} <= set(found)
    assert "open-llm-family-lab" not in found and "ruff" not in found
