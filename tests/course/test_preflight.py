"""labkit doctor --for class: each point fine, and each one lacking."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from labkit.cli.entry import run as labkit
from labkit.core.i18n import use_language
from labkit.core.units import GiB
from labkit.course.doctor import Diagnosis, diagnose
from labkit.course.preflight import FREE_DISK, check_class
from labkit.machine.hardware import hardware


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    return diagnose(hardware())


def roomy(found: Diagnosis, available: int = 8 * GiB, free: int = FREE_DISK) -> Diagnosis:
    """The same packages on a computer with so much free memory and disk."""
    memory = replace(found.hardware.memory, total=16 * GiB, available=available)
    disk = replace(found.hardware.cache_disk, free=free)
    return diagnose(replace(found.hardware, memory=memory, cache_disk=disk))


def lacking(found: Diagnosis, **environ: str) -> list[str]:
    return [point.name for point in check_class(found, environ).points if not point.fine]


def test_memory_and_disk_are_asked_for(found: Diagnosis) -> None:
    assert not {"Memory", "Disk"} & {*lacking(roomy(found))}
    assert {"Memory", "Disk"} <= {*lacking(roomy(found, available=GiB // 4, free=FREE_DISK - 1))}


def test_a_missing_package_is_named_with_its_command(found: Diagnosis) -> None:
    packages = [
        replace(package, installed=package.name != "llama_cpp") for package in found.packages
    ]
    points = check_class(replace(found, packages=tuple(packages)), {}).points
    (point,) = (point for point in points if point.name == "Packages")
    assert not point.fine and "llama_cpp missing: pip install" in point.words


@pytest.fixture
def mirror() -> Iterator[str]:
    """A server that knows no front page, as a mirror may."""

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_models_come_from_a_bundle_or_a_mirror(
    found: Diagnosis, mirror: str, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "Models" not in lacking(found)
    assert "Models" not in lacking(found, HF_ENDPOINT=mirror)
    assert "Models" in lacking(found, HF_ENDPOINT=nobody)
    assert "Models" in lacking(found, HF_ENDPOINT="not an address")
    assert "Models" in lacking(found, LABKIT_BUNDLE=str(tmp_path))
    (tmp_path / "models" / "Qwen" / "one").mkdir(parents=True)
    assert "Models" not in lacking(found, LABKIT_BUNDLE=str(tmp_path))


def test_the_command_fails_when_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LABKIT_BUNDLE", str(tmp_path / "nowhere"))
    assert labkit(["doctor", "--for", "class", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["ready"] is False
    assert [p["fine"] for p in said["points"] if p["name"] == "Models"] == [False]
    use_language("zh")
    assert labkit(["doctor", "--for", "class"]) == 1
    assert "✘ 模型: " in capsys.readouterr().out
