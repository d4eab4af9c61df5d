"""A mirror for a room: the Hub's own client and ours fetch from it, on loopback."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import pocket
from labkit.core.errors import LabError
from labkit.hub import resolver
from labkit.hub.mirror_server import list_files, serve_mirror, stored_repositories

NAME = "our-lab/pocket-qwen"
WEIGHTS = "model.safetensors"


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Caches of a student who has nothing yet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "labkit"))
    return tmp_path


@pytest.fixture
def mirror(room, monkeypatch):
    with serve_mirror({NAME: pocket.folder("qwen2.5")}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", running.url)
        yield running


def test_hashes_are_those_of_git_and_sha256():
    files = list_files(pocket.folder("qwen2.5"))
    data = files["config.json"].path.read_bytes()
    assert files["config.json"].digest == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    weights = files[WEIGHTS].path.read_bytes()
    assert files[WEIGHTS].digest == hashlib.sha256(weights).hexdigest()
    assert files[WEIGHTS].size == len(weights)


def test_our_client_and_the_hubs_own_fetch_the_same(mirror, tmp_path):
    import huggingface_hub

    source = pocket.folder("qwen2.5")
    ours = resolver.locate(NAME).path
    theirs = Path(
        huggingface_hub.snapshot_download(NAME, endpoint=mirror.url, cache_dir=tmp_path / "theirs")
    )
    names = {path.name for path in source.iterdir()}
    assert {path.name for path in theirs.iterdir()} == names
    for folder in (ours, theirs):
        for path in folder.iterdir():
            assert path.read_bytes() == (source / path.name).read_bytes()
    assert ours.name == theirs.name  # the same commit


def test_modelscopes_addresses_are_answered(mirror):
    folder = resolver.locate(f"modelscope:{NAME}").path
    source = pocket.folder("qwen2.5")
    assert (folder / WEIGHTS).read_bytes() == (source / WEIGHTS).read_bytes()


def test_a_half_file_is_gone_on_with(mirror):
    from labkit.hub.huggingface import plan_download

    file = next(file for file in plan_download(NAME).files if file.name == WEIGHTS)
    part = file.target.with_name(f"{file.target.name}.part")
    part.parent.mkdir(parents=True)
    whole = (pocket.folder("qwen2.5") / WEIGHTS).read_bytes()
    part.write_bytes(whole[:1_000_000])
    assert (resolver.locate(NAME).path / WEIGHTS).read_bytes() == whole
    assert mirror.ranges(WEIGHTS) == ["bytes=1000000-"]


def test_what_is_not_there_is_one_sentence_and_no_other_file_can_be_read(mirror):
    import urllib.error
    import urllib.request

    with pytest.raises(LabError, match="no model 'our-lab/other'"):
        resolver.locate("our-lab/other")
    for wrong in ("../../../__init__.py", "%2e%2e/%2e%2e/%2e%2e/__init__.py", ".git/config"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{mirror.url}/{NAME}/resolve/main/{wrong}")
        assert error.value.code == 404


def test_a_token_is_asked_for_and_is_enough(room, monkeypatch):
    with serve_mirror({NAME: pocket.folder("qwen2.5")}, token="hf_room") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        with pytest.raises(LabError, match="is gated") as error:
            resolver.locate(NAME)
        assert "hf auth login" in error.value.way_out
        monkeypatch.setenv("HF_TOKEN", "hf_room")
        assert (resolver.locate(NAME).path / WEIGHTS).is_file()


def test_what_a_student_fetched_can_be_served_on(mirror, room, monkeypatch):
    first = resolver.locate(NAME).path
    stored = stored_repositories()
    assert stored == {NAME: first}
    with serve_mirror(stored) as second:
        shutil.move(room / "hub", room / "kept")
        monkeypatch.setenv("HF_ENDPOINT", second.url)
        second.repositories[NAME] = room / "kept" / first.relative_to(room / "hub")
        assert resolver.locate(NAME).path == first  # of the same commit, too
        assert second.ranges(WEIGHTS) == [None]


def test_a_taken_port_is_said(mirror):
    port = int(mirror.url.rpartition(":")[2])
    with pytest.raises(LabError, match=f"Cannot listen on 127.0.0.1:{port}"):
        with serve_mirror({}, port=port):
            pass


CLIENT = """
import sys, huggingface_hub
path = huggingface_hub.snapshot_download(sys.argv[1], cache_dir=sys.argv[2])
"""


@pytest.mark.slow
def test_thirty_clients_fetch_at_once(mirror, tmp_path):
    """Each a process of its own with the Hub's own client; every byte is compared."""
    import time

    environment = os.environ | {"HF_ENDPOINT": mirror.url, "HF_HUB_OFFLINE": "0"}
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, NAME, str(tmp_path / str(n))], env=environment
        )
        for n in range(30)
    ]
    assert [process.wait(300) for process in running] == [0] * 30
    seconds = time.perf_counter() - start
    source = pocket.folder("qwen2.5")
    for n in range(30):
        (weights,) = (tmp_path / str(n)).rglob(WEIGHTS)
        assert weights.read_bytes() == (source / WEIGHTS).read_bytes()
    print(f"30 clients, {30 * (source / WEIGHTS).stat().st_size / seconds / 1e6:.0f} MB/s")


def test_the_command_serves_a_bundle(room):
    import json

    import huggingface_hub

    shutil.copytree(pocket.folder("qwen2.5"), room / "stick" / "models" / NAME)
    code = "from labkit.cli.start import main; main()"
    words = ["mirror", "--bundle", str(room / "stick"), "--port", "0", "--json"]
    command = [sys.executable, "-c", code, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        running = json.loads(said)
        assert running["models"] == [NAME]
        path = huggingface_hub.snapshot_download(
            NAME, endpoint=running["url"], cache_dir=room / "theirs"
        )
        assert (Path(path) / WEIGHTS).is_file()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_a_drill_breaks_an_answer_off_and_the_rest_is_fetched_later(mirror, capfd):
    mirror.cuts[WEIGHTS] = [1_000_000, 0, 0, 0]
    with pytest.raises(LabError, match="The connection broke while fetching 'model.safetensors'"):
        resolver.locate(NAME)
    fetched = resolver.locate(NAME).path / WEIGHTS
    assert fetched.read_bytes() == (pocket.folder("qwen2.5") / WEIGHTS).read_bytes()
    assert mirror.ranges(WEIGHTS) == [None] + ["bytes=1000000-"] * 4
    assert "Traceback" not in capfd.readouterr().err
