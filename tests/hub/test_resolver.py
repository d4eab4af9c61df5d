"""From a name to a place: every kind of name, and what is said when there is none."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import pocket
from labkit.architecture import config_file
from labkit.cli.entry import run
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.estimation.memory import estimate
from labkit.hub import huggingface, resolver
from labkit.quantization.versions import quantize


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


# --- one resolver for all: what estimate reads is what loading reads


@pytest.fixture
def edited_pocket(tmp_path, monkeypatch) -> Path:
    """A Yi of 40 layers in place of the package's, by LABKIT_POCKET."""
    folder = shutil.copytree(pocket.folder("yi"), tmp_path / "yi")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 40}))
    monkeypatch.setenv("LABKIT_POCKET", str(tmp_path))
    return folder


def test_estimate_reads_the_pocket_model_that_loading_reads(edited_pocket):
    assert resolver.locate("pocket/yi").config["num_hidden_layers"] == 40
    assert len(resolver.resolve("pocket/yi").architecture.layers) == 40
    assert estimate("pocket/yi").n_layers == 41  # and the output layer


@pytest.fixture
def gguf(tmp_path) -> Path:
    return shutil.copy(resolver.locate("pocket/llama3").gguf(), tmp_path / "model-Q4_K_M.gguf")


def test_a_gguf_file_of_a_repository_is_estimated_from_the_file_itself(offline_hub, gguf):
    snapshot = cached(offline_hub, "someone/Small-GGUF", "README.md")
    shutil.copy(gguf, snapshot / "small-Q4_K_M.gguf")
    found = estimate("someone/Small-GGUF:Q4_K_M", context=512)
    assert found.file_size == gguf.stat().st_size
    assert resolver.locate("someone/Small-GGUF:Q4_K_M").path == snapshot / "small-Q4_K_M.gguf"


def test_a_format_behind_a_name_of_the_catalogue_is_the_one_estimated(offline_hub):
    named = estimate("Qwen/Qwen2.5-7B-Instruct-GGUF:Q5_K_M", context=4096)
    assert (named.quant, named.engine) == ("Q5_K_M", "llama.cpp")
    assert named.total == estimate("Qwen2.5-7B", quant="Q5_K_M", context=4096).total


def test_what_is_neither_here_nor_known_is_not_fetched_for_an_estimate(offline_hub):
    with pytest.raises(LabError, match="is known once its file is here") as error:
        estimate("someone/Unknown-GGUF:Q4_K_M")
    assert "lab.load('someone/Unknown-GGUF:Q4_K_M')" in error.value.way_out
    with pytest.raises(LabError, match="the Hub cannot be reached"):
        estimate("someone/Unknown-1B")
    snapshot = cached(offline_hub, "someone/Unknown-1B")
    config = pocket.folder("llama3") / "config.json"
    shutil.copy(config, snapshot / "config.json")
    assert estimate("someone/Unknown-1B").n_layers == estimate("pocket/llama3").n_layers


def test_a_folder_that_bears_a_catalogue_name_is_taken_and_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pocket.folder("llama3"), "Qwen2.5-7B")
    place = resolver.locate("Qwen2.5-7B")
    assert place.path == Path("Qwen2.5-7B") and "the path was taken" in place.note
    assert estimate("Qwen2.5-7B").total == estimate(place.path).total
    assert place.note in estimate("Qwen2.5-7B").warnings
    assert estimate("./Qwen2.5-7B").warnings == ()  # this can mean nothing else


def test_a_folder_with_one_gguf_file_and_no_config_is_that_file(tmp_path, gguf):
    assert resolver.locate(tmp_path).path == gguf
    assert estimate(tmp_path).file_size == gguf.stat().st_size
    shutil.copy(gguf, tmp_path / "second.gguf")
    with pytest.raises(LabError, match=r"no config.json and 2 .gguf files") as error:
        resolver.locate(tmp_path)
    assert "model-Q4_K_M.gguf, second.gguf" in error.value.way_out
    shutil.copy(pocket.folder("llama3") / "config.json", tmp_path)
    assert resolver.locate(tmp_path).kind == "folder"


def test_a_configuration_is_estimated_and_cannot_be_loaded(tmp_path):
    file = Path(shutil.copy(pocket.folder("yi") / "config.json", tmp_path / "yi.json"))
    assert estimate(file).total == estimate("pocket/yi").total
    with pytest.raises(LabError, match="has no weights"):
        resolver.locate(file)


@pytest.mark.parametrize("text", ['{"model_type": ', "[]", "null", "\xff"])
def test_a_broken_config_is_the_same_sentence_from_every_command(tmp_path, text, capsys):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    said = set()
    for command in (
        ["estimate"], ["chat", "Hi"], ["quantize", "--to", "Q4_0"], ["quantize", "--to", "nf4"],
        ["finetune", "--task", "clinic"], ["serve"],
        ["export", "--to", "ollama", "-o", str(tmp_path / "out")],
        ["export", "--to", "axolotl", "--task", "clinic", "-o", str(tmp_path / "out")],
    ):  # fmt: skip
        name, *rest = command
        assert run([name, str(tmp_path), *rest]) == 1, command
        said.add(capsys.readouterr().err)
    (only,) = said
    assert f"'{tmp_path / 'config.json'}' is no valid configuration" in only
    assert len(only.strip().splitlines()) == 2


def test_quantizing_reads_the_config_once(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(pocket.folder("llama3"), tmp_path / "model")
    seen = []
    loads = json.loads

    def count(text, **options):
        found = loads(text, **options)
        if isinstance(found, dict) and "num_hidden_layers" in found:
            seen.append(found)
        return found

    monkeypatch.setattr(config_file.json, "loads", count)
    quantize(folder, ["F16", "Q8_0", "Q4_0", "Q2_K"])
    assert len(seen) == 1
