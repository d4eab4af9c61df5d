"""GGUF files: formats, the cache, and what must not be left behind when something goes wrong."""

import json
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from users import as_nobody

from labkit import pocket
from labkit.core.errors import LabError
from labkit.gguf.files import (
    FORMATS,
    gguf_for,
    inspect_gguf,
    quantize_gguf,
    quantized_size,
    read_format,
    write_gguf,
)
from labkit.gguf.tokenizer import pre_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture(scope="module")
def f16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(pocket.folder("llama3"), tmp_path_factory.mktemp("f16") / "llama3.gguf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a pocket model that a test may damage."""
    return Path(shutil.copytree(pocket.folder("llama2"), tmp_path / "llama2"))


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields))


def files(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- formats ----------------------------------------------------------------------------------


def test_every_format_is_made_and_smaller_than_the_one_before(f16: Path, tmp_path: Path) -> None:
    sizes = []
    for form in FORMATS:
        made = inspect_gguf(quantize_gguf(f16, tmp_path / f"{form}.gguf", form))
        assert made.format == form
        sizes.append(made.file_size)
        # Embeddings and the output head get more bits than the rest in many formats.
        assert 0.7 < quantized_size(inspect_gguf(f16), form) / made.file_size <= 1.01
    assert sizes == sorted(sizes, reverse=True)


def test_converting_to_f16_loses_nothing_of_a_model_in_f16(f16: Path) -> None:
    contents = inspect_gguf(f16)
    config = json.loads((pocket.folder("llama3") / "config.json").read_text())
    assert contents.architecture == "llama"
    assert contents.context_length == config["max_position_embeddings"]
    assert set(contents.tensor_types) == {"F16", "F32"}
    assert contents.tensor_types["F32"] == 2 * config["num_hidden_layers"] + 1  # norms
    template = (pocket.folder("llama3") / "chat_template.jinja").read_text(encoding="utf-8")
    assert contents.metadata["tokenizer.chat_template"] == template


def test_a_format_is_read_in_any_case_and_a_wrong_one_gets_its_nearest() -> None:
    assert read_format("q4_k_m") == "Q4_K_M"
    with pytest.raises(LabError, match=r"'Q4_K_X' is not known.*Q4_K_.*Q2_K"):
        read_format("Q4_K_X")


def test_a_quantized_file_is_not_quantized_again(f16: Path, tmp_path: Path) -> None:
    small = quantize_gguf(f16, tmp_path / "small.gguf", "Q8_0")
    with pytest.raises(LabError, match="already quantized \\(Q8_0\\)"):
        quantize_gguf(small, tmp_path / "smaller.gguf", "Q4_0")
    with pytest.raises(LabError, match="already quantized"):
        gguf_for(small, "Q4_0")


# --- the cache --------------------------------------------------------------------------------


def test_what_is_there_is_not_made_again(folder: Path, cache: Path) -> None:
    first = gguf_for(folder, "Q4_0")
    before = first.stat().st_mtime_ns
    assert gguf_for(folder, "Q4_0") == first
    assert first.stat().st_mtime_ns == before
    assert [inspect_gguf(cache / name).format for name in files(cache)] == ["F16", "Q4_0"]
    assert gguf_for(first, "Q4_0") == first, "a file that has the format is the answer"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_another_source_gives_another_file(folder: Path, name: str) -> None:
    first = gguf_for(folder, "F16")
    if name == "model.safetensors":
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)
    else:
        change(folder / name, changed=True)
    assert gguf_for(folder, "F16") != first


def test_a_gguf_file_is_quantized_into_the_cache(f16: Path, cache: Path) -> None:
    assert gguf_for(f16, "Q5_0").parent == cache
    assert files(cache) == [gguf_for(f16, "Q5_0").name]


CHILD = """
import sys, time
from labkit.gguf.files import gguf_for
def stop(done, total):
    if sys.argv[2] == "stop":
        print("half", flush=True)
        time.sleep(600)
print(gguf_for(sys.argv[1], "F16", callback=stop))
"""


def child(folder: Path, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), what], stdout=subprocess.PIPE, text=True
    )


def test_a_run_that_is_killed_leaves_no_half_file(folder: Path, cache: Path) -> None:
    process = child(folder, "stop")
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    (left,) = files(cache)
    assert left.endswith(".part")
    gguf_for(pocket.folder("yi"), "F16")
    assert left in files(cache), "its run is still alive"
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = gguf_for(folder, "F16")
    assert inspect_gguf(made).format == "F16"
    assert left not in files(cache)
    assert all(name.endswith(".gguf") for name in files(cache))


def test_two_runs_at_once_make_one_whole_file(folder: Path, cache: Path) -> None:
    processes = [child(folder, "run") for _ in range(2)]
    paths = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (path,) = paths
    assert files(cache) == [Path(path).name]
    alone = write_gguf(folder, cache.parent / "alone.gguf")
    assert Path(path).read_bytes() == alone.read_bytes()


# --- no room, no permission -------------------------------------------------------------------


def test_too_small_a_disk_is_noticed_before_writing(
    f16: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(LabError, match=r"no room for .*Q8_0.gguf.* 1.00 MiB are free") as error:
        gguf_for(f16, "Q8_0")
    assert "LABKIT_CACHE" in error.value.way_out
    assert files(cache) == []


def test_a_disk_that_fills_up_leaves_nothing(folder: Path, cache: Path) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        "from labkit.gguf.files import gguf_for\nfrom labkit.core.errors import LabError\n"
        f"try: gguf_for({str(folder)!r})\nexcept LabError as error: print(error.what)"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("There is no room for"), done.stderr
    assert done.stderr == ""
    assert files(cache) == []


def test_a_folder_that_may_not_be_written(f16: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, locked = Path(place) / "source.gguf", Path(place) / "locked"
        shutil.copyfile(f16, source)
        locked.mkdir()
        for path, mode in ((Path(place), 0o755), (source, 0o644), (locked, 0o555)):
            path.chmod(mode)
        with as_nobody(), pytest.raises(LabError, match="cannot be written: Permission denied"):
            quantize_gguf(source, locked / "out.gguf", "Q8_0")
        assert files(locked) == []
        locked.chmod(0o755)


def test_a_place_that_is_no_folder(f16: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot be written"):
        quantize_gguf(f16, tmp_path / "file" / "out.gguf", "Q8_0")


# --- what cannot be converted -----------------------------------------------------------------


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"has no config.json.*\.gguf"):
        gguf_for(tmp_path, "F16")


def test_a_class_that_is_not_supported(folder: Path) -> None:
    change(folder / "config.json", architectures=["GPT2LMHeadModel"])
    with pytest.raises(LabError, match="'GPT2LMHeadModel'.*LlamaForCausalLM.*GlmForCausalLM"):
        gguf_for(folder)


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_safetensors_that_are_cut_off(folder: Path, kept: int, cache: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LabError, match="model.safetensors' is damaged or cut off"):
        gguf_for(folder)
    assert files(cache) == []


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(LabError, match="lacks model.safetensors"):
        gguf_for(folder)


def test_a_rope_that_llama_cpp_does_not_have(folder: Path, cache: Path) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    change(folder / "config.json", rope_parameters=rope)
    with pytest.raises(LabError, match="rope type 'dynamic'"):
        gguf_for(folder)
    assert files(cache) == []


def test_a_pre_tokenizer_that_is_not_known_is_shown() -> None:
    with pytest.raises(LabError, match="splits text by: aardvark"):
        pre_tokenizer(split("aardvark"))


def split(*patterns: str, digits: bool = False, ignore_merges: bool = False) -> dict[str, object]:
    """The parts of a tokenizer.json that say how text is split."""
    parts: list[dict[str, object]] = [
        {"type": "Split", "pattern": {"Regex": pattern}} for pattern in patterns
    ]
    if digits:
        parts.append({"type": "Digits", "individual_digits": True})
    parts.append({"type": "ByteLevel", "use_regex": False})
    return {
        "model": {"ignore_merges": ignore_merges},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts},
    }


WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""As the repositories of Llama 3, Qwen2.5 and GLM-4 spell it."""


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (split(WORDS % "{1,3}", ignore_merges=True), "llama-bpe"),
        (split(WORDS % "{1,3}"), "chatglm-bpe"),
        (split(WORDS % ""), "qwen2"),
        (
            split(
                r"[\r\n]",
                r"\s?\p{L}+",
                r"\s?\p{P}+",
                "[一-龥ࠀ-一가-퟿]+",
                digits=True,
            ),
            "deepseek-coder",
        ),
    ],
)
def test_published_spellings_are_recognised(layout: dict[str, object], name: str) -> None:
    assert pre_tokenizer(layout) == name


# --- damaged GGUF files -----------------------------------------------------------------------


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_anywhere(f16: Path, tmp_path: Path, share: float) -> None:
    data = f16.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(share * len(data))])
    with pytest.raises(LabError, match="cut off|not a GGUF"):
        inspect_gguf(tmp_path / "cut.gguf")


def test_a_file_that_lacks_its_last_bytes(f16: Path, tmp_path: Path) -> None:
    contents = inspect_gguf(f16)
    end = contents.data_offset + max(x.offset + x.nbytes for x in contents.tensors.values())
    (tmp_path / "cut.gguf").write_bytes(f16.read_bytes()[: end - 1])
    with pytest.raises(LabError, match=f"it has {end - 1} of {end} bytes"):
        quantize_gguf(tmp_path / "cut.gguf", tmp_path / "out.gguf", "Q8_0")
    assert files(tmp_path) == ["cut.gguf"]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 60_000), byte=st.integers(0, 255))
def test_a_damaged_byte_gives_contents_or_one_sentence(
    f16: Path, tmp_path: Path, position: int, byte: int
) -> None:
    data = bytearray(f16.read_bytes())
    data[position] = byte
    (tmp_path / "damaged.gguf").write_bytes(data)
    try:
        assert inspect_gguf(tmp_path / "damaged.gguf").file_size == len(data)
    except LabError as error:
        assert "damaged.gguf" in error.what and error.way_out


def test_files_that_are_not_gguf(f16: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.gguf"
    foreign.write_bytes(b"PK\x03\x04 a zip archive")
    with pytest.raises(LabError, match=r"not a GGUF file: it begins with b'PK"):
        gguf_for(foreign, "Q8_0")
    foreign.write_bytes(b"GGUF" + struct.pack("<I", 1) + f16.read_bytes()[8:])
    with pytest.raises(LabError, match="GGUF version 1"):
        gguf_for(foreign, "Q8_0")
    with pytest.raises(LabError, match=r"missing.gguf' cannot be read: No such file"):
        gguf_for(tmp_path / "missing.gguf", "Q8_0")
