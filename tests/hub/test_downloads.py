"""Getting models from a Hub on loopback: what is shown, kept and checked, and every fault."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from time import sleep

import pytest
from hub_server import Hub, running_hub

from labkit import pocket
from labkit.core.errors import LabError
from labkit.gguf.files import gguf_for
from labkit.hub import downloads, resolver
from labkit.hub.huggingface import fetch_repository, has_quant, plan_download

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"
GGUF = "Qwen/Qwen2.5-0.5B-Instruct-GGUF"
WEIGHTS = "model.safetensors"


@pytest.fixture
def the_hub(tmp_path, monkeypatch):
    """A Hub that serves a pocket model under Qwen's name; its client's cache is empty."""
    from huggingface_hub import constants

    folder = tmp_path / "served"
    shutil.copytree(pocket.folder("qwen2.5"), folder)
    (folder / "modeling_qwen.py").write_text("raise SystemExit('foreign code ran')")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    files = tmp_path / "ggufs"
    files.mkdir()
    shutil.copy(gguf_for(pocket.folder("qwen2.5"), "Q8_0"), files / "qwen2.5-0.5b-q8_0.gguf")
    shutil.copy(gguf_for(pocket.folder("qwen2.5"), "F16"), files / "qwen2.5-0.5b-fp16.gguf")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(downloads, "PATIENCE", 1)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "labkit"))
    with running_hub() as running:
        running.repositories = {QWEN: folder, GGUF: files}
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", running.url)
        yield running


def is_whole(folder: Path, served: Hub, hidden: bool = False) -> bool:
    """Whether every file there is, byte for byte, what the Hub holds; and the weights are there.

    hidden: files of our own, whose names begin with a dot, may stand beside them.
    """
    source = served.repositories[QWEN]
    names = [path.name for path in folder.iterdir() if not (hidden and path.name[0] == ".")]
    return WEIGHTS in names and all(
        (folder / name).read_bytes() == (source / name).read_bytes() for name in names
    )


def test_a_plan_tells_licence_sizes_and_room_and_fetches_nothing(the_hub, tmp_path):
    plan = plan_download(QWEN)
    source = the_hub.repositories[QWEN]
    names = {file.name for file in plan.files}
    assert {"config.json", "tokenizer.json", WEIGHTS} <= names
    assert not {"modeling_qwen.py", "pytorch_model.bin", "original/params.json"} & names
    assert plan.size == plan.missing == sum((source / name).stat().st_size for name in names)
    assert plan.free > 0 and plan.license and "Apache" in str(plan)
    assert str(plan).startswith(f"{QWEN} from 127.0.0.1:") and "free" in str(plan)
    assert not (tmp_path / "hub").exists()


def test_a_model_is_fetched_once_and_then_found_without_the_network(the_hub, capfd):
    place = resolver.locate(QWEN)
    assert place.kind == "folder" and is_whole(place.path, the_hub)
    assert not list(place.path.glob("*.py")) and not list(place.path.glob("*.bin"))
    assert "licence: Apache" in capfd.readouterr().err
    the_hub.seen.clear()
    assert resolver.locate(QWEN) == place and the_hub.seen == []


def test_the_hubs_own_client_finds_the_same_files_and_asks_for_none_again(the_hub):
    import huggingface_hub

    ours = resolver.locate(QWEN).path
    the_hub.seen.clear()
    theirs = huggingface_hub.snapshot_download(
        QWEN, endpoint=the_hub.url, allow_patterns=["*.safetensors", "config.json"]
    )
    assert Path(theirs) == ours and the_hub.asked(WEIGHTS) == []
    huggingface_hub.hf_hub_download(QWEN, WEIGHTS, endpoint=the_hub.url, force_download=True)
    assert the_hub.asked(WEIGHTS) != [] and is_whole(ours, the_hub)


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json"])
def test_a_cut_file_is_gone_on_with_in_the_same_try(the_hub, file):
    the_hub.faults[file] = ["cut"]
    assert is_whole(resolver.locate(QWEN).path, the_hub)
    half = (the_hub.repositories[QWEN] / file).stat().st_size // 2
    assert f"bytes={half}-" in the_hub.asked(file)


FAULTS = {
    "cut": (["cut"] * 40, "connection broke", "goes on where it stopped"),
    "stall": (["stall"] * 40, "connection broke", "goes on where it stopped"),
    "wrong": (["wrong"], "its size or hash is wrong", "Try again"),
    "401": ([401], "without permission|is gated", "hf auth login"),
    "403": ([403], "without permission|is gated", "hf auth login"),
    "404": ([404], "There is no|has no model", "spelling"),
    "429": ([429] * 4, "too busy", "few minutes"),
    "500": ([500] * 4, "failed on|cannot be reached", "later|mirror"),
    "503": ([503] * 4, "failed on|cannot be reached", "later|mirror"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("file", [WEIGHTS, "config.json"])
def test_after_a_fault_nothing_broken_is_there_and_a_second_try_succeeds(the_hub, file, fault):
    if fault in ("cut", "stall") and file == "config.json":
        the_hub.faults[file] = ["cut"] * 40  # a stall takes long, and the weights show it
    else:
        the_hub.faults[file] = list(FAULTS[fault][0])
    with pytest.raises(LabError, match=FAULTS[fault][1]) as error:
        resolver.locate(QWEN)
    assert any(word in error.value.way_out for word in FAULTS[fault][2].split("|"))
    for blob in (Path(os.environ["LABKIT_CACHE"]).parent / "hub").rglob("blobs/*"):
        if not blob.name.endswith((".part", ".lock")):
            data = blob.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            assert blob.name in (hashlib.sha256(data).hexdigest(), git)
    the_hub.faults.clear()
    assert is_whole(resolver.locate(QWEN).path, the_hub)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refused_listing_is_one_sentence_and_a_second_try_succeeds(the_hub, status):
    the_hub.faults["api"] = [status]
    with pytest.raises(LabError) as error:
        resolver.locate(QWEN)
    assert QWEN in error.value.what and error.value.way_out
    assert is_whole(resolver.locate(QWEN).path, the_hub)


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(the_hub, tmp_path):
    the_hub.faults[WEIGHTS] = ["stall"] * 9
    code = f"from labkit.hub.resolver import locate; locate({QWEN!r})"
    variables = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": the_hub.url}
    weights = (the_hub.repositories[QWEN] / WEIGHTS).read_bytes()
    size = len(weights)
    blobs = tmp_path / "hub" / f"models--{QWEN.replace('/', '--')}" / "blobs"
    part = (
        blobs / f"{hashlib.sha256(weights).hexdigest()}.part"
    )  # small files come and go beside it
    running = subprocess.Popen([sys.executable, "-c", code], env=os.environ | variables)
    try:
        while running.poll() is None and not (part.exists() and part.stat().st_size >= size // 2):
            sleep(0.01)
    finally:
        running.kill()
        running.wait()
    kept = part.stat().st_size
    assert size // 2 <= kept < size
    the_hub.faults.clear()
    assert is_whole(resolver.locate(QWEN).path, the_hub)
    assert the_hub.asked(WEIGHTS)[-1] == f"bytes={kept}-"


def test_a_full_disk_is_said_before_and_during(the_hub, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6, 1000))
    with pytest.raises(LabError, match="no room") as error:
        resolver.locate(QWEN)
    assert "HF_HOME" in error.value.way_out and the_hub.asked(WEIGHTS) == []


def test_a_token_reaches_the_hub_and_nothing_else(the_hub, monkeypatch, capfd):
    the_hub.token = "hf_secret"
    with pytest.raises(LabError, match="gated|no model") as error:
        resolver.locate(QWEN)
    assert "hf auth login" in error.value.way_out
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = resolver.locate(QWEN).path
    assert is_whole(path, the_hub)
    out, err = capfd.readouterr()
    assert "hf_secret" not in out + err + str(error.value)
    for file in path.parents[2].rglob("*"):
        assert not file.is_file() or b"hf_secret" not in file.read_bytes()


def test_a_gguf_of_a_repository_is_named_by_its_format(the_hub):
    place = resolver.locate(f"{GGUF}:Q8_0")
    assert place.kind == "gguf" and place.path.name == "qwen2.5-0.5b-q8_0.gguf"
    assert the_hub.asked("fp16.gguf") == []
    the_hub.seen.clear()
    assert resolver.locate(f"{GGUF}:Q8_0") == place and the_hub.seen == []
    for name in (GGUF, f"{GGUF}:Q4_K_M"):
        with pytest.raises(LabError) as error:
            resolver.locate(name)
        assert "Q8_0" in error.value.way_out


def test_has_quant_tells_formats_apart():
    assert has_quant("qwen-q4_k_m.gguf", "Q4_K_M") and has_quant("x.Q8_0.gguf", "q8_0")
    assert has_quant("big-Q4_K_M-00001-of-00002.gguf", "Q4_K_M")
    assert not has_quant("qwen-q4_k_m.gguf", "Q4_K") and not has_quant("mmproj-F16.gguf", "F16")
    assert not has_quant("qwen-iq4_xs.gguf", "Q4_XS")


def test_a_url_is_fetched_checked_and_kept(the_hub):
    file = the_hub.repositories[GGUF] / "qwen2.5-0.5b-q8_0.gguf"
    url = f"{the_hub.url}/cdn/{GGUF}/resolve/main/{file.name}"
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    the_hub.faults[file.name] = ["cut"]
    place = resolver.locate(f"{url}#sha256={right}")
    assert place.kind == "gguf" and place.path.read_bytes() == file.read_bytes()
    the_hub.seen.clear()
    assert resolver.locate(f"{url}#sha256={right}") == place and the_hub.seen == []
    with pytest.raises(LabError, match="hash is wrong"):
        resolver.locate(f"{url}#sha256={'0' * 64}")
    for wrong in (f"{url}#sha256=12", the_hub.url + "/v1"):
        with pytest.raises(LabError, match="not the address of a GGUF file"):
            resolver.locate(wrong)


def test_a_bundle_is_used_before_the_hub(the_hub, tmp_path, monkeypatch):
    bundle = tmp_path / "stick"
    shutil.copytree(pocket.folder("qwen2.5"), bundle / "models" / QWEN)
    shutil.copytree(the_hub.repositories[GGUF], bundle / "models" / GGUF)
    monkeypatch.setenv("LABKIT_BUNDLE", str(bundle))
    assert resolver.locate(QWEN).path == bundle / "models" / QWEN
    assert resolver.locate(f"{GGUF}:Q8_0").path.parent == bundle / "models" / GGUF
    assert the_hub.seen == []


def test_weights_that_can_run_code_are_refused(the_hub):
    folder = the_hub.repositories[QWEN]
    (folder / WEIGHTS).unlink()
    with pytest.raises(LabError, match="no weights as safetensors or GGUF") as error:
        fetch_repository(QWEN)
    assert "run code" in error.value.way_out


def test_a_hub_that_is_not_there(the_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LabError, match="the Hub cannot be reached"):
        resolver.locate(QWEN)


def test_modelscope_serves_the_same_model_and_it_is_found_again(the_hub, capfd):
    name = f"modelscope:{QWEN}"
    place = resolver.locate(name)
    assert is_whole(place.path, the_hub, hidden=True) and "licence" in capfd.readouterr().err
    assert not list(place.path.glob("*.py")) and not list(place.path.glob("*.bin"))
    the_hub.seen.clear()
    assert resolver.locate(name) == place and the_hub.seen == []
    assert resolver.locate(f"modelscope:{GGUF}:Q8_0").path.name == "qwen2.5-0.5b-q8_0.gguf"


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_of_modelscope_a_second_try_succeeds(the_hub, fault):
    name = f"modelscope:{QWEN}"
    the_hub.faults[WEIGHTS] = list(FAULTS[fault][0])
    with pytest.raises(LabError, match=FAULTS[fault][1]) as error:
        resolver.locate(name)
    assert error.value.way_out
    folder = Path(os.environ["LABKIT_CACHE"]) / "models" / "modelscope" / QWEN
    assert not (folder / WEIGHTS).exists()
    the_hub.faults.clear()
    assert is_whole(resolver.locate(name).path, the_hub, hidden=True)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_refused_listing_of_modelscope_is_one_sentence(the_hub, status, monkeypatch):
    the_hub.faults["api"] = [status]
    with pytest.raises(LabError, match=QWEN) as error:
        resolver.locate(f"modelscope:{QWEN}")
    assert error.value.way_out
    if status == 401:
        the_hub.token = "ms_secret"
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms_secret")
    assert is_whole(resolver.locate(f"modelscope:{QWEN}").path, the_hub, hidden=True)


MODELSCOPE = """
import sys
from pathlib import Path
from time import sleep
from modelscope import snapshot_download
path = Path(snapshot_download(sys.argv[1], allow_patterns=["*.safetensors", "*.json"]))
source = Path(sys.argv[2])
for file in path.glob("*.*"):
    assert file.read_bytes() == (source / file.name).read_bytes(), file
print((path / "model.safetensors").is_file())
"""


@pytest.mark.slow
def test_modelscopes_own_client_takes_the_hub_of_these_tests_for_its_own(the_hub, tmp_path):
    """In an environment of its own, for the course does not need the package."""
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "modelscope>=1.40,<2"], check=True)
    for number, fault in enumerate(([], ["cut"], ["wrong"], [500])):
        the_hub.faults[WEIGHTS] = fault
        places = {"MODELSCOPE_CACHE": str(tmp_path / f"cache{number}"), "MODELSCOPE_HOME": "home"}
        done = subprocess.run(
            [python, "-c", MODELSCOPE, QWEN, the_hub.repositories[QWEN]],
            env=os.environ | places, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.strip().endswith("True"), done.stderr
