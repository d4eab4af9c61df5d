"""From a name to a place: every kind of name, and what is said when there is none."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import pocket
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.hub import huggingface, resolver


@pytest.fixture
def offline_hub(tmp_path, monkeypatch) -> Path:
    """The Hub's own cache, empty, and the network off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(cache: Path, repository: str, *files: str) -> Path:
    """A repository in the Hub's cache, laid out as huggingface_hub does."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


@pytest.mark.parametrize("name", pocket.NAMES)
def test_every_pocket_model_is_found_and_says_what_it_is(name):
    place = resolver.locate(f"pocket/{name}")
    assert place.path == pocket.folder(name) and place.kind == "folder"
    assert place.is_pocket and f"pocket/{name} is a pocket model" in place.note
    use_language("zh")
    assert "口袋模型" in place.note


def test_a_folder_a_path_and_a_gguf_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    assert resolver.locate(tmp_path) == resolver.Location(str(tmp_path), tmp_path, "folder")
    assert resolver.locate(str(gguf)).kind == "gguf"
    assert not resolver.locate(gguf).is_pocket and resolver.locate(gguf).note == ""


def test_what_the_cache_holds_is_used_with_the_network_off(offline_hub):
    snapshot = cached(offline_hub, "Qwen/Qwen2.5-0.5B-Instruct", "config.json")
    assert resolver.locate("Qwen/Qwen2.5-0.5B-Instruct").path == snapshot
    snapshot = cached(offline_hub, "Qwen/Qwen2.5-7B", "config.json")
    assert resolver.locate("qwen2.5-7b").path == snapshot  # a catalogue name


@pytest.mark.parametrize(
    ("name", "what", "way_out"),
    [
        ("pocket/qwen2", "no pocket model 'pocket/qwen2'", "'pocket/qwen2.5'"),
        ("qwen2.5", "'qwen2.5' is not known", "'pocket/qwen2.5'"),
        ("Qwen2.5-7", "'Qwen2.5-7' is not known", "'Qwen2.5-7B'"),
        ("zzzz", "'zzzz' is not known", "labkit models"),
        ("", "'' is not a model", "config.json"),
        ("Qwen/Qwen2.5-7B", "the Hub cannot be reached", "pocket/qwen2.5"),
        ("a--b/c", "The Hub has no model 'a--b/c'", "spelling"),
        ("./nowhere", "'./nowhere' is not a model", "config.json"),
        ("/nowhere/model.gguf", "no file '/nowhere/model.gguf'", "path"),
        ("~nobody/model", "'~nobody/model' is not a model", "config.json"),
    ],
)
def test_an_unknown_name_is_one_sentence_and_a_way_out(offline_hub, name, what, way_out):
    with pytest.raises(LabError) as error:
        resolver.locate(name)
    assert what in error.value.what and way_out in error.value.way_out


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(LabError, match="has no config.json"):
        resolver.locate(tmp_path)
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(LabError, match="is not a model"):
        resolver.locate(tmp_path / "file.bin")


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5650080\n"


def test_a_pointer_of_git_lfs_is_not_taken_for_a_file(tmp_path):
    folder = shutil.copytree(pocket.folder("qwen2.5"), tmp_path / "cloned")
    (folder / "model.safetensors").write_text(POINTER, "utf-8")
    (tmp_path / "model.gguf").write_text(POINTER, "utf-8")
    for path in (folder, tmp_path / "model.gguf"):
        with pytest.raises(LabError, match="only git's pointer") as error:
            resolver.locate(path)
        assert "git lfs pull" in error.value.way_out


def test_only_safe_files_are_fetched():
    fetched = [
        p for p in huggingface.DOWNLOADED if p.endswith((".py", ".bin", ".pt", ".pth", ".pkl", "*"))
    ]
    assert not fetched


@given(st.text() | st.text("abc/.~-_\\0", min_size=200, max_size=600))
def test_any_name_is_found_or_refused_in_words(name):
    if resolver._HUB_ID.fullmatch(name):  # asks the Hub
        return
    with pytest.raises(LabError) as error:
        resolver.locate(name)
    assert error.value.what and error.value.way_out
